"""Measure how steady and how right networks with hints colour film: frame by frame, smoothed, told of other frames.

python benchmarks/steady_film.py --clips FOLDER --checkpoints RUN RUN RUN --out steady_film

Each checkpoint (seeds of `experiment=nogan_hints`) colours each clip, turned gray, in four ways, with 0, 1 and 3 true
frames as references; `evaluate.py` with `data=clips clip_metrics=drift` measures it, and nothing twice. One way, the
frames between two key frames are told the colours of the first; both ways, of both. References are carried both
ways always, frame by frame and smoothed they are laid over the network's colours, and they count as frames like others.

Flicker per colour is chroma flicker by colorfulness: what is half as colourful may flicker half as much. It does not
make colorfulness equal: what is pale and as steady for its colour scores the same, so colorfulness stands beside it.
Drift is the CIEDE2000 of the last quarter of each clip by that of the first. Values are means over clips, then seeds,
with their deviation between seeds; quotients are of means over seeds, with 95 % bootstrap intervals over clips, the
same clips drawn for both sides (none below 10 clips).
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import colorgan
from colorgan.evaluation.report import Table
from colorgan.evaluation.results import Record
from colorgan.files import write_text

WAYS: dict[str, tuple[str, ...]] = {
    "frame by frame": (),
    "smooth 0.8": ("clip_protocol.smooth=0.8",),
    "hints one way": ("clip_protocol.steady=forward",),
    "hints both ways": ("clip_protocol.steady=both",),
}
REFERENCES = (0, 1, 3)
PLAIN = ("frame by frame", 0)
Values = Mapping[str, np.ndarray]  # of each metric, seeds first
QUANTITIES: dict[str, tuple[Callable[[Values], np.ndarray], int]] = {
    "colorfulness": (lambda of: of["colorfulness"], 1),
    "chroma flicker": (lambda of: of["chroma_flicker"], 3),
    "flicker per colour": (lambda of: of["chroma_flicker"] / of["colorfulness"], 4),
    "CDC": (lambda of: of["cdc"], 5),
    "warp error": (lambda of: of["warp_error"], 6),
    "CIEDE2000": (lambda of: of["ciede2000"], 2),
    "drift": (lambda of: of["ciede2000_last_quarter"] / of["ciede2000_first_quarter"], 3),
}


class Measured(NamedTuple):
    """Metrics of a way for all checkpoints, (seeds,), and in resampled sets of clips, (seeds, sets); None for few."""

    values: Values
    replicates: Values | None


def measure(way: str, references: int, clips: Path, checkpoints: Sequence[str], out: Path) -> tuple[Measured, Measured]:
    """Measure a way to colour; returns the checkpoints' values and the truth's."""
    words = [f"checkpoints=[{','.join(checkpoints)}]", "data=clips", f"data.path={clips}", "clip_metrics=drift"]
    words += [f"clip_protocol.references={references}", f"out={out}", *WAYS[way]]
    ((table, _),) = colorgan.evaluate(*words)
    truth = next(record for record in table.records if record["name"] == "truth")
    return _measured(table, table.checkpoints()), _measured(table, [truth])


def _measured(table: Table, records: Sequence[Record]) -> Measured:
    arrays = [table.results.arrays(record["key"]) for record in records]
    values = {name: np.array([record["metrics"][name] for record in records]) for name in table.metrics}
    if any(f"replicates/{name}" not in array for name in table.metrics for array in arrays):
        return Measured(values, None)
    return Measured(values, {name: np.array([array[f"replicates/{name}"] for array in arrays]) for name in values})


def quotient(name: str, above: Measured, below: Measured | None = None) -> str:
    """Word the quotient of a quantity's means over seeds with its interval; without `below` the mean."""
    of, _ = QUANTITIES[name]

    def means(values: Values | None, others: Values | None) -> np.ndarray:
        upper = of(values or {}).mean(axis=0)
        return np.asarray(upper if below is None else upper / of(others or {}).mean(axis=0))

    value = means(above.values, below and below.values)
    if above.replicates is None or (below is not None and below.replicates is None):
        return f"{value:.2f}"
    low, high = np.percentile(means(above.replicates, below and below.replicates), [2.5, 97.5])
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def values_table(found: Mapping[tuple[str, int], Measured], truth: Measured) -> str:
    """Tabulate all quantities: mean and deviation over seeds."""
    rows = [["", "references", *QUANTITIES], ["---", *["---:"] * (1 + len(QUANTITIES))]]
    for (way, references), (values, _) in {**found, ("truth", 0): truth}.items():
        with np.errstate(invalid="ignore"):  # the truth has no error to grow
            cells = [_spread(of(values), digits) for of, digits in QUANTITIES.values()]
        rows.append([way, str(references) if way in WAYS else "", *cells])
    return _grid(rows)


def _spread(values: np.ndarray, digits: int) -> str:
    if not np.isfinite(values).all():
        return "-"
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ±{values.std(ddof=1):.{digits}f}"


def quotients_table(found: Mapping[tuple[str, int], Measured], truth: Measured) -> str:
    """Tabulate what is to be reached, for each way to be steady."""
    ways = [way for way in WAYS if way != PLAIN[0]]
    plain = found[PLAIN]
    asked: list[tuple[str, str, int, Measured | None, str]] = [
        ("flicker per colour by frame by frame", "flicker per colour", 0, plain, "0.5"),
        ("colorfulness by frame by frame", "colorfulness", 0, plain, ""),
        ("flicker per colour by the truth's", "flicker per colour", 0, truth, "1.2"),
        ("CIEDE2000 with 1 reference by frame by frame without", "CIEDE2000", 1, plain, "0.6"),
        ("CIEDE2000 with 3 references by frame by frame without", "CIEDE2000", 3, plain, ""),
        ("drift", "drift", 0, None, "1.15"),
        ("drift with 1 reference", "drift", 1, None, "1.15"),
    ]
    rows = [["", *ways, "to reach, at most"], ["---", *["---:"] * (1 + len(ways))]]
    for words, name, references, below, most in asked:
        rows.append([words, *(quotient(name, found[way, references], below) for way in ways), most])
    return _grid(rows)


def _grid(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def main() -> None:
    """Measure what is not measured yet; print both tables and write them into `steady_film.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="a folder of films, or of folders of frames")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="of networks that take hints, one a seed")
    parser.add_argument("--out", type=Path, default=Path("steady_film"), help="what it holds is not measured again")
    options = parser.parse_args()
    found: dict[tuple[str, int], Measured] = {}
    for references in REFERENCES:
        for way in WAYS:
            print(f"{way}, references {references}", flush=True)
            found[way, references], truth = measure(way, references, options.clips, options.checkpoints, options.out)
    text = f"{values_table(found, truth)}\n{quotients_table(found, truth)}"
    write_text(options.out / "steady_film.md", text)
    print(text)


if __name__ == "__main__":
    main()
