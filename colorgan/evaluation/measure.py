"""Measure generators on photos turned gray, beside baselines: a record holds values and the protocol behind them."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from colorgan.checkpoint import load_generator, read_header
from colorgan.evaluation.clips import ClipSet
from colorgan.color import chroma_to_rgb, recombine, rgb_to_chroma
from colorgan.files import file_hash
from colorgan.metrics.base import MeanOverPictures, PictureMetric, resampling_counts
from colorgan.metrics.features import FeatureNetwork, FeatureStore
from colorgan.metrics.histograms import hue_and_chroma
from colorgan.evaluation.protocol import Protocol, PhotoSet, common_gray_rule
from colorgan.evaluation.results import Record, Results, measurement_key

Batch = Mapping[str, Tensor]
Method = Callable[[Batch], Tensor]  # a batch to pictures (N, 3, H, W) in [0, 1]

BASELINES = ("gray", "mean tint", "shuffled", "truth")
_NUM_REPLICATES = 1000
_LEAST_FOR_INTERVALS = 10
_VERSIONS = ("colorgan", "torch", "torchvision", "torchmetrics", "timm", "lpips", "kornia", "scikit-image")


@torch.no_grad()
def evaluate(method: Method | nn.Module, batches: Iterable[Batch], metrics: MetricCollection) -> dict[str, float]:
    """Measure a generator, or any other way to make pictures, on batches of gray and rgb.

    Args:
        method: a generator, which sees the gray alone, or a function of the whole batch.
        batches: `{"gray", "rgb"}` on the device of the method, both in [0, 1]; of clips also `motion`.
        metrics: classes with `update(fake_rgb, rgb)`; reset before, not after, so that they can be asked for more.

    Returns:
        Value by name of the metric.
    """
    metrics.reset()
    for batch in batches:
        fake_rgb = method(batch["gray"]) if isinstance(method, nn.Module) else method(batch)
        motion = [batch["motion"]] if "motion" in batch else []
        metrics.update(fake_rgb, batch["rgb"], *motion)
    return {name: float(value) for name, value in metrics.compute().items()}


def baselines(photos: PhotoSet | ClipSet) -> dict[str, Method]:
    """The four rows that every table needs, since each published metric is fooled by one of them.

    `gray` is the untouched input, `mean tint` puts the mean chroma of all these photos on each, `shuffled` the
    chroma of another photo, and `truth` is the photo itself.
    """
    rule = photos.protocol.gray_rule
    assert rule is not None
    tint: list[Tensor] = []

    def mean_tint(batch: Batch) -> Tensor:
        gray = batch["gray"]
        if not tint:  # found when it is first asked for: a resumed evaluation may not need it
            means = [rgb_to_chroma(b["rgb"]).mean(dim=(2, 3)) for b in photos.loader()]
            tint.append(torch.cat(means).mean(dim=0).view(1, 2, 1, 1).to(gray))
        return recombine(gray, chroma_to_rgb(gray, tint[0].expand(len(gray), -1, *gray.shape[2:])), rule)

    def shuffled(batch: Batch) -> Tensor:
        return recombine(batch["gray"], photos.others(batch).to(batch["gray"]), rule)

    shuffles: dict[str, Method] = {"shuffled": shuffled} if photos.num_subjects > 1 else {}
    return {
        "gray": lambda batch: recombine(batch["gray"], batch["gray"].expand(-1, 3, -1, -1), rule),
        "mean tint": mean_tint,
        **shuffles,
        "truth": lambda batch: batch["rgb"],
    }


def resolve_protocol(protocol: Protocol, headers: list[Mapping[str, Any]]) -> Protocol:
    """Fill in what the protocol leaves to the checkpoints: image size (the largest) and gray rule (the same for all).

    Raises:
        ValueError: checkpoints of two gray rules cannot share a table.
    """
    return replace(
        protocol,
        image_size=protocol.image_size or max(int(header["image_size"]) for header in headers),
        gray_rule=protocol.gray_rule or common_gray_rule(headers, "protocol"),
    )


def evaluate_checkpoints(
    checkpoints: Mapping[str, Path],
    photos: PhotoSet | ClipSet,
    metrics: MetricCollection,
    results: Results,
    *,
    device: str = "cpu",
    num_workers: int = 0,
    store: FeatureStore | None = None,
    with_truth: bool = True,
    track: Callable[[Iterable[Batch], str], Iterable[Batch]] = lambda batches, name: batches,
) -> list[Record]:
    """Records of the baselines and of each checkpoint; what `results` holds already is not measured again.

    Args:
        checkpoints: file by name of the row.
        photos: the test photos or clips, with a resolved protocol.
        metrics: `PictureMetric`s by name.
        results: where records are read from and added to.
        device: where networks run.
        num_workers: processes that read photos.
        store: keeps features of photos on disk.
        with_truth: False for black-and-white photos: only metrics that need no photo, no baseline but gray.
        track: wraps the batches of a row that is measured, with its name: a progress bar.

    Returns:
        In the order of the table: gray, mean tint, shuffled, checkpoints, truth.
    """
    if not with_truth:
        chosen = {name: metric for name, metric in metrics.items() if not metric.needs_truth}
        metrics = MetricCollection(chosen, compute_groups=False)  # type: ignore[arg-type]
        if not chosen:
            raise ValueError("none of the metrics can do without the truth; colorfulness can (metrics=full)")
    for metric in metrics.values():
        judge = getattr(metric, "features", None)
        if isinstance(judge, FeatureNetwork):
            judge.store = store
    metrics.to(device)
    simple = baselines(photos)
    before = [name for name in simple if name != "truth"] if with_truth else ["gray"]
    measurement = _Measurement(photos, metrics, results, device, num_workers, with_truth, track)
    records = [measurement.of(name, simple[name]) for name in before]
    records += [measurement.of(name, path) for name, path in checkpoints.items()]
    return records + ([measurement.of("truth", simple["truth"])] if with_truth else [])


class _Measurement:
    """Rows of one table: same photos, protocol and metrics."""

    def __init__(
        self,
        photos: PhotoSet | ClipSet,
        metrics: MetricCollection,
        results: Results,
        device: str,
        num_workers: int,
        with_truth: bool,
        track: Callable[[Iterable[Batch], str], Iterable[Batch]],
    ) -> None:
        self.metrics: dict[str, PictureMetric] = dict(metrics.items())  # type: ignore[arg-type]
        self.photos, self.results, self.device = photos, results, device
        self.num_workers, self.track = num_workers, track
        self.protocol = {
            "name": photos.protocol.name,
            "photos": photos.protocol.photos,
            f"num_{photos.unit}": len(photos),
            f"{photos.unit}_sha256": photos.sha256,
            "with_truth": with_truth,
            **photos.protocol.describe(),
        }

    def of(self, name: str, subject: Method | Path) -> Record:
        """The record of a row: what is known of it, completed by what is not."""
        checkpoint = subject if isinstance(subject, Path) else None
        identity = file_hash(checkpoint) if checkpoint else name
        key = measurement_key(identity, {k: v for k, v in self.protocol.items() if k != "name"})
        known = self.results.records().get(key, {"metric_protocols": {}})
        measured = known["metric_protocols"] if self.results.arrays(key) else {}
        missing = [name for name, metric in self.metrics.items() if measured.get(name) != metric.describe()]
        if missing:
            facts = {"key": key, "name": name, "data": self.photos.data, "protocol": self.protocol}
            if checkpoint:
                facts["checkpoint"] = _facts_of(checkpoint, identity)
            method = self._method(subject) if isinstance(subject, Path) else subject
            self._measure(facts, method, missing)
            known = self.results.records()[key]
        wanted = {part: {m: known[part][m] for m in self.metrics} for part in ("metrics", "intervals")}
        record = {**known, **wanted, "name": name}
        if checkpoint:
            record["checkpoint"] = {**known["checkpoint"], "path": str(checkpoint)}
            through = known["checkpoint"]["trained_through"]
            record["judged_by_its_teacher"] = [name for name, m in self.metrics.items() if m.judge() in through]
        return record

    def _method(self, checkpoint: Path) -> Method:
        generator = load_generator(checkpoint).to(self.device)
        return lambda batch: self.photos.protocol.colorize(generator, batch["gray"])

    @torch.no_grad()
    def _measure(self, facts: Record, method: Method, names: list[str]) -> None:
        chosen = {name: self.metrics[name] for name in names}
        seconds: dict[str, float] = dict.fromkeys(["photos", "picture", "histograms", *names], 0.0)
        histograms = torch.zeros((), dtype=torch.float64)
        for metric in chosen.values():
            metric.reset()
        clock = _Clock(seconds)
        for batch in self.track(self.photos.loader(self.num_workers), facts["name"]):
            on_device = {key: value.to(self.device) for key, value in batch.items()}
            clock.spent("photos")
            fake_rgb = method(on_device)
            if "checkpoint" in facts or facts["name"] != "truth":
                fake_rgb = self.photos.protocol.finish(fake_rgb, on_device["rgb"])
            clock.spent("picture")
            motion = [on_device["motion"]] if "motion" in on_device else []
            for name, metric in chosen.items():
                metric.update(fake_rgb, on_device["rgb"], *motion)
                clock.spent(name)
            histograms = histograms + hue_and_chroma(fake_rgb)
            clock.spent("histograms")
        values, intervals, arrays = self._summarize(chosen, clock)
        record = {
            **facts,
            "metrics": values,
            "intervals": intervals,
            "metric_protocols": {name: metric.describe() for name, metric in chosen.items()},
            "versions": {package: version(package) for package in _VERSIONS},
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
        }
        self.results.add(record, {**arrays, "histograms": histograms.numpy()})

    def _summarize(
        self, metrics: Mapping[str, PictureMetric], clock: "_Clock"
    ) -> tuple[dict[str, float | None], dict[str, list[float] | None], dict[str, np.ndarray]]:
        counts = resampling_counts(len(self.photos), _NUM_REPLICATES).to(self.device)
        values: dict[str, float | None] = {}
        intervals: dict[str, list[float] | None] = {}
        arrays: dict[str, np.ndarray] = {}
        for name, metric in metrics.items():
            value = float(metric.compute())
            values[name] = value if math.isfinite(value) else None
            intervals[name] = None
            if isinstance(metric, MeanOverPictures):
                arrays[f"each/{name}"] = metric.value_of_each().cpu().numpy()
            if len(self.photos) >= _LEAST_FOR_INTERVALS:
                replicates = metric.replicates(counts).cpu().numpy()
                arrays[f"replicates/{name}"] = replicates
                intervals[name] = [float(bound) for bound in np.percentile(replicates, [2.5, 97.5])]
            metric.reset()
            clock.spent(name)
        return values, intervals, arrays


class _Clock:
    """Adds the time since it was last asked to a part."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def spent(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part] += now - self.last
        self.last = now


def _facts_of(checkpoint: Path, digest: str) -> dict[str, Any]:
    header = read_header(checkpoint)
    facts = {key: header.get(key) for key in ("stage", "step", "total_step", "image_size")}
    return {"path": str(checkpoint), "sha256": digest, **facts, "trained_through": header.get("trained_through", [])}
