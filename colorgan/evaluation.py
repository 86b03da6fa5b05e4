"""Measure a generator on photos turned gray: a record holds the values and the protocol that made them."""

import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from colorgan.callbacks import save_grid
from colorgan.checkpoint import load_generator, read_header
from colorgan.color import chroma_to_rgb, recombine, rgb_to_chroma
from colorgan.data import ColorizationDataModule

Batch = Mapping[str, Tensor]
Method = Callable[[Batch], Tensor]  # a batch to pictures (N, 3, H, W) in [0, 1]


@torch.no_grad()
def evaluate(method: Method | nn.Module, batches: Iterable[Batch], metrics: MetricCollection) -> dict[str, float]:
    """Measure a generator, or any other way to make pictures, on batches of gray and rgb.

    Args:
        method: a generator, which sees the gray alone, or a function of the whole batch.
        batches: `{"gray", "rgb"}` as of `ColorizationDataModule`.
        metrics: classes with `update(fake_rgb, rgb)`.

    Returns:
        Value by name of the metric.
    """
    metrics.to("cpu").reset()  # a training may have left them on its device; batches and generators are on the CPU
    for batch in batches:
        fake_rgb = method(batch["gray"]) if isinstance(method, nn.Module) else method(batch)
        metrics.update(fake_rgb, batch["rgb"])
    values = {name: float(value) for name, value in metrics.compute().items()}
    metrics.reset()
    return values


def baselines(batches: list[Batch], gray_rule: str) -> dict[str, Method]:
    """The four rows that every table needs, since each published metric is fooled by one of them.

    `gray` is the untouched input, `mean tint` puts the mean chroma of all these photos on each, `shuffled` the
    chroma of another photo, and `truth` is the photo itself.
    """
    chroma = torch.cat([rgb_to_chroma(batch["rgb"]).mean(dim=(2, 3)) for batch in batches]).mean(dim=0)
    tint = chroma.view(1, 2, 1, 1)

    def mean_tint(batch: Batch) -> Tensor:
        gray = batch["gray"]
        return recombine(gray, chroma_to_rgb(gray, tint.expand(*gray.shape[:1], -1, *gray.shape[2:])), gray_rule)

    sizes = [len(batch["rgb"]) for batch in batches]
    photos = torch.cat([batch["rgb"] for batch in batches])
    rolled = photos.roll(len(photos) // 2, dims=0)  # half the set away: not a neighbour in a film
    others = iter(torch.split(rolled, sizes))

    return {
        "gray": lambda batch: recombine(batch["gray"], batch["gray"].expand(-1, 3, -1, -1), gray_rule),
        "mean tint": mean_tint,
        "shuffled": lambda batch: recombine(batch["gray"], next(others), gray_rule),
        "truth": lambda batch: batch["rgb"],
    }


def evaluate_checkpoints(
    checkpoints: Mapping[str, Path],
    datamodule: ColorizationDataModule,
    metrics: MetricCollection,
    *,
    image_size: int,
) -> list[dict[str, Any]]:
    """Records of the baselines and of each checkpoint on all validation photos of a data module.

    Args:
        checkpoints: file by name of the row.
        datamodule: its photos are examined already.
        metrics: classes with `update(fake_rgb, rgb)`.
        image_size: photos are cropped to their centred square and resized to this.
    """
    batches: list[Batch] = list(datamodule.validation_loader(image_size))
    protocol = {
        "data": datamodule.source.describe(),
        "split": "val",
        "num_photos": sum(batch["rgb"].shape[0] for batch in batches),
        "image_size": image_size,
        "geometry": "centred square, antialiased bilinear",
        "gray_rule": datamodule.gray_rule,
        "recombination": "input gray kept, chroma scaled into gamut, rounded to 8 bits",
        "versions": {package: version(package) for package in ("colorgan", "torch", "torchmetrics", "timm")},
    }
    simple = baselines(batches, datamodule.gray_rule)
    truth = {"truth": simple.pop("truth")}
    records = [_record(name, method, batches, metrics, protocol, None) for name, method in simple.items()]
    records += [_record(name, load_generator(p), batches, metrics, protocol, p) for name, p in checkpoints.items()]
    return records + [_record(name, method, batches, metrics, protocol, None) for name, method in truth.items()]


def _record(
    name: str,
    method: Method | nn.Module,
    batches: list[Batch],
    metrics: MetricCollection,
    protocol: Mapping[str, Any],
    checkpoint: Path | None,
) -> dict[str, Any]:
    started = time.monotonic()
    record: dict[str, Any] = {
        "name": name,
        "metrics": evaluate(method, batches, metrics),
        "protocol": dict(protocol),
        "seconds": round(time.monotonic() - started, 1),
    }
    if checkpoint is not None:
        header = read_header(checkpoint)
        through = header.get("trained_through", [])
        record["checkpoint"] = {"path": str(checkpoint), **{key: header[key] for key in ("stage", "step")}}
        record["judged_by_its_teacher"] = [m for m in record["metrics"] if any(m.endswith(name) for name in through)]
    return record


def print_table(records: list[dict[str, Any]]) -> None:
    """Print the records, a row each."""
    from rich.console import Console
    from rich.table import Table

    protocol = records[0]["protocol"]
    table = Table(title=f"{protocol['num_photos']} validation photos, {protocol['image_size']} px")
    table.add_column("")
    for name in records[0]["metrics"]:
        table.add_column(name, justify="right", overflow="fold")
    for record in records:
        flagged = record.get("judged_by_its_teacher", [])
        cells = [f"{value:.2f}{'*' if name in flagged else ''}" for name, value in record["metrics"].items()]
        table.add_row(record["name"], *cells, style="bold" if "checkpoint" in record else None)
    console = Console()
    console.print(table)
    if any(record.get("judged_by_its_teacher") for record in records):
        console.print("* the judge is a network that the generator was trained through: not an independent number")


@torch.no_grad()
def save_comparison(
    path: Path,
    checkpoints: Mapping[str, Path],
    datamodule: ColorizationDataModule,
    *,
    image_size: int,
    rows: int = 10,
) -> None:
    """A picture with a row a validation photo: gray | each checkpoint | truth."""
    batch = next(iter(datamodule.validation_loader(image_size, limit=rows)))
    columns = [batch["gray"].expand(-1, 3, -1, -1)]
    columns += [load_generator(checkpoint)(batch["gray"]) for checkpoint in checkpoints.values()]
    save_grid(path, list(torch.stack([*columns, batch["rgb"]], dim=1)))
