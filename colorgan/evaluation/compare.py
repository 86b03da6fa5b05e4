"""Compare checkpoints on data sets as a config says: measure, tabulate, draw, write the report."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule
from torchmetrics import Metric, MetricCollection

from colorgan.checkpoint import find_checkpoints, read_header
from colorgan.colorize.colorizer import choose_device
from colorgan.config import Config, build, build_available_metrics, build_datamodule, check_complete, class_of
from colorgan.console import make_console
from colorgan.data import ClipsSource
from colorgan.data.clips import content_splits
from colorgan.data.library import Split
from colorgan.evaluation.clips import FilmClips, MotionClips, MotionPanel
from colorgan.evaluation.figures import save_figures
from colorgan.evaluation.measure import BASELINES, evaluate_checkpoints
from colorgan.evaluation.photos import Batch, MeasuredSet, PhotoSet
from colorgan.evaluation.protocol import ClipProtocol, Protocol
from colorgan.evaluation.report import Table, markdown, write_csv
from colorgan.evaluation.results import Results
from colorgan.files import write_text
from colorgan.metrics.base import MissingMetric, too_few
from colorgan.values import check_options

Header = Mapping[str, Any]


@dataclass(frozen=True)
class EvaluateOptions:
    """The keys of `evaluate.yaml`, which explains them."""

    checkpoints: str | list[str]
    data: LightningDataModule
    metrics: Mapping[str, Metric]
    protocol: Protocol
    clip_metrics: Mapping[str, Metric]
    clip_protocol: ClipProtocol
    out: str
    objective: str | None
    truth: bool
    device: str | None
    engine: str
    motion: MotionPanel | None = None


_RANKS = "chroma_distance"


def compare(config: Config) -> list[tuple[Table, MeasuredSet]]:
    """Measure what a config of `evaluate.py` asks for; returns a table a data set, with its photos or clips.

    Raises:
        ValueError: checkpoints that cannot share a table, an unknown choice, no photo.
        FileNotFoundError: no checkpoint, no data.
    """
    _check_values(config)
    check_complete(config)
    device = choose_device(config.device)
    patterns = [config.checkpoints] if isinstance(config.checkpoints, str) else list(config.checkpoints)
    checkpoints = find_checkpoints(patterns)
    headers = {name: read_header(path) for name, path in checkpoints.items()}
    _check_checkpoints(headers)
    open_set, metric_group = _way_to_measure(config)
    metrics, missing = build_available_metrics(config[metric_group])
    _check_objective(config.objective, metrics, missing)
    Path(config.out).mkdir(parents=True, exist_ok=True)  # what cannot be written should fail before hours of measuring
    tables = []
    for path in _data_paths(config):
        photos = open_set(_at_path(config, path), headers)
        table = tabulate(
            checkpoints,
            photos,
            metrics,
            Results(Path(config.out)),
            missing=missing,
            objective=config.objective,
            device=device,
            engine=config.engine,
            num_workers=config.data.get("num_workers", 0),
            with_truth=config.truth,
        )
        tables.append((table, photos))
    return tables


def tabulate(
    checkpoints: Mapping[str, Path],
    photos: MeasuredSet,
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
        objective: name of the metric that ranks checkpoints; by default the chroma distance where it is measured.
        missing: what metrics that cannot be measured need.
        options: of `evaluate_checkpoints`.
    """
    objective = objective or _RANKS
    records = evaluate_checkpoints(checkpoints, photos, metrics, results, track=_progress_bar, **options)
    measured = {name: metric for name, metric in metrics.items() if name in records[0]["metrics"]}
    return Table(
        title=photos.title,
        records=records,
        metrics=measured,  # type: ignore[arg-type]
        missing=missing or {},
        objective=objective if objective in measured and measured[objective].higher_is_better is not None else None,
        protocol=photos.protocol,
        left_out=photos.left_out(),
        results=results,
        unit=photos.unit,
        too_few={name: m for name, m in metrics.items() if too_few(m, photos.num_groups)},  # type: ignore[arg-type, misc]
    )


def write_report(
    tables: Sequence[tuple[Table, MeasuredSet]], folder: Path, *, with_truth: bool = True, warnings: Sequence[str] = ()
) -> Path:
    """Write `metrics.csv`, the pictures and `report.md`, which begins with warnings; returns the report's path."""
    sections = ["**Warnings**\n\n" + "".join(f"- {warning}\n" for warning in warnings)] if warnings else []
    for number, (table, photos) in enumerate(tables, start=1):
        prefix = f"{number}-" if len(tables) > 1 else ""
        pictures = save_figures(table, photos, folder / "figures", prefix, with_truth=with_truth)
        figures = {caption: path.relative_to(folder).as_posix() for caption, path in pictures.items()}
        sections.append(markdown(table, figures))
    write_csv(folder / "metrics.csv", [table for table, _ in tables])
    path = folder / "report.md"
    write_text(path, "# Evaluation\n\n" + "\n".join(sections))
    return path


