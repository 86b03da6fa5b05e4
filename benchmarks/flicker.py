"""Compare the flicker of several runs: means over seeds, and flicker at equal colorfulness.

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
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

METRICS = {"colorfulness": 1, "cdc": 5, "warp_error": 6, "chroma_flicker": 3, "psnr": 2}


def main(
    folder: Annotated[Path, typer.Argument(help="Where evaluate.py wrote metrics.jsonl.")],
    colorfulness: Annotated[float, typer.Option(help="At which flicker is compared.")] = 15.0,
) -> None:
    """Print both tables."""
    rows = read_rows(folder)
    console = Console(width=160)
    console.print(means_over_seeds(rows[rows["final"]]))
    console.print(at_equal_colorfulness(rows[rows["seed"].notna()], colorfulness))


def read_rows(folder: Path) -> pd.DataFrame:
    """Read measurements of the clips that most rows share: name, seed (of checkpoints), whether final, metrics."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rows = pd.DataFrame([record["metrics"] for record in records])
    paths = pd.Series([record.get("checkpoint", {}).get("path") for record in records], dtype=object)
    runs = paths.str.extract(r"([^/]+)-(\d+)/").set_axis(["name", "seed"], axis=1)
    rows = rows.join(runs)
    rows["name"] = rows["name"].fillna(pd.Series([record["name"] for record in records]))
    rows["final"] = paths.isna() | paths.str.endswith("/final.safetensors").eq(True)
    rows["ratio"] = rows["chroma_flicker"] / rows["colorfulness"].clip(lower=1e-9)
    clips = pd.Series([record["protocol"]["clips_sha256"] for record in records])
    return rows[clips == clips.mode()[0]]


def means_over_seeds(rows: pd.DataFrame) -> Table:
    """Tabulate the final checkpoints and the baselines."""
    table = Table(title="mean over seeds ± standard deviation between them")
    for column in ("", "seeds", *METRICS, "flicker / colorfulness"):
        table.add_column(column, justify="right" if column else "left")
    for name, group in rows.groupby("name", sort=False):
        cells = [_spread(group[metric], digits) for metric, digits in METRICS.items()]
        table.add_row(name, str(len(group)), *cells, _spread(group["ratio"], 4) if name != "gray" else "-")
    return table


def at_equal_colorfulness(rows: pd.DataFrame, colorfulness: float) -> Table:
    """Tabulate the flicker of each run where its snapshots pass a colorfulness."""
    table = Table(title=f"chroma flicker at colorfulness {colorfulness:g}, interpolated between snapshots")
    for column in ("", "seeds that reach it", "chroma flicker", "each"):
        table.add_column(column)
    for name, group in rows.groupby("name", sort=False):
        points = group.groupby("seed", sort=False)[["colorfulness", "chroma_flicker"]]
        found = pd.Series([_at(run.to_numpy().tolist(), colorfulness) for _, run in points], dtype=float)
        each = ", ".join(f"{value:.3f}" for value in found.dropna())
        table.add_row(name, f"{found.count()} of {len(found)}", _spread(found, 3) if each else "-", each)
    return table


def _spread(values: pd.Series, digits: int) -> str:
    mean = f"{values.mean():.{digits}f}"
    return mean if values.count() < 2 else f"{mean} ±{values.std():.{digits}f}"


def _at(points: list[list[float]], colorfulness: float) -> float | None:
    """Find the flicker where the colorfulness is first passed, on straight lines between neighbours; None if never."""
    ordered = sorted({(0.0, 0.0), *map(tuple, points)})
    for (low, below), (high, above) in pairwise(ordered):
        if low <= colorfulness <= high and high > low:
            return below + (above - below) * (colorfulness - low) / (high - low)
    return None


if __name__ == "__main__":
    typer.run(main)
