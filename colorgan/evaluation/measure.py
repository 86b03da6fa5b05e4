"""Measure generators on photos or clips turned gray, beside baselines: values, and the protocol behind them."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from colorgan.checkpoint import load_generator, read_header
from colorgan.color import chroma_to_rgb, recombine, rgb_to_chroma
from colorgan.colorize.engines import WORTH_CONVERTING, open_engine
from colorgan.data.sources import Source
from colorgan.evaluation.exposure import exposure
from colorgan.evaluation.photos import Batch, MeasuredSet, PhotoSet
from colorgan.evaluation.protocol import BaseProtocol, Protocol
from colorgan.evaluation.results import Record, Results, measurement_key
from colorgan.files import file_hash
from colorgan.metrics.base import LEAST_FOR_INTERVALS, MeanOverPictures, PictureMetric, resampling_counts, too_few
from colorgan.metrics.histograms import hue_and_chroma
from colorgan.metrics.judges import partial_judges

Method = Callable[[Batch], Tensor]  # a batch to pictures (N, 3, H, W) in [0, 1]
Track = Callable[[Iterable[Batch], str], Iterable[Batch]]  # wraps the batches of a row, with its name

BASELINES = ("gray", "mean tint", "shuffled", "truth")
_NUM_REPLICATES = 1000
_VERSIONS = ("colorgan", "torch", "torchvision", "torchmetrics", "timm", "lpips", "kornia", "scikit-image")


def evaluate(
    generator: nn.Module, source: Source | MeasuredSet, metrics: Mapping[str, PictureMetric], *, num_workers: int = 0
) -> Record:
    """Measure a generator on photos or clips, and say under which protocol.

        generator = load_generator("runs/nogan_video-minutes-samples")
        record = evaluate(generator, FolderSource("my_photos"), {"psnr": PSNR(), "colorfulness": Colorfulness()})
        record["metrics"]["psnr"], record["intervals"]["psnr"]

    Baselines, tables and reports come from `compare`.

    Args:
        generator: in eval mode; it is measured on its device.
        source: of photos, all of which are measured as squares of 256 px under the generator's gray rule, smaller ones
            left out; or a `PhotoSet` or `ClipSet` with a protocol of its own.
        metrics: by name; a `MetricCollection` serves too.
        num_workers: processes that read photos.

    Returns:
        `data`, `protocol`, `metrics` (values by name), `intervals` (95 %, over groups of photos or clips; None for
        fewer than 10), `metric_protocols`, `versions`, `seconds`, and `left_out`: the metrics that so few groups
        cannot carry, with the reason.
    """
    if not isinstance(source, MeasuredSet):
        protocol = Protocol(photos="all", image_size=256, gray_rule=str(generator.gray_rule))
        source = PhotoSet.of_source(source, protocol)
    device = next((str(parameter.device) for parameter in generator.parameters()), "cpu")
    batches = source.loader(num_workers)
    chosen = {name: metric for name, metric in metrics.items() if not too_few(metric, source.num_groups)}
    left_out = {name: too_few(metric, source.num_groups) for name, metric in metrics.items() if name not in chosen}
    facts, _ = _measured(source, batches, _colorize_with(generator, source), chosen, device)
    return {
        "data": source.data,
        "protocol": _stated(source, source.protocol, with_truth=True),
        **facts,
        "left_out": left_out,
    }


@torch.no_grad()
def mean_values(method: Method, batches: Iterable[Batch], metrics: MetricCollection) -> dict[str, float]:
    """Measure any way to make pictures on batches of gray and rgb; values alone, without protocol and intervals.

    Args:
        method: a function of the whole batch.
        batches: `{"gray", "rgb"}` on the device of the method, both in [0, 1]; of clips also `motion`.
        metrics: classes with `update(fake_rgb, rgb)`; reset before, not after, so that they can be asked for more.

    Returns:
        Value by name of the metric.
    """
    metrics.reset()
    for batch in batches:
        metrics.update(method(batch), batch["rgb"], *_motion_of(batch))
    return {name: float(value) for name, value in metrics.compute().items()}


def _motion_of(batch: Batch) -> list[Any]:
    """List what metrics of clips need besides the pictures."""
    return [batch["motion"]] if "motion" in batch else []


def baselines(photos: MeasuredSet) -> dict[str, Method]:
    """Make the four rows that every table needs, since each published metric is fooled by one of them.

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

    shuffles: dict[str, Method] = {"shuffled": shuffled} if photos.num_groups > 1 else {}
    return {
        "gray": lambda batch: recombine(batch["gray"], batch["gray"].expand(-1, 3, -1, -1), rule),
        "mean tint": mean_tint,
        **shuffles,
        "truth": lambda batch: batch["rgb"],
    }


