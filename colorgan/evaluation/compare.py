"""Compare checkpoints on data sets as a config says: measure, tabulate, draw, write the report."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchmetrics import MetricCollection

from colorgan.checkpoint import find_checkpoints, read_header
from colorgan.evaluation.clips import FilmClips, MotionPanel, ClipSet
from colorgan.colorize.colorizer import choose_device
from colorgan.data import ClipsSource, ColorizationDataModule
from colorgan.data.library import Split
from colorgan.evaluation.measure import BASELINES, Batch, evaluate_checkpoints, resolve_protocol
from colorgan.evaluation.figures import save_figures
from colorgan.files import write_text
from colorgan.metrics.base import MissingMetric
from colorgan.metrics.features import FeatureStore
from colorgan.config import Config, build, build_available_metrics, build_datamodule, check_complete, class_of
from colorgan.evaluation.protocol import PhotoSet
from colorgan.evaluation.report import Table, markdown, write_csv
from colorgan.evaluation.results import Results
from colorgan.evaluation.strips import save_clip_figures

_RANKS = "kid_efficientnet_lite2"


def compare(config: Config) -> list[tuple[Table, PhotoSet | ClipSet]]:
    """Measure what a config of `evaluate.py` asks for; one table a data set, with its photos or clips.

    Raises:
        ValueError: checkpoints that cannot share a table, an unknown choice, no photo.
        FileNotFoundError: no checkpoint, no data.
    """
    check_complete(config)
    patterns = [config.checkpoints] if isinstance(config.checkpoints, str) else list(config.checkpoints)
    checkpoints = find_checkpoints(patterns)
    headers = {name: read_header(path) for name, path in checkpoints.items()}
    _check_checkpoints(headers)
    over_time = "motion" in config or class_of(config.data.source) is ClipsSource
    if "motion" in config and class_of(config.data.source) is ClipsSource:
        raise ValueError("motion=panel moves photos; data=clips moves by itself: give one of them")
    metrics, missing_metrics = build_available_metrics(config.clip_metrics if over_time else config.metrics)
    if config.objective is not None and config.objective not in metrics:
        needs = f"; {missing_metrics[config.objective].needs}" if config.objective in missing_metrics else ""
        names = ", ".join(map(str, metrics))
        raise ValueError(
            f"objective={config.objective!r} must be one of the metrics that can be measured: {names}{needs}"
        )
    paths = config.data.get("path")
    paths = [paths] if paths is None or isinstance(paths, str) else list(paths)
    if not paths:
        raise ValueError("data.path is an empty list: give a folder, or several as [a,b]")
    Path(config.out).mkdir(parents=True, exist_ok=True)  # what cannot be written should fail before hours of measuring
    tables = []
    for path in paths:
        datamodule, photos = _examine(config, headers, path)
        table = tabulate(
            checkpoints,
            photos,
            metrics,
            Results(Path(config.out)),
            missing=missing_metrics,
            objective=config.objective,
            store=FeatureStore(datamodule.cache_dir / "features.sqlite"),
            device=choose_device(config.device),
            num_workers=datamodule.num_workers,
            with_truth=config.truth,
        )
        tables.append((table, photos))
    return tables


def tabulate(
    checkpoints: Mapping[str, Path],
    photos: PhotoSet | ClipSet,
    metrics: MetricCollection,
    results: Results,
    *,
    objective: str | None = None,
    missing: Mapping[str, MissingMetric] | None = None,
    **options: Any,
) -> Table:
    """Measure checkpoints on one data set and lay the records out.

    Args:
        checkpoints: file by name of the row.
        photos: photos or clips, with a resolved protocol.
        metrics: `PictureMetric`s by name.
        results: where records are kept.
        objective: name of the metric that ranks checkpoints; by default the kernel distance where it is measured.
        missing: what metrics that cannot be measured need.
        options: of `evaluate_checkpoints`.
    """
    objective = objective or _RANKS
    records = evaluate_checkpoints(checkpoints, photos, metrics, results, track=_progress_bar, **options)
    measured = {name: metric for name, metric in metrics.items() if name in records[0]["metrics"]}
    native = photos.protocol.geometry == "native" or photos.protocol.image_size is None
    size = "native size" if native else f"{photos.protocol.image_size} px"
    data = photos.data.get("path") or photos.data["kind"]
    return Table(
        title=f"{data}: {len(photos)} {photos.unit}, {size}, protocol {photos.protocol.name}",
        records=records,
        metrics=measured,  # type: ignore[arg-type]
        missing=missing or {},
        objective=objective if objective in measured and measured[objective].higher_is_better is not None else None,
        protocol=photos.protocol,
        left_out=photos.left_out(),
        results=results,
        unit=photos.unit,
    )


def write_report(
    tables: Sequence[tuple[Table, PhotoSet | ClipSet]], folder: Path, *, with_truth: bool = True
) -> Path:
    """Write `metrics.csv`, the pictures and `report.md`; returns the report's path."""
    sections = []
    for number, (table, photos) in enumerate(tables, start=1):
        prefix = f"{number}-" if len(tables) > 1 else ""
        place = folder / "figures"
        pictures = (
            save_clip_figures(table, photos, place, prefix, with_truth=with_truth)
            if isinstance(photos, ClipSet)
            else save_figures(table, photos, place, prefix, with_truth=with_truth)
        )
        figures = {caption: path.relative_to(folder).as_posix() for caption, path in pictures.items()}
        sections.append(markdown(table, figures))
    write_csv(folder / "metrics.csv", [table for table, _ in tables])
    path = folder / "report.md"
    write_text(path, "# Evaluation\n\n" + "\n".join(sections))
    return path


