"""Compare how distances fall to the truth and rise from it as chroma is scaled and hue is turned.

python benchmarks/judge_curves.py PHOTOS [--photos 500] [--size 128] [--figure curves.png]

Photos are drawn by a seeded hash of their content. All pictures keep the gray of their photo and stay in gamut. Beside
the metrics of the package stand distances that were tried and are worse: the kernel distance on photos of constant
luma, and the first part of `chroma_distance` alone. The figure has gray at 1.
"""

import argparse
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from colorgan.color import chroma_to_rgb, lab_to_rgb, quantize, recombine, rgb_to_chroma, rgb_to_gray, rgb_to_lab
from colorgan.files import atomic, file_hash
from colorgan.media.photo import PHOTO_ENDINGS, read_photo
from colorgan.metrics import CIEDE2000, ChromaDistance, KernelDistance, PictureMetric
from colorgan.metrics.base import check_pictures, resampling_counts

FACTORS = (0, 0.25, 0.5, 0.75, 1, 1.5, 2)
DEGREES = (0, 30, 60, 90, 120, 150, 180)
LARGEST_CHROMA = 0.886  # of B - Y, blue; the other two differences are smaller
BATCH = 50


class ConstantLumaDistance(KernelDistance):
    """Kernel distance of chroma alone, shown on a gray of one half."""

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and the photos they were made from."""
        check_pictures(fake_rgb, rgb)
        super().update(self._shown(fake_rgb), self._shown(rgb))

    @staticmethod
    def _shown(rgb: Tensor) -> Tensor:
        gray = torch.full_like(rgb[:, :1], 0.5)
        return chroma_to_rgb(gray, rgb_to_chroma(quantize(rgb)) * 0.5 / LARGEST_CHROMA).clamp(0, 1)


def drawn_photos(folder: Path, *, count: int, size: int, seed: int = 0) -> Tensor:
    """Draw photos by a seeded hash of their content, as centred squares, (N, 3, size, size)."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_ENDINGS]
    files.sort(key=lambda path: hashlib.sha256(f"{seed}:{file_hash(path)}".encode()).hexdigest())
    photos = []
    for path in files[:count]:
        photo = read_photo(path)
        side, (width, height) = min(photo.size), photo.size
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        photos.append(np.asarray(photo.resize((size, size), Image.Resampling.BICUBIC, box=box)))
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


def with_chroma(rgb: Tensor, chroma: Tensor) -> Tensor:
    """Give the photos other chroma planes."""
    gray = rgb_to_gray(rgb)
    return recombine(gray, chroma_to_rgb(gray, chroma))


def with_hue_turned(rgb: Tensor, degrees: float) -> Tensor:
    """Turn a and b of CIE Lab about gray."""
    lightness, a, b = rgb_to_lab(rgb).split(1, dim=1)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = lab_to_rgb(torch.cat([lightness, cos * a - sin * b, sin * a + cos * b], dim=1))
    return recombine(lightness / 100, turned, "lightness")


def rows(rgb: Tensor) -> dict[str, Callable[[slice], Tensor]]:
    """Name the kinds of pictures, each with a function that makes those of some of the photos."""
    tint = rgb_to_chroma(rgb).mean(dim=(0, 2, 3), keepdim=True)
    others = rgb.roll(1, dims=0)
    noise = torch.randn(len(rgb), 2, 4, 4, generator=torch.Generator().manual_seed(0)) / 20

    def smooth(coarse: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(coarse, rgb.shape[2:], mode="bicubic", align_corners=False)

    def blurred(part: slice) -> Tensor:
        return smooth(torch.nn.functional.adaptive_avg_pool2d(rgb_to_chroma(rgb[part]), 8))

    def scaled(factor: float) -> Callable[[slice], Tensor]:
        return lambda part: with_chroma(rgb[part], factor * rgb_to_chroma(rgb[part])) if factor != 1 else rgb[part]

    def turned(degrees: float) -> Callable[[slice], Tensor]:
        return lambda part: with_hue_turned(rgb[part], degrees) if degrees else rgb[part]

    return {
        **{f"chroma x{factor:g}": scaled(factor) for factor in FACTORS},
        **{f"hue {degrees}": turned(degrees) for degrees in DEGREES},
        "hue -90": turned(-90),
        "mean tint": lambda part: with_chroma(rgb[part], tint.expand(len(rgb[part]), -1, *rgb.shape[2:])),
        "shuffled": lambda part: with_chroma(rgb[part], rgb_to_chroma(others[part])),
        "chroma blurred": lambda part: with_chroma(rgb[part], blurred(part)),
        "chroma with noise": lambda part: with_chroma(rgb[part], rgb_to_chroma(rgb[part]) + smooth(noise[part])),
    }


def measured(metric: PictureMetric, make: Callable[[slice], Tensor], rgb: Tensor) -> tuple[float, float, float]:
    """Measure the value, its standard error, and milliseconds a picture."""
    metric.reset()
    seconds = 0.0
    with torch.no_grad():
        for start in range(0, len(rgb), BATCH):
            part = slice(start, start + BATCH)
            pictures = quantize(make(part))
            begin = time.perf_counter()
            metric.update(pictures, rgb[part])
            seconds += time.perf_counter() - begin
        value = metric.compute().item()
    error = metric.replicates(resampling_counts(len(rgb), 200)).std().item()
    return value, error, 1000 * seconds / len(rgb)


def draw(values: dict[str, dict[str, float]], path: Path) -> None:
    """Draw both curves of every metric, gray at 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name, column in values.items():
        gray, style = column["chroma x0"], {"linewidth": 3 if name == "chroma_distance" else 1.2, "marker": "o"}
        left.plot(FACTORS, [column[f"chroma x{f:g}"] / gray for f in FACTORS], label=name, **style)
        right.plot(DEGREES, [column[f"hue {d}"] / gray for d in DEGREES], **style)
    left.set(xlabel="chroma, times the photo's", ylabel="distance, gray = 1")
    right.set(xlabel="hue, degrees from the photo's", xticks=DEGREES)
    right.axhline(1, color="gray", linestyle=":", linewidth=1)
    left.legend()
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--figure", type=Path, help="where to draw the curves")
    options = parser.parse_args()
    rgb = drawn_photos(options.folder, count=options.photos, size=options.size)
    metrics: dict[str, PictureMetric] = {
        "kid_efficientnet_lite2": KernelDistance(),
        "the same at constant luma": ConstantLumaDistance(),
        "sets alone": ChromaDistance(place_weight=0),
        "chroma_distance": ChromaDistance(),
        "ciede2000": CIEDE2000(),
    }
    values: dict[str, dict[str, float]] = {name: {} for name in metrics}
    cost: dict[str, float] = {}
    table = Table(title=f"{len(rgb)} photos, {options.size} px, ± standard error")
    for column in ("", *metrics):
        table.add_column(column, justify="right" if column else "left")
    for row, make in rows(rgb).items():
        cells = []
        for name, metric in metrics.items():
            values[name][row], error, cost[name] = measured(metric, make, rgb)
            cells.append(f"{values[name][row]:.1f} ±{error:.1f}")
        table.add_row(row, *cells)
    table.add_row("ms a picture", *(f"{cost[name]:.1f}" for name in metrics))
    Console(width=160).print(table)
    if options.figure:
        draw(values, options.figure)


if __name__ == "__main__":
    main()