def evaluate_checkpoints(
    checkpoints: Mapping[str, Path],
    photos: MeasuredSet,
    metrics: MetricCollection,
    results: Results,
    *,
    device: str = "cpu",
    engine: str = "torch",
    num_workers: int = 0,
    with_truth: bool = True,
    track: Track = lambda batches, name: batches,
) -> list[Record]:
    """Measure the baselines and each checkpoint; what `results` holds already is not measured again.

    Args:
        checkpoints: file by name of the row.
        photos: the test photos or clips, with a resolved protocol.
        metrics: `PictureMetric`s by name.
        results: where records are read from and added to.
        device: where networks run.
        engine: which runs the generator (`colorize.engines`); another than torch is named in the protocol.
        num_workers: processes that read photos.
        with_truth: False for black-and-white photos: only metrics that need no photo, no baseline but gray.
        track: wraps the batches of a row that is measured, with its name: a progress bar.

    Returns:
        Records in the order of the table: gray, mean tint, shuffled, checkpoints, truth.
    """
    chosen: dict[str, PictureMetric] = dict(metrics.items())  # type: ignore[arg-type]
    if not with_truth:
        chosen = {name: metric for name, metric in chosen.items() if not metric.needs_truth}
        if not chosen:
            raise ValueError("none of the metrics can do without the truth; colorfulness can (metrics=full)")
    wanted, chosen = chosen, {name: m for name, m in chosen.items() if not too_few(m, photos.num_groups)}
    if not chosen:
        name, metric = next(iter(wanted.items()))
        raise ValueError(f"none of the metrics can be measured: {name} {too_few(metric, photos.num_groups)} (metrics)")
    metrics.to(device)
    simple = baselines(photos)
    before = [name for name in simple if name != "truth"] if with_truth else ["gray"]
    rows = _Rows(
        photos,
        chosen,
        results,
        device=device,
        engine=engine,
        num_workers=num_workers,
        with_truth=with_truth,
        track=track,
    )
    records = [rows.of_baseline(name, simple[name]) for name in before]
    records += [rows.of_checkpoint(name, path) for name, path in checkpoints.items()]
    return records + ([rows.of_baseline("truth", simple["truth"])] if with_truth else [])


class _Rows:
    """Rows of one table: same photos, protocol and metrics."""

    def __init__(
        self,
        photos: MeasuredSet,
        metrics: Mapping[str, PictureMetric],
        results: Results,
        *,
        device: str,
        engine: str,
        num_workers: int,
        with_truth: bool,
        track: Track,
    ) -> None:
        self.photos, self.metrics, self.results, self.device = photos, metrics, results, device
        self.engine = engine
        self.num_workers, self.track = num_workers, track
        self.protocol = _stated(photos, photos.protocol, with_truth=with_truth)
        self.of_baselines = _stated(photos, photos.protocol.of_baselines(), with_truth=with_truth)

    def of_baseline(self, name: str, method: Method) -> Record:
        """Measure a baseline; the truth is measured as it is, the others as pictures of the protocol."""
        protocol = self.photos.protocol
        finished = method if name == "truth" else lambda batch: protocol.finish(method(batch), batch["rgb"])
        record = self._record(name, name, {}, lambda: finished, self.of_baselines)
        return {**record, "protocol": self.protocol}

    def of_checkpoint(self, name: str, checkpoint: Path) -> Record:
        """Measure a checkpoint; say which metrics judge by a network, and which photos, it was trained on."""
        digest = file_hash(checkpoint)
        header = read_header(checkpoint)
        facts = {"checkpoint": _facts_of(checkpoint, digest, header)}
        if self.engine == "torch":
            record = self._record(
                name, digest, facts, lambda: _colorize_with(load_generator(checkpoint).to(self.device), self.photos)
            )
        else:
            made = open_engine(checkpoint, self.engine, device=self.device, pictures=WORTH_CONVERTING)
            protocol = {**self.protocol, "engine": str(made.name)}
            record = self._record(name, digest, facts, lambda: _colorize_with(made, self.photos), protocol)
        record["checkpoint"] = {**record["checkpoint"], "path": str(checkpoint)}
        partial = partial_judges(record["checkpoint"]["trained_through"])
        record["judged_by_its_teacher"] = [name for name, m in self.metrics.items() if m.judge() in partial]
        record["trained_on"] = exposure(checkpoint, header, self.photos.photos).note if self.photos.photos else None
        return record

    def _record(
        self,
        name: str,
        identity: str,
        facts: Record,
        make_method: Callable[[], Method],
        protocol: Mapping[str, Any] | None = None,
    ) -> Record:
        """Complete what is known of a row, under the table's protocol or another, by what is not."""
        protocol = self.protocol if protocol is None else protocol
        decisive = {k: v for k, v in protocol.items() if k != "name"}
        key = measurement_key(identity, {**decisive, "groups": self.photos.group_numbers()})
        known = self.results.records().get(key, {"metric_protocols": {}})
        measured = known["metric_protocols"] if self.results.arrays(key) else {}
        missing = {name: m for name, m in self.metrics.items() if measured.get(name) != m.describe()}
        if missing:
            batches = self.track(self.photos.loader(self.num_workers), name)
            values, arrays = _measured(self.photos, batches, make_method(), missing, self.device)
            stated = {"key": key, "name": name, "data": self.photos.data, "protocol": protocol}
            self.results.add({**stated, **facts, **values}, arrays)
            known = self.results.records()[key]
        wanted = {part: {m: known[part][m] for m in self.metrics} for part in ("metrics", "intervals")}
        return {**known, **wanted, "name": name}


