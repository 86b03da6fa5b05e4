"""Draw what benchmarks/inflection_study.py found: regrets by rule and seed, curves of the runs, the worst choices."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
import sklearn
import torch
from PIL import Image, ImageOps
from snapshot_measures import colorized
from torch import Tensor

from colorgan.checkpoint import load_generator
from colorgan.color import rgb_to_gray
from colorgan.files import atomic
from colorgan.media.photo import read_photo, save_photo
from colorgan.media.sheet import picture_sheet, to_image

_BUILT_IN = (
    Path(skimage.__file__).parent / "data" / "coffee.png",
    Path(skimage.__file__).parent / "data" / "chelsea.png",
    Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg",
    Path(sklearn.__file__).parent / "datasets" / "images" / "flower.jpg",
)
_COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red")  # of seeds


def built_in_photos(size: int) -> Tensor:
    """Read four photos of installed packages, which may be shown, as squares (4, 3, size, size)."""
    squares = [
        ImageOps.fit(read_photo(file).convert("RGB"), (size, size), Image.Resampling.LANCZOS) for file in _BUILT_IN
    ]
    return torch.stack([torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255 for square in squares])


def draw_regrets(frame: pd.DataFrame, curves: pd.DataFrame, names: Sequence[str], near: float, file: Path) -> None:
    """Draw each run's regret by each way to choose; and over the steps, its regret, colorfulness and artefact area."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4.2), layout="constrained")
    left, *others = figure.subplots(1, 4, width_ratios=(1.3, 1, 1, 1))
    seeds = dict(zip(frame["run"], frame["seed"], strict=True))
    for place, name in enumerate(reversed(names)):
        part = frame[frame["rule"] == name]
        heights = place + 0.16 * (part["seed"].to_numpy(int) - 1)
        left.scatter(part["regret"], heights, c=[_COLORS[seed] for seed in part["seed"]], s=14, alpha=0.8)
        left.plot([part["regret"].mean()] * 2, [place - 0.35, place + 0.35], color="black", linewidth=1.5)
    left.set(yticks=range(len(names)), yticklabels=list(reversed(names)), xlabel="regret\na colour a seed, line: mean")
    left.axvline(near, color="gray", linestyle=":", linewidth=1)
    columns = {"regret": near, "colorfulness": 1.0, "artefacts": None}
    labels = ("regret", "colorfulness / photos'", "artefact area")
    for axes, label, (column, level) in zip(others, labels, columns.items(), strict=True):
        for run, part in curves.groupby("run", sort=False):
            style = "-" if str(run).startswith("late") else "--"
            axes.plot(part["step"], part[column], color=_COLORS[seeds[run]], linestyle=style, linewidth=1)
        if level is not None:
            axes.axhline(level, color="gray", linestyle=":", linewidth=1)
        axes.set(xlabel="step", ylabel=label)
    others[1].set_xlabel("step\ndashed: first GAN stage, solid: third")
    with atomic(file) as temporary:
        figure.savefig(temporary, format="png", dpi=80)


def draw_choices(
    choices: Sequence[tuple[str, Sequence[Path]]], columns: Sequence[str], photos: Tensor, file: Path
) -> None:
    """Draw gray, what each of a choice's networks makes of it, and the photo; a label and its networks a choice."""
    gray = rgb_to_gray(photos)
    rows, labels = [], []
    for label, networks in choices:
        made = [colorized(load_generator(network), gray) for network in networks]
        for index in range(len(photos)):
            row = [images[index] for images in (gray.expand(-1, 3, -1, -1), *made, photos)]
            rows.append([to_image(image) for image in row])
            labels.append(label)
    save_photo(picture_sheet(rows, columns=["gray", *columns, "photo"], labels=labels), file)
