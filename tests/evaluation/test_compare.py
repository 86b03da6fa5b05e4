"""`evaluate.py` as people type it: figures, resume, protocols, several data sets, mistakes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rewriting import rewritten
from skimage.data import astronaut, coffee

import train
from colorgan.checkpoint import read_header
from colorgan.evaluation.results import Results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def measure(command, place):
    """Run `colorgan evaluate`; returns exit code, standard output and error."""
    return lambda *overrides: command("evaluate", f"data.cache_dir={place}/cache", *overrides)


def lines_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_figures_equal_those_of_validation_in_training(measure, run, photos, tmp_path):
    snapshots = f"checkpoints='{run}/03-gan/snapshots/*.safetensors'"
    code, _, err = measure(snapshots, "data=folder", f"data.path={photos}", "metrics=default", f"out={tmp_path}")
    assert code == 0, err
    rows = [line for line in lines_of(tmp_path) if "checkpoint" in line]
    assert len(rows) > 1
    for row in rows:
        header = read_header(Path(row["checkpoint"]["path"]))
        validated = {name: value for name, value in header["metrics"].items() if name in row["metrics"]}
        assert set(validated) == {
            "psnr",
            "psnr_chroma",
            "ciede2000",
            "colorfulness",
        }  # five photos are too few for a distance of sets
        assert row["metrics"] == pytest.approx(validated, rel=1e-5, abs=1e-5)
        assert header["splits"][0]["min_size"] == 32


def test_what_is_measured_is_not_measured_again_and_new_metrics_are_added(measure, run, photos, tmp_path):
    data = ["data=folder", f"data.path={photos}", f"out={tmp_path}"]
    assert measure(f"checkpoints={run}", "metrics=fast", *data)[0] == 0
    first = lines_of(tmp_path)
    assert [line["name"] for line in first] == ["gray", "mean tint", "shuffled", "run", "truth"]
    assert measure(f"checkpoints={run}", "metrics=fast", *data)[0] == 0
    assert lines_of(tmp_path) == first
    with (tmp_path / "metrics.jsonl").open("a") as file:  # a kill in the middle of a line
        file.write(json.dumps(first[0])[:40])
    code, out, err = measure(f"checkpoints={run}", "metrics=full", *data)
    assert code == 0, err
    added = (tmp_path / "metrics.jsonl").read_text().splitlines()[len(first) + 1 :]
    assert len(added) == len(first)
    for line in map(json.loads, added):
        assert "psnr" not in line["metrics"]
        assert {"ssim", "ciede2000"} <= set(line["metrics"])
    merged = Results(tmp_path).records()[first[0]["key"]]
    assert set(first[0]["metrics"]) < set(merged["metrics"])
    assert {"each/psnr", "each/ssim"} <= set(Results(tmp_path).arrays(first[0]["key"]))
    assert "needs alexnet-owt-7be5be79.pth" in out
    assert "left out, for want of 30 independent groups of photos (here are 5): chroma_distance" in out
    assert "no intervals and no paired tests: they need 10 groups of photos; here are 5" in out


def test_all_files_of_a_report_are_written(measure, run, photos, draw_photos, tmp_path):
    other = draw_photos(tmp_path / "other", 3, size=(50, 40))
    pattern = f"checkpoints=['{run}/03-gan/snapshots/*.safetensors',{run}]"
    code, out, err = measure(pattern, "data=folder", f"data.path=[{photos},{other}]", "metrics=fast",
                             "protocol.photos=all", "objective=psnr", f"out={tmp_path}/out")  # fmt: skip
    assert code == 0, err
    report = (tmp_path / "out" / "report.md").read_text()
    assert report.count("### Paired tests") == 1  # three photos have no intervals
    for name in ("differences", "colors"):
        for number in (1, 2):
            file = f"figures/{number}-{name}.png"
            assert f"({file})" in report
            with Image.open(tmp_path / "out" / file) as picture:
                assert np.asarray(picture).std() > 10
    with (tmp_path / "out" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["num_photos"] for row in rows} == {"12", "3"}
    truth = next(row for row in rows if row["row"] == "truth")
    assert (truth["psnr"], truth["psnr_low"]) == ("100.0", "100.0")
    assert str(photos) in out
    assert str(other) in out


def test_photos_that_a_run_trained_on_are_marked(measure, run, photos, tmp_path):
    final = run / "final.safetensors"
    older = rewritten(final, tmp_path / "older.safetensors", lambda h: h.pop("splits"))
    away = tmp_path / "away.safetensors"
    shutil.copy(final, away)
    wanted = [f"checkpoints=[{run},{older},{away}]", "data=folder", f"data.path={photos}", "metrics=fast"]
    code, out, err = measure(*wanted, "protocol.photos=all", f"out={tmp_path}/out")
    assert code == 0, err
    report = (tmp_path / "out" / "report.md").read_text()
    for note in (
        "†: run trained on 7 of these 12 photos",
        "†: older does not say which photos it was trained on: these may be among them",
        "†: away may have trained on up to 7 of these 12 photos (there is no manifest.csv that tells)",
    ):
        assert note in out
        assert note in report
    assert "| run† |" in report
    assert "| gray |" in report
    with (tmp_path / "out" / "metrics.csv").open() as file:
        rows = {row["row"]: row["trained_on"] for row in csv.DictReader(file)}
    assert rows["run"] == "trained on 7 of these 12 photos"
    assert rows["gray"] == ""
    code, out, _ = measure(*wanted[1:], f"checkpoints=[{run},{away}]", f"out={tmp_path}/val")
    assert code == 0
    assert "†" not in out


def test_a_table_may_stand_on_published_protocols(measure, run, photos, tmp_path):
    code, out, err = measure(
        f"checkpoints={run}", "data=folder", f"data.path={photos}", "protocol=ade20k", "protocol.image_size=32",
        "protocol.first=4", f"out={tmp_path}",
    )  # fmt: skip
    assert code == 0, err
    assert "DDColor-large (published)" in out
    assert "8.21" in out
    record = lines_of(tmp_path)[-1]
    assert record["protocol"]["num_photos"] == 4
    assert (record["protocol"]["recombination"], record["protocol"]["gray_rule"]) == ("lab", "lightness")
    assert "Kang et al. 2023" in (tmp_path / "report.md").read_text()


def test_black_and_white_photos_get_what_needs_no_truth(measure, run, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for index, photo in enumerate((astronaut(), coffee())):
        Image.fromarray(photo).convert("L").resize((80, 60)).save(folder / f"{index}.png")
    wanted = [f"checkpoints={run}", "data=folder", f"data.path={folder}"]
    code, _, err = measure(*wanted, f"out={tmp_path}/out")
    assert code == 2
    assert "2 near-gray" in err
    assert "truth=false" in err
    code, out, err = measure(*wanted, f"out={tmp_path}/out", "truth=false")
    assert code == 0, err
    rows = {line["name"]: line["metrics"] for line in lines_of(tmp_path / "out")}
    assert set(rows) == {"gray", "run"}
    assert set(rows["run"]) == {"colorfulness"}
    assert rows["gray"]["colorfulness"] == pytest.approx(0, abs=1e-3)
    assert "psnr" not in out


def held_out(run):
    with (run / "manifest.csv").open() as file:
        return {row["name"] for row in csv.DictReader(file) if row["split"] == "val"}


def test_photos_of_training_stay_out(measure, run, photos, tmp_path):
    """Whatever size is asked for, and whatever part of the photos is given."""
    wanted = [f"checkpoints={run}", "data=folder", "metrics=fast", "protocol.image_size=64"]
    assert measure(*wanted, f"data.path={photos}", f"out={tmp_path}/whole")[0] == 0
    assert lines_of(tmp_path / "whole")[0]["protocol"]["num_photos"] == len(held_out(run)) == 5
    part = tmp_path / "part"
    part.mkdir()
    for number, name in enumerate(sorted(path.name for path in photos.iterdir())):
        if name not in held_out(run) or number % 2:
            (part / name).write_bytes((photos / name).read_bytes())
    assert measure(*wanted, f"data.path={part}", f"out={tmp_path}/part_out")[0] == 0
    kept = len(held_out(run) & {path.name for path in part.iterdir()})
    assert 0 < kept < 5
    assert lines_of(tmp_path / "part_out")[0]["protocol"]["num_photos"] == kept
    for name in held_out(run):
        (part / name).unlink(missing_ok=True)
    code, _, err = measure(*wanted, f"data.path={part}", f"out={tmp_path}/nothing")
    assert code == 2
    assert "hold out none of the 7 photos" in err


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["checkpoints=/nowhere"], ["no checkpoint /nowhere"]),
        (["checkpoints='{run}/*.ckpt'"], ["no checkpoint matches"]),
        (["checkpoints={run}/config.yaml"], ["not a .safetensors checkpoint"]),
        ([], ["checkpoints"]),
        (["checkpoints=[]"], ["checkpoints is an empty list"]),
        (["checkpoints={run}", "data.path=[]"], ["data.path is an empty list"]),
        (["checkpoints={run}", "data.path=/nowhere"], ["no folder or photo /nowhere"]),
        (["checkpoints={run}", "metrics=ful"], ["did you mean full?"]),
        (["checkpoints={run}", "protocol=ddcolor"], ["did you mean ddcolor_val5k?"]),
        (["checkpoints={run}", "protocol.geometry=crop"], ["geometry='crop' is unknown; allowed: center_square"]),
        (["checkpoints={run}", "protocol.image_size=0"], ["protocol.image_size=0 must be a whole number of at"]),
        (["checkpoints={run}", "protocol.image_size=512"], ["none of 5 photos has 512 px", "protocol.image_size"]),
        (["checkpoints={run}", "objective=lpipps"], ["objective='lpipps'", "psnr"]),
        (["checkpoints={run}", "metrics.psnr.peak=1"], ["metrics.psnr"]),
        (["checkpoints={run}", "metrics=full", "metrics.fid.feature_network=vgg"],
         ["feature_network='vgg' is unknown; allowed: inception"]),
        (["checkpoints={run}", "out={file}"], ["a_file"]),
        (["checkpoints={run}", "device=gpu"], ["device='gpu'"]),
    ],
)  # fmt: skip
def test_mistakes_get_one_line_and_exit_code_2(measure, run, photos, tmp_path, overrides, messages):
    (tmp_path / "a_file").write_text("not a folder")
    filled = [o.format(run=run, file=tmp_path / "a_file") for o in overrides]
    if not any("data.path" in o for o in filled):
        filled.append(f"data.path={photos}")
    if not any(o.startswith("out=") for o in filled):
        filled.append(f"out={tmp_path}/out")
    if not any(o.startswith("metrics=") for o in filled):
        filled.append("metrics=fast")
    code, _, err = measure("data=folder", *filled)
    assert code == 2, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for message in messages:
        assert message in last
    assert "Traceback" not in err


def test_only_photos_that_no_checkpoint_trained_on_are_measured(measure, run, photos, tmp_path):
    final = run / "final.safetensors"
    stricter = rewritten(final, tmp_path / "stricter.safetensors", lambda h: h["splits"][0].update(threshold="0" * 64))
    older = rewritten(final, tmp_path / "older.safetensors", lambda h: h.pop("splits"))
    imported = rewritten(final, tmp_path / "imported.safetensors", lambda h: h.update(splits=[]))
    wanted = ["data=folder", f"data.path={photos}", "metrics=fast", "objective=psnr", f"out={tmp_path}/out"]
    code, _, err = measure(f"checkpoints=[{run},{stricter}]", *wanted)
    assert code == 2
    assert "hold out none of the 12 photos" in err
    assert measure(f"checkpoints=[{run},{stricter}]", *wanted, "protocol.photos=all")[0] == 0
    code, _, err = measure(f"checkpoints={older}", *wanted)
    assert code == 2
    assert "does not say which photos its run held out" in err
    assert measure(f"checkpoints=[{run},{imported}]", *wanted)[0] == 0
    assert {line["protocol"]["num_photos"] for line in lines_of(tmp_path / "out")} == {12, 5}


def test_a_run_remembers_what_the_run_it_started_from_held_out(run, place, photos, tmp_path, monkeypatch):
    overrides = ["experiment=smoke", "data=folder", f"data.path={photos}", f"runs_dir={tmp_path}", "name=second"]
    overrides += [f"data.cache_dir={place}/cache", "trainer.enable_progress_bar=false", f"init_from={run}", "seed=4"]
    monkeypatch.setattr(sys, "argv", ["train.py", *overrides, "schedule.first=[]"])
    train.main()
    splits = read_header(tmp_path / "second" / "final.safetensors")["splits"]
    assert [split["seed"] for split in splits] == [4, 3]
    assert splits[1] == read_header(run / "final.safetensors")["splits"][0]


def test_a_name_cannot_promise_another_network(measure, run, photos, tmp_path):
    wanted = [f"checkpoints={run}", "data=folder", f"data.path={photos}", f"out={tmp_path}", "metrics=full"]
    for override, message in (
        ("metrics.fid.feature_network=efficientnet_lite2", "metrics.fid must have"),
        ("metrics.kid_efficientnet_lite2.feature_network=efficientnet_lite0", "is judged by efficientnet_lite0"),
    ):
        code, _, err = measure(*wanted, override)
        assert code == 2
        assert message in err


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_where_it_was(run, place, photos, tmp_path):
    """Ten snapshots, kill -9 in the middle, then the same command: every row is measured exactly once."""
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    for step in range(10):
        target = snapshots / f"step={step:06d}.safetensors"
        rewritten(
            run / "final.safetensors", target, lambda header, step=step: header.update(step=step, total_step=step)
        )
    out = tmp_path / "out"
    wanted = [sys.executable, "evaluate.py", f"checkpoints='{snapshots}/*.safetensors'", "data=folder"]
    wanted += [f"data.path={photos}", f"data.cache_dir={place}/cache", "metrics=default", f"out={out}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(wanted, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None and (not (out / "metrics.jsonl").exists() or len(lines_of(out)) < 6):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = len(lines_of(out))
    assert 6 <= killed_at < 14
    subprocess.run(wanted, cwd=ROOT, env=environment, check=True, capture_output=True)
    keys = [line["key"] for line in lines_of(out)]
    assert len(keys) == len(set(keys)) == 14  # ten snapshots and 4 baselines
    assert (out / "figures" / "curves.png").exists()
