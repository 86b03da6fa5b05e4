"""Pictures of an evaluation: where checkpoints differ, which colours they use, how metrics move over steps."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from colorgan.checkpoint import load_generator
from colorgan.evaluation.photos import MeasuredSet
from colorgan.evaluation.report import Table, heading
from colorgan.evaluation.results import Record
from colorgan.files import atomic
from colorgan.media.photo import save_photo
from colorgan.metrics.histograms import CHROMA_LIMIT, HUE_BINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DIFFERENCE_METRICS = ("ciede2000", "psnr", "colorfulness")  # the first that was measured says how photos differ
_MOST_COLUMNS = 8


def photos_that_differ(table: Table, count: int) -> list[int]:
    """Find the photos on which the checkpoints differ most, by the spread of a metric over checkpoints.

    With one checkpoint, the photos on which it is furthest from the others' mean.
    """
    for name in _DIFFERENCE_METRICS:
        arrays = [table.results.arrays(record["key"]).get(f"each/{name}") for record in table.checkpoints()]
        values = [array for array in arrays if array is not None]
        if values:
            spread = np.std(values, axis=0) if len(values) > 1 else np.abs(values[0] - values[0].mean())
            return [int(position) for position in np.argsort(-spread, kind="stable")[:count]]
    return list(range(min(count, table.count())))


def photo_values(table: Table, photos: MeasuredSet, positions: Sequence[int]) -> pd.DataFrame:
    """Tabulate what each checkpoint scores on single photos, by those metrics that are a mean over photos."""
    columns = {
        (name.removeprefix("each/"), record["name"]): values[list(positions)]
        for record in table.checkpoints()
        for name, values in table.results.arrays(record["key"]).items()
        if name.startswith("each/")
    }
    frame = pd.DataFrame(columns, index=[photos.names[position] for position in positions])
    return frame.sort_index(axis="columns").round(3)


@torch.no_grad()
def contact_sheet(
    table: Table, photos: MeasuredSet, positions: Sequence[int], *, with_truth: bool = True
) -> Image.Image:
    """Show photos or clips as gray | each checkpoint | truth; of many checkpoints, some evenly spaced ones."""
    protocol, batches = photos.protocol, [photos.batch(position) for position in positions]
    pictures: dict[str, list[Tensor]] = {"gray": [batch["gray"].expand(-1, 3, -1, -1) for batch in batches]}
    for record in shown_evenly(table.checkpoints()):
        generator = load_generator(record["checkpoint"]["path"])
        made = [
            protocol.finish(protocol.colorize(generator, batch["gray"], batch["rgb"]), batch["rgb"])
            for batch in batches
        ]
        pictures[record["name"]] = made
    if with_truth:
        pictures["truth"] = [batch["rgb"] for batch in batches]
    return photos.sheet(positions, pictures)


def shown_evenly(records: list[Record], most: int = _MOST_COLUMNS) -> list[Record]:
    """Choose the records that a picture has room for: all, or evenly spaced ones."""
    if len(records) <= most:
        return records
    return [records[round(i)] for i in np.linspace(0, len(records) - 1, most)]


def color_histograms(table: Table) -> "Figure":
    """Draw histograms of hue (weighted by chroma) and of chroma in CIE Lab: checkpoints, and dashed the truth."""
    figure, (hue_axes, chroma_axes) = _figure(1, 2)
    for record in shown_evenly(table.checkpoints()) + [r for r in table.records if r["name"] == "truth"]:
        counts = table.results.arrays(record["key"])["histograms"]
        hue, chroma = counts[:HUE_BINS], counts[HUE_BINS:]
        style = {"color": "black", "linestyle": "--"} if record["name"] == "truth" else {}
        degrees = (np.arange(HUE_BINS) + 0.5) * 360 / HUE_BINS
        hue_axes.plot(degrees, hue / max(hue.sum(), 1e-9), label=record["name"], **style)
        levels = (np.arange(len(chroma)) + 0.5) * CHROMA_LIMIT / len(chroma)
        chroma_axes.semilogy(levels, np.maximum(chroma / chroma.sum(), 1e-6), **style)
    hue_axes.set(xlabel="hue in CIE Lab (0 red, 90 yellow, 180 green, 270 blue)", ylabel="share of all chroma")
    chroma_axes.set(xlabel="chroma in CIE Lab", ylabel="share of pixels")
    hue_axes.legend(fontsize=7)
    return figure


def has_curves(table: Table) -> bool:
    """Tell whether there are steps to draw metrics over."""
    return len({record["checkpoint"]["total_step"] for record in table.checkpoints()} - {None}) >= 3


def metric_curves(table: Table) -> "Figure":
    """Draw each metric over training steps with its 95 % interval, a line a run; dashed the truth that is aimed at."""
    names = list(table.metrics)
    columns = min(3, len(names))
    figure, axes = _figure(-(-len(names) // columns), columns)
    steps = _steps(table)
    truth = next((record for record in table.records if record["name"] == "truth"), None)
    for axis, name in zip(axes, names, strict=False):
        _draw_curves(axis, steps[steps["metric"] == name])
        if truth is not None and table.metrics[name].higher_is_better is None:
            axis.axhline(truth["metrics"][name], color="black", linestyle="--")
        axis.set(title=heading(name, table.metrics[name]), xlabel="step of the run")
    for axis in axes[len(names) :]:
        axis.remove()
    if steps["run"].nunique() > 1:
        axes[0].legend(fontsize=7)
    return figure


def _steps(table: Table) -> pd.DataFrame:
    """Tabulate values and intervals, a row a checkpoint and metric; those without a step or a value are left out."""
    rows = [
        (
            str(Path(facts["path"]).parent),
            facts["total_step"],
            name,
            value,
            *(record["intervals"][name] or (None, None)),
        )
        for record in table.checkpoints()
        for facts in [record["checkpoint"]]
        for name, value in record["metrics"].items()
    ]
    frame = pd.DataFrame(rows, columns=["run", "step", "metric", "value", "low", "high"])
    return frame.dropna(subset=["step", "value"])


def _draw_curves(axis: "Axes", steps: pd.DataFrame) -> None:
    """Draw one metric, a line a run; runs are named by what their folders do not share."""
    folders = list(steps["run"].unique())
    shared = os.path.commonpath(folders) if len(folders) > 1 else ""
    for folder, unordered in steps.groupby("run", sort=False):
        rows = unordered.sort_values("step")
        line = axis.plot(rows["step"], rows["value"], marker=".", label=folder.removeprefix(shared))[0]
        if rows["low"].notna().all():
            low, high = (rows[bound].astype(float) for bound in ("low", "high"))
            axis.fill_between(rows["step"], low, high, alpha=0.2, color=line.get_color())


def _figure(rows: int, columns: int) -> tuple["Figure", np.ndarray]:
    from matplotlib.figure import Figure  # not pyplot: no window, nothing to close

    figure = Figure(figsize=(4.5 * columns, 3.2 * rows), layout="constrained", dpi=110)
    return figure, np.atleast_1d(figure.subplots(rows, columns)).flatten()


def save_figures(
    table: Table, photos: MeasuredSet, folder: Path, prefix: str, *, with_truth: bool = True, rows: int = 8
) -> Mapping[str, Path]:
    """Write all pictures of a table as PNG; returns the files by caption."""
    several = len(table.checkpoints()) > 1
    why = "on which the checkpoints differ most" if several else "furthest from its average"
    written: dict[str, Path] = {}
    for name, (caption, positions) in photos.sheets(photos_that_differ(table, rows), why).items():
        written[caption] = folder / f"{prefix}{name}.png"
        save_photo(contact_sheet(table, photos, positions, with_truth=with_truth), written[caption])
    figures = {"Hue and chroma against the truth": ("colors", color_histograms(table))}
    if has_curves(table):
        figures["Metrics over steps"] = ("curves", metric_curves(table))
    for caption, (name, figure) in figures.items():
        written[caption] = folder / f"{prefix}{name}.png"
        with atomic(written[caption]) as temporary:
            figure.savefig(temporary, format="png")
    return written
