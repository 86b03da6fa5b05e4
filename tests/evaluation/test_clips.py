"""Clips measured through `evaluate.py`, and the panel of moved photos in a run."""

import json
import math
import shutil

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from rewriting import rewritten

from colorgan.checkpoint import find_checkpoint
from colorgan.data import ClipsSource, FolderSource
from colorgan.data.library import Split
from colorgan.evaluation.clips import FilmClips, MotionClips, MotionPanel, grainy_pan
from colorgan.evaluation.photos import PhotoFacts, PhotoSet
from colorgan.evaluation.protocol import ClipProtocol, Protocol


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


ROWS = ["gray", "mean tint", "shuffled", "run", "truth"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two pans over photos, of 6 and 9 frames and two sizes, and one that is too short."""
    from skimage.data import astronaut, coffee

    folder = tmp_path_factory.mktemp("clips")
    shots = {"one": (astronaut(), 6, (60, 40)), "two": (coffee(), 9, (48, 64)), "short": (coffee(), 2, (32, 32))}
    for name, (photo, count, size) in shots.items():
        (folder / name).mkdir()
        for t in range(count):
            frame = Image.fromarray(photo[:300, 10 * t : 10 * t + 300]).resize(size)
            frame.save(folder / name / f"{t:05d}.png")
    return folder


def lines_of(folder):
    return {r["name"]: r for r in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())}


def test_clips_get_a_table_a_report_and_strips(run, clips, tmp_path, command):
    out = tmp_path / "out"
    wanted = (f"checkpoints={run}", "data=clips", f"data.path={clips}", f"out={out}")
    code, printed, _ = command("evaluate", *wanted)
    assert code == 0
    assert "2 clips in 2 groups, 256 px, protocol clips" in printed
    assert "clips left out: 1 too short" in printed
    assert "no intervals and no paired tests: they need 10 groups of clips; here are 2" in printed
    lines = lines_of(out)
    assert list(lines) == ROWS
    assert lines["gray"]["metrics"]["chroma_flicker"] < 1e-2
    assert lines["gray"]["metrics"]["colorfulness"] < 1e-3
    assert lines["truth"]["metrics"]["psnr"] == 100
    assert 0 < lines["truth"]["metrics"]["cdc"] < math.log(2)
    assert lines["run"]["metrics"]["chroma_flicker"] > lines["gray"]["metrics"]["chroma_flicker"]
    protocol = lines["run"]["protocol"]
    assert (protocol["num_clips"], protocol["flow"], protocol["network_size"]) == (2, "dis_medium", 64)
    assert "bootstrap interval" not in (out / "report.md").read_text()
    assert {file.name for file in (out / "figures").iterdir()} == {"clip-1.png", "clip-2.png", "colors.png"}
    before = (out / "metrics.jsonl").read_bytes()
    assert command("evaluate", *wanted)[0] == 0
    assert (out / "metrics.jsonl").read_bytes() == before


def test_smoothing_lowers_the_flicker_that_is_measured(run, clips, tmp_path, command):
    flicker = {}
    for strength in (0.0, 0.9):
        code, _, _ = command(
            "evaluate", f"checkpoints={run}", "data=clips", f"data.path={clips}/one", f"out={tmp_path}/out",
            f"clip_protocol.smooth={strength}",
        )  # fmt: skip
        assert code == 0
        flicker[strength] = lines_of(tmp_path / "out")["run"]["metrics"]["chroma_flicker"]
    assert flicker[0.9] < flicker[0.0]
    names = [json.loads(line)["name"] for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(names) == ["gray", "mean tint", "run", "run", "truth"]  # baselines once


def test_moved_photos_need_no_clip(run, photos, tmp_path, command):
    out = tmp_path / "out"
    code, printed, _ = command(
        "evaluate", f"checkpoints={run}", "motion=panel", "motion.num_photos=2", "motion.num_frames=5", "data=folder",
        f"data.path={photos}", f"data.cache_dir={tmp_path}/cache", f"out={out}",
    )  # fmt: skip
    assert code == 0
    assert "8 clips in 2 groups, 32 px, protocol motion" in printed
    lines = lines_of(out)
    assert list(lines) == ROWS
    assert lines["truth"]["protocol"]["flow"] == "exact"
    assert lines["truth"]["protocol"]["network_size"] == 32


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.path=nowhere", "no folder or video nowhere"),
        ("clip_protocol.smooth=1", "smooth must be in [0, 1), got 1"),
        ("clip_protocol.image_size=4", "image_size must be at least 16 or null, got 4"),
        ("clip_protocol.flow=farneback", "flow='farneback' is unknown; allowed: dis, raft"),
        ("clip_protocol.flow=raft", "raft_large_C_T_SKHT_V2-ff5fadd5.pth"),
        ("clip_protocol.gray_rule=red", "gray_rule='red' is unknown"),
        ("data.max_frames=3", "none of 3 clips"),
        ("+clip_metrics.cdc.steps=[0]", "steps must be numbers of at least 1"),
    ],
)
def test_mistakes_are_said_in_a_line(run, clips, tmp_path, command, monkeypatch, override, message):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    code, _, error = command(
        "evaluate", f"checkpoints={run}", "data=clips", f"data.path={clips}", f"out={tmp_path}/out", override
    )
    assert code == 2
    assert message in error.strip().splitlines()[-1]
    assert "Traceback" not in error


def test_clips_and_moved_photos_exclude_each_other(run, clips, tmp_path, command):
    code, _, error = command("evaluate", f"checkpoints={run}", "data=clips", f"data.path={clips}", "motion=panel")
    assert code == 2
    assert "motion=panel moves photos; data=clips moves by itself" in error


def test_clips_that_a_run_trained_on_are_not_measured(clips):
    source, protocol = ClipsSource(str(clips)), ClipProtocol(network_size=32, gray_rule="luma601")
    splits = [Split(seed, "8" + 63 * "0") for seed in range(40)]
    one, two = source.group("one"), source.group("two")
    held_out = next(split for split in splits if split.holds_out(one) and not split.holds_out(two))
    film = FilmClips(source, protocol, [held_out])
    assert film.names == ["one"]
    assert film.left_out()["trained on"] >= 1
    with pytest.raises(ValueError, match="trained on all clips"):
        FilmClips(source, protocol, [Split(0, "")])


def test_clips_that_a_run_trained_on_are_known_in_other_folders_and_under_other_names(clips, tmp_path):
    copy = tmp_path / "batch1" / "renamed"
    shutil.copytree(clips / "two", copy)
    source, protocol = ClipsSource(str(clips)), ClipProtocol(network_size=32, gray_rule="luma601")
    splits = [Split(seed, "8" + 63 * "0") for seed in range(40)]
    trained = next(split for split in splits if not split.holds_out(source.group("two")))
    for folder in (tmp_path, copy.parent, copy):
        with pytest.raises(ValueError, match="trained on all clips"):
            FilmClips(ClipsSource(str(folder)), protocol, [trained])


def test_checkpoints_that_know_clips_by_path_or_trained_on_clips_alone_are_refused(run, clips, tmp_path, command):
    def splits(name, **facts):
        return rewritten(find_checkpoint(run), tmp_path / f"{name}.safetensors", lambda h: h["splits"][0].update(facts))

    old, new = splits("old", kind="clips"), splits("new", kind="clips", identity="content")
    code, _, error = command("evaluate", f"checkpoints={old}", "data=clips", f"data.path={clips}")
    assert code == 2
    assert "old knows clips by their paths (an older version wrote it)" in error
    code, _, error = command("evaluate", f"checkpoints={new}", f"out={tmp_path}/out")
    assert code == 2
    assert "new trained on clips, so its split tells nothing of single photos" in error


def test_another_photo_lends_its_colours_under_the_same_motion(photos):
    pixels = {str(n): np.full((60, 60, 3), 40 * n + 20, np.uint8) for n in range(3)}
    protocol = ClipProtocol(image_size=24, network_size=24, gray_rule="luma601")
    panel = MotionClips(pixels, protocol, num_frames=5, motions=["pan", "zoom"], data={})
    for position in range(len(panel)):
        assert panel.other(position) // 2 != position // 2
        assert panel.other(position) % 2 == position % 2
    assert panel.num_groups == 3


def test_motions_of_a_photo_and_crops_of_one_photo_are_a_group():
    pixels = {str(n): np.zeros((60, 60, 3), np.uint8) for n in range(4)}
    protocol = ClipProtocol(image_size=24, network_size=24, gray_rule="luma601")
    facts = [PhotoFacts("0" * 64, group, 60, 20.0) for group in "aabb"]
    panel = MotionClips(pixels, protocol, num_frames=5, motions=["pan", "zoom"], data={}, facts=facts)
    assert panel.group_numbers() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [panel.other(position) for position in (0, 3, 5)] == [4, 7, 1]


def test_equal_clips_count_once(clips, tmp_path):
    for name, source in {"a": "one", "b": "two", "c": "one"}.items():
        shutil.copytree(clips / source, tmp_path / name)
    source = ClipsSource(str(tmp_path))
    film = FilmClips(source, ClipProtocol(network_size=32, gray_rule="luma601"))
    assert film.names == ["a", "b"]
    assert film.groups == [source.group("a"), source.group("b")]
    assert film.left_out() == {"duplicate": 1}


def test_a_strip_shows_frames_and_the_flicker_of_a_line(clips):
    protocol = ClipProtocol(network_size=32, gray_rule="luma601", image_size=40)
    film = FilmClips(ClipsSource(str(clips)), protocol)
    batch = film.batch(0)
    flicker = batch["rgb"] * torch.tensor([1.0, 0.2] * 3).view(-1, 1, 1, 1)  # every other frame is dark
    sheet = np.asarray(film.sheet([0], {"truth": [batch["rgb"]], "flicker": [flicker]}).convert("L")).astype(float)
    assert sheet.shape == (20 + 2 * 120 + 4, 150 + 5 * 180 + 4 * 4)  # labels; four frames and a slice, 60:40
    slices = [sheet[top : top + 120, -180:].mean(axis=1) for top in (20, 144)]
    jumps = [np.abs(np.diff(one)).max() for one in slices]
    assert jumps[1] > 5 * jumps[0]


def test_a_report_shows_a_few_clips_evenly_spaced():
    pixels = {str(n): np.zeros((60, 60, 3), np.uint8) for n in range(5)}
    protocol = ClipProtocol(image_size=24, network_size=24, gray_rule="luma601")
    panel = MotionClips(pixels, protocol, num_frames=5, motions=["pan", "zoom"], data={})
    assert [positions for _, positions in panel.sheets([], "").values()] == [[0], [2], [5], [7]]
    assert panel.sheets([], "")["clip-2"][0].startswith("1 pan: four frames")


def test_a_panel_of_too_few_frames_is_refused():
    with pytest.raises(ValueError, match=r"num_frames of at least 5, got 8 and 4 \(motion\.num_photos"):
        MotionPanel(num_frames=4)


def test_a_run_measures_moved_photos_after_each_validation_and_at_its_end(smoke, tmp_path, capsys):
    from colorgan.checkpoint import read_header
    from colorgan.training.run import train

    short = [f"schedule.stages.{stage}.steps=1" for stage in ("generator_pretrain", "critic_pretrain")]
    train(smoke("motion=panel", "motion.num_photos=1", "motion.num_frames=5", "schedule.stages.gan.steps=4", *short))
    folder = tmp_path / "runs" / "run"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        measured = {name for name in line["metrics"] if name.startswith("motion_")}
        assert bool(measured) == (line["stage"] != "02-critic_pretrain")
    assert {"motion_cdc", "motion_warp_error", "motion_chroma_flicker", "motion_colorfulness"} <= measured
    snapshot = sorted((folder / "03-gan" / "snapshots").iterdir())[-1]
    assert read_header(snapshot)["metrics"]["motion_cdc"] == lines[-1]["metrics"]["motion_cdc"]
    # the last validation and the table at the end measure the same thing
    final = [r for r in map(json.loads, (folder / "evaluation" / "metrics.jsonl").read_text().splitlines())]
    (table,) = [r for r in final if r["protocol"]["name"] == "motion" and r["name"] == "final"]
    known = {line["step"]: line["metrics"]["motion_chroma_flicker"] for line in lines if line["stage"] == "03-gan"}
    assert any(abs(table["metrics"]["chroma_flicker"] - value) < 1e-4 for value in known.values())
    assert "protocol motion" in capsys.readouterr().out


def test_the_film_pans_over_the_most_colourful_of_some_photos(tmp_path):
    for name, color in {"pale": (120, 112, 104), "red": (200, 0, 0), "sand": (140, 120, 90)}.items():
        Image.new("RGB", (40, 40), color).save(tmp_path / f"{name}.png")
    protocol = Protocol(photos="all", image_size=32, gray_rule="luma601")
    photos = PhotoSet.of_source(FolderSource(str(tmp_path)), protocol, cache_dir=str(tmp_path / "cache"))
    frames = list(grainy_pan(photos))
    assert (len(frames), frames[0].size, frames[0].mode) == (72, (256, 256), "L")
    assert np.asarray(frames[0]).mean() == pytest.approx(0.299 * 200, abs=2)
