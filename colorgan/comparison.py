"""Compare checkpoints on data sets as a config says: measure, tabulate, draw, write the report."""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torchmetrics import MetricCollection

from colorgan.checkpoint import find_checkpoints, read_header
from colorgan.colorizer import choose_device
from colorgan.data import ColorizationDataModule
from colorgan.data.library import PhotoLibrary
from colorgan.evaluation import Batch, evaluate_checkpoints, resolve_protocol
from colorgan.figures import save_figures
from colorgan.metrics.base import MissingMetric
from colorgan.metrics.features import FeatureStore
from colorgan.plan import SPLIT_KEYS, build_available_metrics, build_datamodule
from colorgan.protocol import Protocol, TestPhotos
from colorgan.report import Table, markdown, write_csv
from colorgan.results import Results

_RANKS = "kid_efficientnet_lite2"


def compare(config: DictConfig) -> list[tuple[Table, TestPhotos]]:
    """Measure what a config of `evaluate.py` asks for; one table a data set, with its photos.

    Raises:
        ValueError: checkpoints that cannot share a table, an unknown choice, no photo.
        FileNotFoundError: no checkpoint, no data.
    """
    Path(config.out).mkdir(parents=True, exist_ok=True)  # what cannot be written should fail before hours of measuring
    if missing := sorted(OmegaConf.missing_keys(config), key=len):
        raise ValueError(f"the config needs a value for {missing[0]}: give {missing[0]}=...")
    patterns = [config.checkpoints] if isinstance(config.checkpoints, str) else list(config.checkpoints)
    checkpoints = find_checkpoints(patterns)
    headers = {name: read_header(path) for name, path in checkpoints.items()}
    protocol = instantiate(config.protocol, _convert_="all")
    protocol = resolve_protocol(protocol if config.truth else replace(protocol, photos="all"), list(headers.values()))
    metrics, missing_metrics = build_available_metrics(config.metrics)
    if config.objective is not None and config.objective not in {*metrics, *missing_metrics}:
        raise ValueError(f"objective={config.objective!r} must be one of the metrics: {', '.join(map(str, metrics))}")
    paths = config.data.get("path")
    tables = []
    for path in paths if OmegaConf.is_list(paths) else [paths]:
        datamodule, library = _examine(config, headers, protocol, path)
        photos = TestPhotos(library, protocol, datamodule.source.describe())
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
    photos: TestPhotos,
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
        photos: with a resolved protocol.
        metrics: `PictureMetric`s by name.
        results: where records are kept.
        objective: name of the metric that ranks checkpoints; by default the kernel distance where it is measured.
        missing: what metrics that cannot be measured need.
        options: of `evaluate_checkpoints`.
    """
    objective = objective or _RANKS
    records = evaluate_checkpoints(checkpoints, photos, metrics, results, track=_progress_bar, **options)
    measured = {name: metric for name, metric in metrics.items() if name in records[0]["metrics"]}
    size = "native size" if photos.protocol.geometry == "native" else f"{photos.protocol.image_size} px"
    data = photos.data.get("path") or photos.data["kind"]
    left_out = f" ({photos.num_too_small} smaller ones left out)" if photos.num_too_small else ""
    return Table(
        title=f"{data}: {len(photos)} photos{left_out}, {size}, protocol {photos.protocol.name}",
        records=records,
        metrics=measured,  # type: ignore[arg-type]
        missing=missing or {},
        objective=objective if objective in measured and measured[objective].higher_is_better is not None else None,
        published=photos.protocol.published,
        source=photos.protocol.source,
        results=results,
    )


def write_report(tables: Sequence[tuple[Table, TestPhotos]], folder: Path, *, with_truth: bool = True) -> Path:
    """Write `metrics.csv`, the pictures and `report.md`; returns the report's path."""
    sections = []
    for number, (table, photos) in enumerate(tables, start=1):
        prefix = f"{number}-" if len(tables) > 1 else ""
        pictures = save_figures(table, photos, folder / "figures", prefix, with_truth=with_truth)
        figures = {caption: path.relative_to(folder).as_posix() for caption, path in pictures.items()}
        sections.append(markdown(table, figures))
    write_csv(folder / "metrics.csv", [table for table, _ in tables])
    path = folder / "report.md"
    temporary = folder / ".report.md.tmp"
    temporary.write_text("# Evaluation\n\n" + "\n".join(sections))
    temporary.replace(path)
    return path


def _examine(
    config: DictConfig, headers: Mapping[str, Mapping[str, Any]], protocol: Protocol, path: str | None
) -> tuple[ColorizationDataModule, PhotoLibrary]:
    """The photos of a data set, split as the checkpoints' runs split them."""
    seed, min_size, split = config.seed, protocol.image_size or 1, {}
    if protocol.photos == "all":
        seed, min_size = 0, 1
        split = {"validation_share": 1.0, "min_colorfulness": config.data.min_colorfulness if config.truth else 0.0}
    elif seed is None:  # the photos that the runs never trained on, if they were given these photos
        stored = _common_split(headers)
        seed, min_size = stored["seed"], stored.get("min_size", min_size)
        split = {key: stored[key] for key in SPLIT_KEYS if key in stored}
    config = copy.deepcopy(config)  # the source of the photos looks its path up in the whole config
    data = config.data
    data.update(split if path is None else {**split, "path": path})
    if data.store_size is not None and data.store_size < min_size:
        data.store_size = None
    datamodule = build_datamodule(data, seed=seed, gray_rule=str(protocol.gray_rule))
    library = datamodule.examine(min_size=min_size)
    print(library.summary())
    return datamodule, library


def _common_split(headers: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    splits = {name: header["split"] for name, header in headers.items() if header.get("split")}
    distinct = list({json.dumps(split, sort_keys=True): name for name, split in splits.items()}.items())
    if len(distinct) > 1:
        (first, name), (second, other) = distinct[:2]
        raise ValueError(
            f"{name} and {other} split their photos in two ways ({first}, {second}): what one never saw, the other may "
            "have trained on. Give photos that none of them saw and protocol.photos=all, or a seed=... of a split"
        )
    return next(iter(splits.values()), {"seed": 0})


def _progress_bar(batches: Iterable[Batch], name: str) -> Iterable[Batch]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(batches, description=name, console=console, transient=True, disable=not console.is_terminal)
