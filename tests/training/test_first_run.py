"""What `make train` leaves, on the built-in photos: the figures of the README, and a picture one can believe."""

import csv
import json
from statistics import mean

import pytest
from PIL import Image


@pytest.mark.slow
def test_the_first_run_colours_other_parts_of_the_photos_that_it_trained_on(command, tmp_path):
    places = [f"runs_dir={tmp_path}", "name=run", f"data.cache_dir={tmp_path}/cache"]
    code, out, err = command("train", "experiment=nogan_video", "scale=minutes", *places)
    assert code == 0, err
    assert "parts of the same seven photos that were not trained on: 42 photos" in out
    run = tmp_path / "run"
    records = [json.loads(line) for line in (run / "evaluation" / "metrics.jsonl").read_text().splitlines()]
    photos = {record["name"]: record["metrics"] for record in records if "ciede2000" in record["metrics"]}
    final = photos["final"]
    for row in ("gray", "mean tint", "shuffled"):
        assert final["ciede2000"] < photos[row]["ciede2000"]
        assert final["psnr_chroma"] > photos[row]["psnr_chroma"]
    assert final["colorfulness"] == pytest.approx(photos["truth"]["colorfulness"], rel=0.25)

    held_out = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    accuracies = [line["metrics"]["accuracy_discriminator"] for line in held_out if "critic" in line["stage"]]
    assert accuracies[-1] >= 0.6
    with next((run / "csv").rglob("metrics.csv")).open() as file:
        steps = [
            line for line in csv.DictReader(file) if line["train/generator_turn"] and line["train/loss_discriminator"]
        ]
    assert 0.4 < mean(float(line["train/loss_discriminator"]) for line in steps) < 0.68
    assert Image.open(run / "final.png").width > 0
    assert (run / "final.mp4").exists()