def _stated(photos: MeasuredSet, protocol: BaseProtocol, *, with_truth: bool) -> dict[str, Any]:
    """Say what was measured and how, besides the metrics."""
    return {
        "name": protocol.name,
        f"num_{photos.unit}": len(photos),
        "num_groups": photos.num_groups,
        f"{photos.unit}_sha256": photos.sha256,
        "with_truth": with_truth,
        **protocol.describe(),
    }


def _facts_of(checkpoint: Path, digest: str, header: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: header.get(key) for key in ("stage", "step", "total_step", "image_size")}
    return {"path": str(checkpoint), "sha256": digest, **facts, "trained_through": header.get("trained_through", [])}


def _colorize_with(generator: nn.Module, photos: MeasuredSet) -> Method:
    protocol = photos.protocol
    return lambda batch: protocol.finish(protocol.colorize(generator, batch["gray"], batch["rgb"]), batch["rgb"])


@torch.no_grad()
def _measured(
    photos: MeasuredSet, batches: Iterable[Batch], method: Method, metrics: Mapping[str, PictureMetric], device: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measure a method; returns what a record says of the values, and the arrays behind them."""
    clock = _Clock(["photos", "picture", "histograms", *metrics])
    histograms = torch.zeros((), dtype=torch.float64)
    for metric in metrics.values():
        metric.to(device).reset()
    for batch in batches:
        on_device = {key: value.to(device) for key, value in batch.items()}
        clock.spent("photos")
        fake_rgb = method(on_device)
        clock.spent("picture")
        for name, metric in metrics.items():
            metric.update(fake_rgb, on_device["rgb"], *_motion_of(on_device))
            clock.spent(name)
        histograms = histograms + hue_and_chroma(fake_rgb)
        clock.spent("histograms")
    values, intervals, arrays = _summarize(photos, metrics, clock, device)
    facts = {
        "metrics": values,
        "intervals": intervals,
        "metric_protocols": {name: metric.describe() for name, metric in metrics.items()},
        "versions": {package: version(package) for package in _VERSIONS},
        "seconds": {name: round(value, 2) for name, value in clock.seconds.items()},
    }
    return facts, {**arrays, "histograms": histograms.numpy()}


def _summarize(
    photos: MeasuredSet, metrics: Mapping[str, PictureMetric], clock: "_Clock", device: str
) -> tuple[dict[str, float | None], dict[str, list[float] | None], dict[str, np.ndarray]]:
    """Compute each metric, its interval over the groups of photos or clips, and the values behind both."""
    groups = torch.tensor(photos.group_numbers(), device=device)
    counts = resampling_counts(photos.num_groups, _NUM_REPLICATES).to(device)
    values: dict[str, float | None] = {}
    intervals: dict[str, list[float] | None] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, metric in metrics.items():
        value = float(metric.over_groups(groups))
        values[name] = value if math.isfinite(value) else None
        intervals[name] = None
        if isinstance(metric, MeanOverPictures):
            arrays[f"each/{name}"] = metric.value_of_each().cpu().numpy()
        if photos.num_groups >= LEAST_FOR_INTERVALS:
            replicates = metric.replicates(counts, groups).cpu().numpy()
            arrays[f"replicates/{name}"] = replicates
            intervals[name] = [float(bound) for bound in np.percentile(replicates, [2.5, 97.5])]
        metric.reset()
        clock.spent(name)
    return values, intervals, arrays


class _Clock:
    """Adds the time since it was last asked to a part."""

    def __init__(self, parts: Iterable[str]) -> None:
        self.seconds, self.last = dict.fromkeys(parts, 0.0), time.monotonic()

    def spent(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part] += now - self.last
        self.last = now
