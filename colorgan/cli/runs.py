"""`colorgan runs`: compare run folders."""

from pathlib import Path
from typing import Annotated

import typer


def runs(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or such as hold some: a sweep, or all of runs.")],
    csv: Annotated[Path | None, typer.Option(help="Write a row a run, seeds apart, to this file.")] = None,
) -> None:
    """Compare runs: what their configs differ in, their metrics with the spread over seeds, and which is best.

    Runs that were measured on other photos or at another size get a table of their own.
    """
    from colorgan.sweeps.runs import find_runs
    from colorgan.sweeps.sections import print_runs, write_runs

    found = find_runs(*folders)
    print_runs(found)
    if csv is not None:
        write_runs(found, csv)
