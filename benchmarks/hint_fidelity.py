"""Measure how a network with hints uses points: CIEDE2000 at the points and over the photo, by how many are given.

python benchmarks/hint_fidelity.py CHECKPOINT PHOTOS [--photos 200] [--size 512] [--seed 0] [--figure hints.png]

Photos are drawn by a seeded hash of their content, as centred squares. Points lie anywhere, uniformly; those of fewer
are the first of more. Each has the photo's mean colour within 1 % of the side, and goes the way of a user's:
`Colorizer.colorize(photo, hints)`. "Asked" compares the pixel at a point with that colour on the pixel's own luma, as
far as the gamut allows; "truth" with the photo. Intervals are 95 %, by bootstrap over photos.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from judge_curves import drawn_photos
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from colorgan.color import recombine, rgb_to_gray, to_uint8
from colorgan.colorize import Colorizer
from colorgan.colorize.hints import Mark, Marks
from colorgan.files import atomic

COUNTS = (0, 1, 5, 20)
RADIUS = 0.01
MEASURES = ("asked, at the points", "truth, at the points", "truth, over the photo")
RESAMPLINGS = 1000


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 of pictures (H, W, 3) in [0, 1], (H, W)."""
    return np.asarray(deltaE_ciede2000(rgb2lab(first), rgb2lab(second)))


def as_array(rgb: Tensor) -> np.ndarray:
    """(3, H, W) as (H, W, 3), on the levels of a picture."""
    return to_uint8(rgb).permute(1, 2, 0).numpy() / 255.0


def drawn_marks(truth: np.ndarray, count: int, rng: np.random.Generator) -> list[Mark]:
    """Draw points with the colours of the truth, (H, W, 3)."""
    side = len(truth)
    y, x = np.indices(truth.shape[:2]) + 0.5
    marks = []
    for place in rng.random((count, 2)) * side:
        disc = (x - place[0]) ** 2 + (y - place[1]) ** 2 <= max(1, RADIUS * side) ** 2
        red, green, blue = truth[disc].mean(axis=0)
        marks.append(Mark([(float(place[0]), float(place[1]))], (red, green, blue)))
    return marks


def measured(colorizer: Colorizer, truth: np.ndarray, marks: list[Mark]) -> list[float]:
    """Colour a photo with points and without; returns `MEASURES`, at the points only where there are some."""
    photo = Image.fromarray((truth * 255).round().astype(np.uint8))
    hints = Marks(marks, [f"point {n}" for n in range(len(marks))]) if marks else None
    made = np.asarray(colorizer.colorize(photo, hints)) / 255.0
    over_all = float(difference(made, truth).mean())
    if not marks:
        return [float("nan"), float("nan"), over_all]
    columns, rows = (np.array([int(mark.points[0][axis]) for mark in marks]) for axis in (0, 1))
    at = torch.from_numpy(truth[rows, columns]).T[None, :, None].float()
    gray = rgb_to_gray(at, colorizer.gray_rule)
    colors = torch.tensor([mark.rgb for mark in marks]).float().T[None, :, None]
    asked = recombine(gray, colors, colorizer.gray_rule)[0].permute(1, 2, 0).numpy()
    pixels = made[rows, columns][None]
    return [float(difference(pixels, other).mean()) for other in (asked, truth[rows, columns][None])] + [over_all]


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % of the means of resampled photos."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLINGS, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def draw(values: np.ndarray, path: Path) -> None:
    """Draw the curves with their intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for measure, name in enumerate(MEASURES):
        kept = [index for index in range(len(COUNTS)) if np.isfinite(values[index, 0, measure])]
        means = [values[index, :, measure].mean() for index in kept]
        bounds = np.array([interval(values[index, :, measure]) for index in kept]).T
        axes.errorbar(kept, means, yerr=np.abs(bounds - means), marker="o", capsize=3, label=name)
    axes.set(xticks=range(len(COUNTS)), xticklabels=COUNTS, xlabel="points a photo", ylabel="CIEDE2000", ylim=(0, None))
    axes.legend(frameon=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--photos", type=int, default=200, dest="count")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    colorizer = Colorizer.load(options.checkpoint, engine="torch")
    photos = drawn_photos(options.photos, count=options.count, size=options.size, seed=options.seed)
    values = np.empty((len(COUNTS), len(photos), len(MEASURES)))
    for number, rgb in enumerate(photos):
        truth = as_array(rgb)
        marks = drawn_marks(truth, max(COUNTS), np.random.default_rng([options.seed, number]))
        for index, count in enumerate(COUNTS):
            values[index, number] = measured(colorizer, truth, marks[:count])
    table = Table("points", *MEASURES, title=f"CIEDE2000, {len(photos)} photos of {options.size} px")
    for count, of_count in zip(COUNTS, values, strict=True):
        cells = [
            f"{column.mean():.2f} ({interval(column)[0]:.2f}..{interval(column)[1]:.2f})"
            if np.isfinite(column[0])
            else ""
            for column in of_count.T
        ]
        table.add_row(str(count), *cells)
    Console().print(table)
    if options.figure is not None:
        draw(values, options.figure)


if __name__ == "__main__":
    main()
