"""`colorgan runs`: compare run folders."""

from pathlib import Path
from typing import Annotated

import typer


def runs(
    folder: Annotated[Path, typer.Argument(help="A run folder, or one that holds some: a sweep, or all of runs.")],
    csv: Annotated[Path | None, typer.Option(help="Write a row a run, seeds apart, to this file.")] = None,
) -> None:
    """Compare runs: what their configs differ in, their metrics with the spread over seeds, and which is best."""
    from colorgan.sweeps.runs import find_runs, print_runs, write_runs

    found = find_runs(folder)
    print_runs(found)
    if csv is not None:
        write_runs(found, csv)
