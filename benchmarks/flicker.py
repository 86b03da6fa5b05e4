"""Flicker of several runs: means over seeds, and flicker at equal colorfulness, from what evaluate.py has measured.

    python evaluate.py checkpoints='runs/*/final.safetensors' data=clips data.path=my_clips out=flicker
    python benchmarks/flicker.py flicker

with snapshots, on moved photos:

    python evaluate.py checkpoints='[runs/*/final.safetensors,runs/*/*/snapshots/*.safetensors]' out=moved \
        motion=panel motion.num_photos=24 data=folder data.path=my_photos
    python benchmarks/flicker.py moved

Runs are told apart by their folders: NAME-SEED. Where snapshots were measured, flicker at a colorfulness is
interpolated between the snapshots of each run (and gray, where both are 0), then averaged over seeds.
"""

import json
import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

METRICS = {"colorfulness": 1, "cdc": 5, "warp_error": 6, "chroma_flicker": 3, "psnr": 2}


def main(
    folder: Annotated[Path, typer.Argument(help="Where evaluate.py wrote metrics.jsonl.")],
    colorfulness: Annotated[float, typer.Option(help="At which flicker is compared.")] = 15.0,
) -> None:
    """Print both tables."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    sets = Counter(record["protocol"]["clips_sha256"] for record in records)
    records = [r for r in records if r["protocol"]["clips_sha256"] == sets.most_common(1)[0][0]]
    finals: dict[str, list[dict[str, float]]] = defaultdict(list)
    curves: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        path = record.get("checkpoint", {}).get("path")
        if path is None:
            finals[record["name"]].append(record["metrics"])
            continue
        name, seed = re.search(r"([^/]+)-(\d+)/", path).groups()  # type: ignore[union-attr]
        if Path(path).stem == "final":
            finals[name].append(record["metrics"])
        curves[name][seed].append((record["metrics"]["colorfulness"], record["metrics"]["chroma_flicker"]))
    table = Table(title="mean over seeds ± standard deviation between them")
    for column in ("", "seeds", *METRICS, "flicker / colorfulness"):
        table.add_column(column, justify="right" if column else "left")
    for name, rows in finals.items():
        ratios = [row["chroma_flicker"] / max(row["colorfulness"], 1e-9) for row in rows]
        cells = [_spread([row[metric] for row in rows], digits) for metric, digits in METRICS.items()]
        table.add_row(name, str(len(rows)), *cells, _spread(ratios, 4) if name != "gray" else "-")
    Console(width=160).print(table)
    equal = Table(title=f"chroma flicker at colorfulness {colorfulness:g}, interpolated between snapshots")
    for column in ("", "seeds that reach it", "chroma flicker", "each"):
        equal.add_column(column)
    for name, runs in curves.items():
        found = [value for points in runs.values() if (value := _at(points, colorfulness)) is not None]
        each = ", ".join(f"{value:.3f}" for value in found)
        equal.add_row(name, f"{len(found)} of {len(runs)}", _spread(found, 3) if found else "-", each)
    Console(width=160).print(equal)


def _spread(values: list[float], digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ±{np.std(values, ddof=1):.{digits}f}"


def _at(points: list[tuple[float, float]], colorfulness: float) -> float | None:
    """Flicker where the colorfulness is first passed, on straight lines between neighbours; None if it never is."""
    ordered = sorted({(0.0, 0.0), *points})
    for (low, below), (high, above) in pairwise(ordered):
        if low <= colorfulness <= high and high > low:
            return below + (above - below) * (colorfulness - low) / (high - low)
    return None


if __name__ == "__main__":
    typer.run(main)
