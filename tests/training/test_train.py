"""`train.py` and `evaluate.py` as people type them, and what they say to mistakes."""

import json

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, chelsea

from colorgan.errors import one_line_errors


@pytest.fixture
def places(tmp_path):
    return [f"runs_dir={tmp_path}/runs", f"data.cache_dir={tmp_path}/cache", "trainer.enable_progress_bar=false"]


def test_train_and_evaluate_from_the_command_line(command, tmp_path, places, draw_photos):
    photos = draw_photos(tmp_path / "photos", 10)
    whole = (photos / "00.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(astronaut()).resize((64, 64)).convert("L").save(photos / "gray.png")
    Image.fromarray(astronaut()).resize((16, 16)).save(photos / "small.png")
    data = ["data=folder", f"data.path={photos}"]
    short = [f"schedule.stages.{stage}.steps=2" for stage in ("generator_pretrain", "critic_pretrain")]
    code, out, err = command("train", "experiment=smoke", *data, *places, *short, "name=run", "seed=3")
    assert code == 0, err
    assert "left out: 1 unreadable, 1 near-gray, 1 smaller than 32 px" in err
    assert "cut.png" in err
    for row in ("gray", "mean tint", "shuffled", "generator_pretrain", "final", "truth"):
        assert row in out
    run = tmp_path / "runs" / "run"
    records = [json.loads(line) for line in (run / "evaluation" / "metrics.jsonl").read_text().splitlines()]
    values = {record["name"]: record["metrics"] for record in records}
    assert values["gray"]["colorfulness"] == pytest.approx(0, abs=1e-3)
    assert values["truth"]["psnr"] == 100
    assert records[0]["protocol"]["gray_rule"] == "luma601"
    width, height = Image.open(run / "final.png").size
    assert width > height > 0

    held_out = {
        line.split(",")[1] for line in (run / "manifest.csv").read_text().splitlines() if line.startswith("val")
    }
    assert len(held_out) == records[0]["protocol"]["num_photos"]

    pattern = f"checkpoints='{run}/03-gan/snapshots/*.safetensors'"
    wanted = ["metrics=fast", *data, places[1], f"out={tmp_path}/evaluation"]
    code, out, err = command("evaluate", pattern, *wanted)
    assert code == 0, err
    lines = (tmp_path / "evaluation" / "metrics.jsonl").read_text().splitlines()
    again = {r["name"]: r["metrics"] for r in map(json.loads, lines)}
    best = next(r["checkpoint"]["step"] for r in records if r["name"] == "final")
    assert again[f"step={best:06d}"] == values["final"]
    assert (tmp_path / "evaluation" / "figures" / "differences.png").exists()


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["experimnt=smoke"], ["experimnt"]),
        (["experiment=smokey"], ["did you mean smoke?"]),
        (["generator=unet"], ["Could not find 'generator/unet'", "unet_lite0"]),
        (["motion=null"], ["a group is left out by ~GROUP"]),
        (["schedule.stages.gan.stpes=3"], ["schedule.stages.gan.stpes"]),
        (["data=folder"], ["data.path"]),
        (["data=folder", "data.path=/nowhere"], ["no folder or photo /nowhere", "data.path"]),
        (["data=folder", "data.path={empty}"], ["no photos in", "data.path"]),
        (["data=folder", "data.path={gray}"], ["none of 3 photos can be used: 3 near-gray", "data.min_colorfulness"]),
        (["data=folder", "data.path={tiny}"], ["3 smaller than 32 px", "image_size"]),
        (["data=folder", "data.path={pixel}"], ["smaller than 32 px"]),
        (["data=folder", "data.path={damaged}"], ["2 unreadable"]),
        (["init_from={text}"], ["not a .safetensors checkpoint"]),
        (["init_from=/nowhere"], ["no checkpoint /nowhere"]),
        (["runs_dir={text}/runs"], ["text.safetensors"]),
        (["generator.head=hsv"], ["head='hsv' is unknown; allowed: chroma, lab, rgb"]),
        (["generator.gray_rule=average"], ["gray_rule='average' is unknown"]),
        (["generator.widths=[8,8]"], ["widths needs 5 numbers, got 2"]),
        (["generator.encoder.name=resnet35"], ["no model named 'resnet35'"]),
        (["generator.encoder.weights=nowhere.pth"], ["generator.encoder.weights='nowhere.pth': no such file"]),
        (["trainer.precision=12"], ["12"]),
        (["data.min_crop=2"], ["data.min_crop=2 must be a number above 0 and at most 1"]),
        (["data.store_size=16"], ["store_size=16 is smaller than the pictures trained on, 32"]),
        (
            ["schedule.stages.gan.image_size=64", "data.store_size=64", "data.size=32"],
            ["none of 20 photos of the split train has 64 px", "schedule.stages.gan.image_size"],
        ),
        (
            ["schedule.stages.gan.batch_size=0"],
            ["schedule.stages.gan.batch_size=0 must be a whole number of at least 1"],
        ),
        (["data.path=my(photos)"], ["data.path=my(photos) cannot be read", "\"data.path='my(photos)'\""]),
        (["a b"], ["a b"]),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(command, tmp_path, places, overrides, messages):
    def folder(name, *images):
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            image.save(tmp_path / name / f"{index}.png")
        return tmp_path / name

    noise = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)) for i in range(3)]
    (tmp_path / "text.safetensors").write_text("no checkpoint")
    made = {
        "empty": folder("empty"),
        "gray": folder("gray", *noise),
        "tiny": folder("tiny", *[Image.fromarray(astronaut()[i : i + 20, :20]) for i in (0, 100, 200)]),
        "pixel": folder("pixel", Image.new("RGB", (1, 1), "red")),
        "damaged": folder("damaged"),
        "text": tmp_path / "text.safetensors",
    }
    for index in range(2):
        (made["damaged"] / f"{index}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    overrides = [override.format(**made) for override in overrides]
    places = [place for place in places if place.split("=")[0] not in {o.split("=")[0] for o in overrides}]
    code, _, err = command("train", "experiment=smoke", *places, *overrides)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2, err
    assert len(lines) == 1
    assert "Traceback" not in err
    for message in messages:
        assert message in lines[0]
    assert not list((tmp_path / "runs").rglob("*.ckpt"))


def test_other_networks_are_refused_when_a_run_goes_on(command, finished):
    words = ["experiment=smoke", f"runs_dir={finished.parent}", "name=run"]
    code, _, err = command("train", *words, "generator.widths=[16,16,16,16,16]")
    assert code == 2
    assert "generator.widths: [16, 16, 16, 16, 8] -> [16, 16, 16, 16, 16]" in err


def test_photos_that_changed_since_a_run_began_are_refused(command, run, run_words, photos):
    new = photos / "new.png"
    Image.fromarray(chelsea()[:80, :80]).save(new)
    try:
        code, _, err = command("train", *run_words)
    finally:
        new.unlink()
    assert code == 2
    assert "1 were added, removed or changed" in err
    assert "new.png" in err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), one_line_errors():
        1 / 0  # noqa: B018


def test_the_advice_of_an_error_about_photos_can_be_followed(command, tmp_path, draw_photos):
    photos = draw_photos(tmp_path / "photos", 12)
    for file in photos.glob("*"):
        Image.open(file).convert("L").save(file)
    words = ["experiment=smoke", "schedule.times=0", "data=folder", f"data.path={photos}", f"runs_dir={tmp_path}/runs"]
    words += [f"data.cache_dir={tmp_path}/cache", "trainer.enable_progress_bar=false", "name=run"]
    words.append("schedule.stages.generator_pretrain.steps=1")
    code, _, err = command("train", *words)
    assert code == 2
    assert "12 near-gray (data.path; data.min_colorfulness=" in err
    code, _, err = command("train", *words, "data.min_colorfulness=0")
    assert code == 0, err
    assert "min_colorfulness: 0\n" in (tmp_path / "runs/run/config.yaml").read_text()
    (tmp_path / "runs/run/manifest.csv").unlink()
    code, _, err = command("train", *words, "data.min_colorfulness=1")
    assert code == 2
    assert "holds a run with another config (data.min_colorfulness" in err
