"""Measure what colour contrast a GAN added: python benchmarks/artefact_area.py runs/seed0 runs/seed1 ...

Each run is measured on the 200 of its held-out photos that chose nothing, at its training size: what it hands on, and
the last snapshot of its last stage. Prints the artefact area (metrics/artefacts.py) against `--before`, a run's first
stage by default.
"""

import argparse
from pathlib import Path

import torch
from snapshot_measures import colorized, photos_of

from colorgan.checkpoint import load_generator
from colorgan.color import rgb_to_gray
from colorgan.metrics.artefacts import artefact_areas


def main() -> None:
    """Measure all runs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--before", nargs="+", type=Path, help="what to compare with, one a run")
    arguments = parser.parse_args()
    before = arguments.before or [run / "01-generator_pretrain" / "handover.safetensors" for run in arguments.runs]
    if len(before) != len(arguments.runs):
        parser.error(f"--before names {len(before)} networks for {len(arguments.runs)} runs: it is to be one a run")
    torch.set_grad_enabled(False)
    print("| | handed on | last snapshot |\n| --- | ---: | ---: |")
    for run, first in zip(arguments.runs, before, strict=True):
        gray = rgb_to_gray(photos_of(run / "config.yaml").unseen)
        twin = colorized(load_generator(first), gray)
        files = (run / "final.safetensors", max(run.glob("*-gan/snapshots/*.safetensors")))
        areas = [float(artefact_areas(colorized(load_generator(file), gray), twin).mean()) for file in files]
        print(f"| {run.name} | {areas[0]:.4f} | {areas[1]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
