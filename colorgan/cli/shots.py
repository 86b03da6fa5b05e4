"""`colorgan shots`: find the shots of a film."""

from pathlib import Path
from typing import Annotated

import typer

_Source = Annotated[Path, typer.Argument(help="A film, or a folder of its frames.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="The list to write, a .csv; beside it a .jpg shows each shot.")]
_Preset = Annotated[str, typer.Option(help="Look of all shots to begin with: natural, muted, vivid, night.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a list that exists.")]


def shots(
    source: _Source, out: _Out = Path("shots.csv"), preset: _Preset = "natural", overwrite: _Overwrite = False
) -> None:
    """Find the shots of a film and write them as a list, a row each, to be edited and read back.

    Cuts, dissolves and fades are found, and which shots are in colour already, show nothing or are titles. The list
    says what to do with each; `colorgan colorize FILM --shots shots.csv` does it (docs/film.md).
    """
    from colorgan.colorize.shot_sheet import list_shots

    list_shots(source, out, preset, overwrite=overwrite)
