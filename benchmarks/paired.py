"""Compare two recipes run by run: python benchmarks/paired.py --base RUN RUN RUN --other RUN RUN RUN [--size 64].

Runs are pairs in the order given, and both of a pair hold out the same photos (same data, seed, share of validation).
They are measured on those that neither's validation panel looked at, so that no snapshot was chosen by them. The
interval is of the mean difference of these runs, 95 %, by bootstrap over photos, both runs of a pair on the same drawn
ones; it does not know other seeds: for these, the deviation of the differences between pairs stands beside it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from seeds_table import link_unseen, sizes

import colorgan
from colorgan.evaluation.report import Table
from colorgan.evaluation.results import Record

METRICS = ("chroma_distance", "ciede2000", "colorfulness", "kid_efficientnet_lite2", "psnr_chroma")


class Pair(NamedTuple):
    """Two rows of a table."""

    table: Table
    base: Record
    other: Record


class Comparison(NamedTuple):
    """A metric of all pairs, and the 95 % interval of the mean difference, other minus base."""

    base: np.ndarray
    other: np.ndarray
    low: float
    high: float


def measure_unseen(runs: Sequence[Path], size: int, out: Path) -> Table:
    """Measure the ends of runs that hold out the same photos, in order, on those that chose nothing in any."""
    finals = [run / "final.safetensors" for run in runs]
    with TemporaryDirectory() as folder:
        link_unseen(runs, Path(folder))
        words = [f"checkpoints=[{','.join(map(str, finals))}]", "data=folder", f"data.path={folder}", "metrics=default"]
        ((table, _),) = colorgan.evaluate(*words, *sizes(finals[0], size), f"out={out}")
    return table


def compared(pairs: Sequence[Pair], metric: str) -> Comparison:
    """Compare a metric over pairs; each draws from its own photos."""
    base, other = (np.array([getattr(pair, side)["metrics"][metric] for pair in pairs]) for side in ("base", "other"))
    replicates = []
    for table, *rows in pairs:
        first, second = (table.results.arrays(row["key"])[f"replicates/{metric}"] for row in rows)
        replicates.append(second - first)
    low, high = np.percentile(np.mean(replicates, axis=0), [2.5, 97.5])
    return Comparison(base, other, float(low), float(high))


def _pair(base: Path, other: Path, size: int, out: Path) -> Pair:
    manifests = [run / "manifest.csv" for run in (base, other)]
    if missing := [str(file) for file in manifests if not file.exists()]:
        raise SystemExit(f"error: {missing[0]} is not there: --base and --other take folders of finished runs")
    if manifests[0].read_bytes() != manifests[1].read_bytes():
        raise SystemExit(f"error: {base} and {other} do not hold out the same photos (manifest.csv)")
    table = measure_unseen([base, other], size, out / f"{base.name}-{size}")
    return Pair(table, *table.checkpoints())


def main() -> None:
    """Measure all pairs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", nargs="+", type=Path, required=True)
    parser.add_argument("--other", nargs="+", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64, help="pixels at which pictures are measured")
    parser.add_argument("--out", type=Path, default=Path("evaluation/paired"), help="what is there is not done again")
    options = parser.parse_args()
    if len(options.base) != len(options.other):
        parser.error(f"--base names {len(options.base)} runs and --other {len(options.other)}: they are to be pairs")
    pairs = [
        _pair(base, other, options.size, options.out) for base, other in zip(options.base, options.other, strict=True)
    ]
    print(f"\n{options.size} px, {len(pairs)} pairs, photos each: {[pair.table.count() for pair in pairs]}\n")
    print("| | base | other | difference (95 % over photos) | each pair |\n| --- | ---: | ---: | ---: | ---: |")
    for metric in METRICS:
        found = compared(pairs, metric)
        means = [f"{values.mean():.4g} ±{values.std(ddof=len(pairs) > 1):.2g}" for values in found[:2]]
        each = found.other - found.base
        difference = f"{each.mean():+.3g} ({found.low:+.3g} to {found.high:+.3g})"
        print(f"| {metric} | {' | '.join(means)} | {difference} | {', '.join(f'{value:+.3g}' for value in each)} |")


if __name__ == "__main__":
    main()