def _check_checkpoints(headers: Mapping[str, Mapping[str, Any]]) -> None:
    if not headers:
        raise ValueError("checkpoints is an empty list: give files, run folders or patterns with *")
    for name, header in headers.items():
        if "generator" not in header["networks"]:
            raise ValueError(f"{name} holds no generator, only {', '.join(header['networks'])} (checkpoints)")
        if name in BASELINES:
            raise ValueError(f"a checkpoint cannot be called {name!r}, as a baseline is; rename the file (checkpoints)")


def _examine(
    config: Config, headers: Mapping[str, Mapping[str, Any]], path: str | None
) -> tuple[ColorizationDataModule, PhotoSet | ClipSet]:
    """The photos of a data set, for `val` those that the runs of all checkpoints hold out; or its clips, all of them.

    Clips come from films, or are photos under known motion.
    """
    config = copy.deepcopy(config)  # the source looks its path up in the whole config
    data = config.data
    data.update({"validation_share": 1.0, "store_size": None, **({} if path is None else {"path": path})})
    if class_of(data.source) is ClipsSource:
        clip_protocol = build(config.clip_protocol).resolved(list(headers.values()))
        datamodule = build_datamodule(data, seed=0)
        assert isinstance(datamodule.source, ClipsSource)
        return datamodule, FilmClips(datamodule.source, clip_protocol, _clip_splits(headers))
    datamodule, photos = _examine_photos(config, headers)
    if "motion" not in config:
        return datamodule, photos
    panel: MotionPanel = build(config.motion)
    return datamodule, panel.over(photos, build(config.clip_protocol))


def _examine_photos(
    config: Config, headers: Mapping[str, Mapping[str, Any]]
) -> tuple[ColorizationDataModule, PhotoSet]:
    data, protocol = config.data, build(config.protocol)
    if not config.truth:
        protocol = replace(protocol, photos="all", keep_gray=True)
    protocol = resolve_protocol(protocol, list(headers.values()))
    splits = _splits(headers) if protocol.photos == "val" else []
    least_colorful = max([config.data.min_colorfulness, *(split["min_colorfulness"] for split in splits)])
    data.min_colorfulness = 0.0 if protocol.keep_gray else least_colorful
    datamodule = build_datamodule(data, seed=0)
    library = datamodule.examine(min_size=max([1, *(split["min_size"] for split in splits)]))
    rules = [Split(split["seed"], split["threshold"]) for split in splits]
    return datamodule, PhotoSet(library, protocol, datamodule.source.describe(), rules)


def _clip_splits(headers: Mapping[str, Mapping[str, Any]]) -> list[Split]:
    """The splits of runs that trained on clips; photos and clips have nothing in common."""
    splits = [
        split for header in headers.values() for split in header.get("splits", []) if split.get("kind") == "clips"
    ]
    return [Split(split["seed"], split["threshold"]) for split in splits]


def _splits(headers: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    for name, header in headers.items():
        if "splits" not in header:
            raise ValueError(
                f"{name} does not say which photos its run held out (an older version wrote it); give photos that it "
                "never saw and protocol.photos=all"
            )
    return [split for header in headers.values() for split in header["splits"]]


def _progress_bar(batches: Iterable[Batch], name: str) -> Iterable[Batch]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(batches, description=name, console=console, transient=True, disable=not console.is_terminal)
