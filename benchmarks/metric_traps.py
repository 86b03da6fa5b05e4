"""How each metric is fooled by pictures that no colorizer should make, on photos turned gray.

python benchmarks/metric_traps.py PHOTOS [--photos 500] [--size 256]
"""

import argparse

import torch
from judging import all_metrics, first_photos
from rich.console import Console
from rich.table import Table

from colorgan.color import chroma_to_rgb, lab_to_rgb, recombine, rgb_to_chroma, rgb_to_lab
from colorgan.config import build_available_metrics
from colorgan.evaluation.measure import Method, baselines, mean_values
from colorgan.evaluation.photos import Batch
from colorgan.evaluation.report import heading


def with_chroma_times(factor: float) -> Method:
    """The photo with its chroma scaled, kept in gamut."""

    def method(batch: Batch):  # noqa: ANN202
        chroma = factor * rgb_to_chroma(batch["rgb"])
        return recombine(batch["gray"], chroma_to_rgb(batch["gray"], chroma))

    return method


def inverted_hue(batch: Batch):  # noqa: ANN201
    """The photo with a and b of CIE Lab negated, clipped."""
    lightness, a, b = rgb_to_lab(batch["rgb"]).split(1, dim=1)
    return lab_to_rgb(torch.cat([lightness, -a, -b], dim=1)).clamp(0, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="photos whose shorter side is at least --size")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    photos = first_photos(options.folder, count=options.photos, size=options.size)
    metrics, _ = build_available_metrics(all_metrics())
    methods = baselines(photos)
    truth = methods.pop("truth")
    methods |= {"inverted hue": inverted_hue, "half chroma": with_chroma_times(0.5)}
    methods |= {"chroma x1.5": with_chroma_times(1.5), "truth": truth}
    table = Table(title=f"{len(photos)} photos, {options.size} px")
    table.add_column("")
    for name, metric in metrics.items():
        table.add_column(heading(name, metric).replace("_", "\n"), justify="right")  # type: ignore[arg-type]
    for row, method in methods.items():
        values = mean_values(method, photos.loader(), metrics)
        table.add_row(row, *(f"{value:.{metrics[name].decimals}f}" for name, value in values.items()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
