"""Pictures of an evaluation: where checkpoints differ, which colours they use, how metrics move over steps."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from colorgan.checkpoint import load_generator
from colorgan.color import to_uint8
from colorgan.files import atomic
from colorgan.media.photo import save_photo
from colorgan.metrics.histograms import CHROMA_LIMIT, HUE_BINS
from colorgan.evaluation.protocol import PhotoSet
from colorgan.evaluation.report import Table, heading
from colorgan.evaluation.results import Record

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_DIFFERENCE_METRICS = ("ciede2000", "psnr", "colorfulness")  # the first that was measured says how photos differ
_MOST_COLUMNS = 8
_LEAST_SIZE = 128  # pixels at which a picture is shown


def photos_that_differ(table: Table, count: int) -> list[int]:
    """Positions of the photos on which the checkpoints differ most, by the spread of a metric over checkpoints.

    With one checkpoint, the photos on which it is furthest from the others' mean.
    """
    for name in _DIFFERENCE_METRICS:
        arrays = [table.results.arrays(record["key"]).get(f"each/{name}") for record in table.checkpoints()]
        values = [array for array in arrays if array is not None]
        if values:
            spread = np.std(values, axis=0) if len(values) > 1 else np.abs(values[0] - values[0].mean())
            return [int(position) for position in np.argsort(-spread, kind="stable")[:count]]
    return list(range(min(count, table.count())))


def photo_values(table: Table, photos: PhotoSet, positions: Sequence[int]) -> "pd.DataFrame":
    """What each checkpoint scores on single photos, by those metrics that are a mean over photos."""
    import pandas as pd

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
    table: Table, photos: PhotoSet, positions: Sequence[int], *, with_truth: bool = True
) -> Image.Image:
    """A labelled row a photo: gray | each checkpoint | truth; of many checkpoints, some evenly spaced ones."""
    chosen = shown_evenly(table.checkpoints())
    protocol = photos.protocol
    rows: list[list[Tensor]] = [[] for _ in positions]
    batches = [photos.__getitems__([position]) for position in positions]
    for row, batch in zip(rows, batches, strict=True):
        row.append(batch["gray"].expand(-1, 3, -1, -1)[0])
    for record in chosen:
        generator = load_generator(record["checkpoint"]["path"])
        for row, batch in zip(rows, batches, strict=True):
            row.append(protocol.finish(protocol.colorize(generator, batch["gray"]), batch["rgb"])[0])
    for row, batch in zip(rows, batches, strict=True):
        row += [batch["rgb"][0]] if with_truth else []
    labels = ["gray", *(record["name"] for record in chosen), *(["truth"] if with_truth else [])]
    return _labelled(rows, labels)


def shown_evenly(records: list[Record], most: int = _MOST_COLUMNS) -> list[Record]:
    """The records that a picture has room for: all, or evenly spaced ones."""
    if len(records) <= most:
        return records
    return [records[round(i)] for i in np.linspace(0, len(records) - 1, most)]


def _labelled(rows: list[list[Tensor]], labels: list[str]) -> Image.Image:
    """Rows under their labels, in two blocks side by side where that makes the sheet less of a tower."""
    size, gap, header = max(_LEAST_SIZE, min(256, max(rows[0][0].shape[-2:]))), 4, 20
    num_blocks = 2 if len(rows) > len(labels) else 1
    height, width = -(-len(rows) // num_blocks), len(labels) * (size + gap) + 2 * gap
    sheet = Image.new("RGB", (num_blocks * width - 3 * gap, header + height * (size + gap)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, row in enumerate(rows):
        block, line = divmod(number, height)
        for column, picture in enumerate(row):
            left = block * width + column * (size + gap)
            if line == 0:
                draw.text((left, 2), _shortened(labels[column], draw, font, size), "black", font)
            image = Image.fromarray(to_uint8(picture).permute(1, 2, 0).numpy())
            scale = size / max(image.size)
            fitted = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
            sheet.paste(fitted, (left, header + line * (size + gap)))
    return sheet


def _shortened(
    label: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    while draw.textlength(label, font) > width and len(label) > 1:
        label = "…" + label[2:]  # names of checkpoints differ at their ends
    return label


def color_histograms(table: Table) -> "Figure":
    """Histograms of hue (weighted by chroma) and of chroma in CIE Lab: checkpoints, gray line for the truth."""
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
    """Whether there are steps to draw metrics over."""
    return len({record["checkpoint"]["total_step"] for record in table.checkpoints()} - {None}) >= 3


def metric_curves(table: Table) -> "Figure":
    """Each metric over training steps with its 95 % interval, a line a run; dashed: the truth, where it is the aim."""
    names = list(table.metrics)
    columns = min(3, len(names))
    figure, axes = _figure(-(-len(names) // columns), columns)
    runs: dict[str, list[Record]] = {}
    for record in table.checkpoints():
        if record["checkpoint"]["total_step"] is not None:
            runs.setdefault(str(Path(record["checkpoint"]["path"]).parent), []).append(record)
    truth = next((record for record in table.records if record["name"] == "truth"), None)
    shared = os.path.commonpath(list(runs)) if len(runs) > 1 else ""
    for axis, name in zip(axes, names, strict=False):
        for folder, records in runs.items():
            ranked = sorted(records, key=lambda record: record["checkpoint"]["total_step"])
            measured = [record for record in ranked if record["metrics"][name] is not None]
            steps = [record["checkpoint"]["total_step"] for record in measured]
            line = axis.plot(
                steps, [record["metrics"][name] for record in measured], marker=".", label=folder.removeprefix(shared)
            )[0]
            bounds = [record["intervals"][name] for record in measured]
            if all(bounds) and bounds:
                axis.fill_between(steps, *zip(*bounds, strict=True), alpha=0.2, color=line.get_color())
        if truth is not None and table.metrics[name].higher_is_better is None:
            axis.axhline(truth["metrics"][name], color="black", linestyle="--")
        axis.set(title=heading(name, table.metrics[name]), xlabel="step of the run")
    for axis in axes[len(names) :]:
        axis.remove()
    if len(runs) > 1:
        axes[0].legend(fontsize=7)
    return figure


def _figure(rows: int, columns: int) -> tuple["Figure", np.ndarray]:
    from matplotlib.figure import Figure  # not pyplot: no window, nothing to close

    figure = Figure(figsize=(4.5 * columns, 3.2 * rows), layout="constrained", dpi=110)
    return figure, np.atleast_1d(figure.subplots(rows, columns)).flatten()


def save_figures(
    table: Table, photos: PhotoSet, folder: Path, prefix: str, *, with_truth: bool = True, rows: int = 8
) -> Mapping[str, Path]:
    """Write all pictures of a table as PNG; returns the files by caption."""
    folder.mkdir(parents=True, exist_ok=True)
    positions = photos_that_differ(table, rows)
    many = len(table.checkpoints()) > 1
    what = "The photos on which the checkpoints differ most" if many else "The photos furthest from its average"
    sheet = contact_sheet(table, photos, positions, with_truth=with_truth)
    written = {what: folder / f"{prefix}differences.png"}
    save_photo(sheet, written[what])
    return {**written, **save_curves(table, folder, prefix)}


def save_curves(table: Table, folder: Path, prefix: str) -> Mapping[str, Path]:
    """Write histograms of hue and chroma, and metrics over steps where there are some; returns the files by caption."""
    written: dict[str, Path] = {}
    figures = {"Hue and chroma against the truth": ("colors", color_histograms(table))}
    if has_curves(table):
        figures["Metrics over steps"] = ("curves", metric_curves(table))
    for caption, (name, figure) in figures.items():
        written[caption] = folder / f"{prefix}{name}.png"
        with atomic(written[caption]) as temporary:
            figure.savefig(temporary, format="png")
    return written
