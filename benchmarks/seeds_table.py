"""Tabulate what runs of several seeds give on photos that chose nothing: mean and standard deviation over seeds.

python benchmarks/seeds_table.py runs/seed0 runs/seed1 runs/seed2 --sizes 64 256

Each run is measured on those of its own validation photos that its validation panel left out, so that no snapshot was
chosen by them: after every stage that trains the generator, beside the baselines. At sizes above the training size the
network works at twice that size, as in `colorgan colorize`.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from omegaconf import OmegaConf

import colorgan
from colorgan.checkpoint import read_header
from colorgan.config import build_datamodule

METRICS = ("colorfulness", "ciede2000", "psnr_chroma", "ssim", "kid_efficientnet_lite2", "chroma_distance")


def link_unseen(runs: Sequence[Path], folder: Path) -> None:
    """Link the photos that chose nothing into a folder: those held out, alike by all runs, that are in no panel."""
    for run in runs:
        if not (run / "final.safetensors").exists():
            raise SystemExit(f"error: {run} is no finished run: it has no final.safetensors")
    configs = [OmegaConf.load(run / "config.yaml") for run in runs]
    modules = [build_datamodule(config.data, seed=config.seed) for config in configs]
    config, largest_panel = configs[0], max(module.validation_panel for module in modules)
    library = modules[0].examine(min_size=max(stage.image_size for stage in config.schedule.stages.values()))
    for row in library.drawn(library.splits["val"])[largest_panel:]:
        name = library.table[row]["name"]
        (folder / name.replace("/", "__")).symlink_to((Path(config.data.path) / name).resolve())


def sizes(checkpoint: Path, size: int) -> list[str]:
    """Word the sizes to measure at; above its training size the network works at twice that one, as for users."""
    trained_at = read_header(checkpoint)["image_size"]
    return [f"protocol.image_size={size}", *([f"protocol.network_size={2 * trained_at}"] if size > trained_at else [])]


def measure(run: Path, folder: Path, size: int, out: Path) -> tuple[dict[str, dict[str, float]], int]:
    """Measure a run on the photos of a folder; returns its metrics by row, and the number of photos."""
    stages = sorted(run.glob("[0-9][0-9]-*/handover.safetensors"))
    stages = [file for file in stages if "critic" not in file.parent.name]
    words = [f"checkpoints=[{','.join(map(str, stages))}]", "data=folder", f"data.path={folder}", "metrics=default"]
    words += ["+metrics.ssim._target_=colorgan.metrics.SSIM"]
    words += [*sizes(stages[-1], size), f"out={out}"]
    ((table, photos),) = colorgan.evaluate(*words)
    return {record["name"]: record["metrics"] for record in table.records}, len(photos)


def main() -> None:
    """Measure all runs and print a Markdown table a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 256], help="pixels at which pictures are measured")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="what it holds is not measured again")
    arguments = parser.parse_args()
    for size in arguments.sizes:
        values: dict[str, list[dict[str, float]]] = defaultdict(list)
        counts = []
        for run in arguments.runs:
            with TemporaryDirectory() as folder:
                link_unseen([run], Path(folder))
                rows, count = measure(run, Path(folder), size, arguments.out / f"{run.name}-{size}")
            counts.append(count)
            for name, metrics in rows.items():
                values[name].append(metrics)
        print(f"\n{size} px, {len(arguments.runs)} seeds, photos each: {counts}\n\n| | {' | '.join(METRICS)} |")
        print(f"| --- |{' ---: |' * len(METRICS)}")
        for name, found in values.items():
            frame = pd.DataFrame(found, dtype=float)
            cells = [f"{frame[m].mean():.4g} ±{frame[m].std():.2g}" for m in METRICS]
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
