"""What a record holds, what the baselines are, and that nothing is measured twice."""

from importlib.metadata import version

import datasets
import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from colorgan.checkpoint import load_generator
from colorgan.color import chroma_to_rgb, rgb_to_chroma, rgb_to_gray
from colorgan.data import FolderSource
from colorgan.evaluation import evaluate
from colorgan.evaluation.clips import MotionClips
from colorgan.evaluation.measure import baselines, evaluate_checkpoints, mean_values
from colorgan.evaluation.protocol import ClipProtocol
from colorgan.evaluation.results import Results
from colorgan.metrics import CDC, CIEDE2000, PSNR, ChromaDistance, ChromaFlicker, Colorfulness


class Sepia(nn.Module):
    """The same chroma on every gray."""

    gray_rule = "luma601"

    def forward(self, gray):
        chroma = torch.tensor([-0.05, 0.05]).view(1, 2, 1, 1).expand(len(gray), 2, *gray.shape[2:])
        return chroma_to_rgb(gray, chroma).clamp(0, 1)


def test_a_record_has_values_intervals_and_the_protocol(draw_photos, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = draw_photos(tmp_path / "photos", 12, size=(280, 260))
    record = evaluate(Sepia(), FolderSource(str(folder)), {"psnr": PSNR(), "colorfulness": Colorfulness()})
    low, high = record["intervals"]["psnr"]
    assert low < record["metrics"]["psnr"] < high
    protocol = record["protocol"]
    assert (protocol["num_photos"], protocol["image_size"], protocol["gray_rule"]) == (12, 256, "luma601")
    assert protocol["photos"] == "all"
    assert record["data"] == {"kind": "folder", "path": str(folder)}
    assert record["metric_protocols"]["colorfulness"]["formula"] == "signed"
    assert record["versions"]["torch"] == version("torch")


class CropsOfPhotos(FolderSource):
    """Each photo four times, a little smaller each time."""

    def listing(self):
        rows = [{**row, "crop": crop, "group": row["name"]} for row in super().listing() for crop in range(4)]
        return datasets.Dataset.from_list([{**row, "name": f"{row['name']} {row['crop']}"} for row in rows])

    def open(self, row):
        photo = super().open({"name": row["group"]})
        return photo.crop((row["crop"], 0, *photo.size))


def test_intervals_are_over_photos_and_not_over_their_crops(draw_photos, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder, metrics = str(draw_photos(tmp_path / "photos", 12, size=(280, 260))), {"psnr": PSNR()}
    photos, crops = (evaluate(Sepia(), source(folder), metrics) for source in (FolderSource, CropsOfPhotos))
    assert (crops["protocol"]["num_photos"], crops["protocol"]["num_groups"]) == (48, 12)
    widths = [np.diff(record["intervals"]["psnr"]) for record in (photos, crops)]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_a_distance_of_sets_is_left_out_where_groups_are_few(draw_photos, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    source = CropsOfPhotos(str(draw_photos(tmp_path / "photos", 8, size=(280, 260))))
    record = evaluate(Sepia(), source, {"psnr": PSNR(), "chroma_distance": ChromaDistance()})
    assert set(record["metrics"]) == {"psnr"}
    reason = "needs 30 independent groups of photos; here are 8"
    assert record["left_out"] == {"chroma_distance": reason}
    assert record["intervals"] == {"psnr": None}


def test_another_grouping_of_the_same_photos_is_another_measurement(photo_set, tmp_path):
    results, kept = Results(tmp_path / "results"), []
    for groups in (["a", "b", "c", "d", "e"], ["a", "a", "b", "c", "d"], ["a", "b", "c", "d", "d"]):
        photos = photo_set()
        photos.groups = groups
        kept += [r["key"] for r in evaluate_checkpoints({}, photos, MetricCollection({"psnr": PSNR()}), results)]
    assert len(set(kept)) == len(kept)


def test_the_gray_rule_of_a_source_is_the_generators(draw_photos, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    generator = Sepia()
    generator.gray_rule = "lightness"
    record = evaluate(generator, FolderSource(str(draw_photos(tmp_path / "p", 2, size=(280, 260)))), {"psnr": PSNR()})
    assert record["protocol"]["gray_rule"] == "lightness"


def test_a_set_with_its_own_protocol_is_measured_under_it(photo_set):
    photos = photo_set(recombination="lab")
    record = evaluate(Sepia(), photos, MetricCollection({"psnr": PSNR()}))
    (batch,) = photos.loader()
    finished = photos.protocol.finish(Sepia()(batch["gray"]), batch["rgb"])
    expected = PSNR()
    expected.update(finished, batch["rgb"])
    assert record["metrics"]["psnr"] == pytest.approx(expected.compute().item())
    assert record["protocol"]["recombination"] == "lab"
    assert record["intervals"] == {"psnr": None}  # five photos are too few


def test_clips_are_measured_over_time():
    rng = np.random.default_rng(0)
    pixels = {str(n): rng.integers(0, 256, (60, 60, 3), dtype=np.uint8) for n in range(2)}
    protocol = ClipProtocol(image_size=24, network_size=24, gray_rule="luma601")
    panel = MotionClips(pixels, protocol, num_frames=5, motions=["pan"], data={"kind": "noise"})
    record = evaluate(Sepia(), panel, {"cdc": CDC(), "chroma_flicker": ChromaFlicker()})
    assert record["protocol"]["num_clips"] == 2
    assert record["metrics"]["chroma_flicker"] > 0
    gray = mean_values(baselines(panel)["gray"], panel.loader(), MetricCollection({"flicker": ChromaFlicker()}))
    assert gray["flicker"] < 1e-3


def test_values_alone_are_those_of_the_metrics_and_start_afresh(photo_set):
    photos, metrics = photo_set(), MetricCollection({"psnr": PSNR(), "ciede2000": CIEDE2000()})
    methods = baselines(photos)
    first = mean_values(methods["gray"], photos.loader(), metrics)
    assert mean_values(methods["truth"], photos.loader(), metrics) == {"psnr": 100, "ciede2000": 0}
    assert mean_values(methods["gray"], photos.loader(), metrics) == first


def test_baselines_keep_the_gray_and_have_the_colours_they_are_named_for(photo_set):
    photos = photo_set()
    (batch,) = photos.loader()
    made = {name: method(batch) for name, method in baselines(photos).items()}
    assert list(made) == ["gray", "mean tint", "shuffled", "truth"]
    for rgb in made.values():
        torch.testing.assert_close(rgb_to_gray(rgb), batch["gray"], rtol=0, atol=1e-5)
    assert rgb_to_chroma(made["gray"]).abs().max() < 1e-5
    assert torch.equal(made["truth"], batch["rgb"])
    mean = rgb_to_chroma(batch["rgb"]).mean(dim=(0, 2, 3))
    tint = rgb_to_chroma(made["mean tint"]).median(dim=-1).values.median(dim=-1).values  # some pixels hit the gamut
    torch.testing.assert_close(tint, mean.expand(5, 2), rtol=0, atol=1e-4)
    shuffled, other = (rgb_to_chroma(rgb).mean(dim=(2, 3)) for rgb in (made["shuffled"], batch["rgb"][[2, 3, 4, 0, 1]]))
    assert (shuffled - other).abs().max() < 0.06


def test_one_photo_has_no_other_to_shuffle_with(photo_set):
    assert list(baselines(photo_set(first=1))) == ["gray", "mean tint", "truth"]


@pytest.fixture
def measure_run(run, photo_set, tmp_path):
    """Records of a finished run and the names of the rows that were measured."""

    def measure(metrics, **options):
        measured = []

        def track(batches, name):
            measured.append(name)
            return batches

        results = Results(tmp_path / "results")
        checkpoints = {"run": run / "final.safetensors"}
        collection = MetricCollection(metrics, compute_groups=False)
        records = evaluate_checkpoints(checkpoints, photo_set(), collection, results, track=track, **options)
        return {record["name"]: record for record in records}, measured

    return measure


ROWS = ["gray", "mean tint", "shuffled", "run", "truth"]


def test_a_row_is_measured_once_and_a_new_metric_alone(measure_run):
    first, measured = measure_run({"psnr": PSNR()})
    assert list(first) == measured == ROWS
    again, measured = measure_run({"psnr": PSNR()})
    assert (again, measured) == (first, [])
    more, measured = measure_run({"psnr": PSNR(), "colorfulness": Colorfulness()})
    assert measured == ROWS
    assert {name: record["metrics"]["psnr"] for name, record in more.items()} == {
        name: record["metrics"]["psnr"] for name, record in first.items()
    }
    _, measured = measure_run({"colorfulness": Colorfulness("abs")})  # another formula is another number
    assert measured == ROWS


def test_a_row_of_a_checkpoint_equals_what_the_generator_scores(measure_run, photo_set, run):
    rows, _ = measure_run({"psnr": PSNR()})
    alone = evaluate(load_generator(run), photo_set(), {"psnr": PSNR()})
    assert alone["metrics"] == rows["run"]["metrics"]
    assert alone["protocol"] == rows["run"]["protocol"]
    assert rows["run"]["checkpoint"]["path"] == str(run / "final.safetensors")


@pytest.mark.slow
def test_another_engine_is_another_row_and_named(measure_run, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    by_torch, _ = measure_run({"psnr": PSNR()})
    by_onnx, measured = measure_run({"psnr": PSNR()}, engine="onnx")
    assert measured == ["run"]
    assert by_onnx["run"]["protocol"] == {**by_torch["run"]["protocol"], "engine": "onnx fp32"}
    assert by_onnx["run"]["metrics"]["psnr"] == pytest.approx(by_torch["run"]["metrics"]["psnr"], abs=1e-3)
    assert measure_run({"psnr": PSNR()}) == (by_torch, [])


def test_without_truth_only_gray_and_checkpoints_are_measured(measure_run):
    rows, _ = measure_run({"psnr": PSNR(), "colorfulness": Colorfulness()}, with_truth=False)
    assert list(rows) == ["gray", "run"]
    assert list(rows["run"]["metrics"]) == ["colorfulness"]
    with pytest.raises(ValueError, match="none of the metrics can do without the truth"):
        measure_run({"psnr": PSNR()}, with_truth=False)