def _check_values(config: Config) -> None:
    """Check all values, of each folder of data on its own, and build what is cheap and may object."""
    for path in _data_paths(config):
        alone = copy.deepcopy(config)
        if path is not None:
            alone.data.path = path
        check_options(alone, EvaluateOptions)
    for group in ("protocol", "clip_protocol", "motion"):
        if group in config:
            build(config[group])


def _check_checkpoints(headers: Mapping[str, Header]) -> None:
    if not headers:
        raise ValueError("checkpoints is an empty list: give files, run folders or patterns with *")
    for name, header in headers.items():
        if "generator" not in header["networks"]:
            raise ValueError(f"{name} holds no generator, only {', '.join(header['networks'])} (checkpoints)")
        if name in BASELINES:
            raise ValueError(f"a checkpoint cannot be called {name!r}, as a baseline is; rename the file (checkpoints)")


def _check_objective(objective: str | None, metrics: MetricCollection, missing: Mapping[str, MissingMetric]) -> None:
    if objective is not None and objective not in metrics:
        needs = f"; {missing[objective].needs}" if objective in missing else ""
        names = ", ".join(map(str, metrics))
        raise ValueError(f"objective={objective!r} must be one of the metrics that can be measured: {names}{needs}")


def _way_to_measure(config: Config) -> tuple[Callable[[Config, Mapping[str, Header]], MeasuredSet], str]:
    """Decide whether photos, films or moved photos are measured, and by which group of metrics."""
    films, moved = issubclass(class_of(config.data.source), ClipsSource), "motion" in config
    if films and moved:
        raise ValueError("motion=panel moves photos; data=clips moves by itself: give one of them")
    if films:
        return _open_films, "clip_metrics"
    return (_move_photos, "clip_metrics") if moved else (_open_photos, "metrics")


def _data_paths(config: Config) -> list[str | None]:
    """List the folders to measure, each in its own table; None for data that has none."""
    paths = config.data.get("path") if isinstance(config.data, Config) else None
    if paths is None or isinstance(paths, str):
        return [paths]
    if not paths:
        raise ValueError("data.path is an empty list: give a folder, or several as [a,b]")
    return list(paths)


def _at_path(config: Config, path: str | None) -> Config:
    """Copy a config for one folder, all of which is measured at its full size."""
    config = copy.deepcopy(config)  # the source looks its path up in the whole config
    config.data.update({"validation_share": 1.0, "store_size": None, **({} if path is None else {"path": path})})
    return config


def _open_photos(config: Config, headers: Mapping[str, Header]) -> PhotoSet:
    """Examine photos; for `val` those that the runs of all checkpoints hold out."""
    data, protocol = config.data, build(config.protocol)
    if not config.truth:
        protocol = replace(protocol, photos="all", keep_gray=True)
    protocol = protocol.resolved(list(headers.values()))
    splits = _splits(headers) if protocol.photos == "val" else []
    least_colorful = max([data.min_colorfulness, *(split["min_colorfulness"] for split in splits)])
    data.min_colorfulness = 0.0 if protocol.keep_gray else least_colorful
    datamodule = build_datamodule(data, seed=0)
    library = datamodule.examine(min_size=max([1, *(split["min_size"] for split in splits)]))
    rules = [Split(split["seed"], split["threshold"]) for split in splits]
    return PhotoSet(library, protocol, datamodule.source.describe(), rules)


def _move_photos(config: Config, headers: Mapping[str, Header]) -> MotionClips:
    """Move photos in a known way."""
    panel: MotionPanel = build(config.motion)
    return panel.over(_open_photos(config, headers), build(config.clip_protocol))


def _open_films(config: Config, headers: Mapping[str, Header]) -> FilmClips:
    """Open clips; those that a run trained on are left out."""
    protocol = build(config.clip_protocol).resolved(list(headers.values()))
    splits = [split for name, header in headers.items() for split in content_splits(name, header.get("splits", []))]
    return FilmClips(build(config.data.source), protocol, splits)


def _splits(headers: Mapping[str, Header]) -> list[Mapping[str, Any]]:
    for name, header in headers.items():
        if "splits" not in header:
            raise ValueError(
                f"{name} does not say which photos its run held out (an older version wrote it); give photos that it "
                "never saw and protocol.photos=all"
            )
        if any(split.get("kind") == "clips" for split in header["splits"]):
            raise ValueError(
                f"{name} trained on clips, so its split tells nothing of single photos; measure data=clips, or photos "
                "that it never saw with protocol.photos=all"
            )
    return [split for header in headers.values() for split in header["splits"]]


def _progress_bar(batches: Iterable[Batch], name: str) -> Iterable[Batch]:
    from rich.markup import escape
    from rich.progress import track

    console = make_console(stderr=True)
    return track(batches, description=escape(name), console=console, transient=True, disable=not console.is_terminal)
