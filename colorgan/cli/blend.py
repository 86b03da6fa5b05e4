"""`colorgan blend` and `colorgan average`: make a checkpoint of others, after training."""

from pathlib import Path
from typing import Annotated

import typer

_STRENGTH = "0 is the first, 1 the second, between them a bit of both, up to 1.5 beyond."
_PHOTOS = "Folder of photos on which the statistics of batch norm are measured; default: the built-in ones."
_Out = Annotated[Path, typer.Option("--out", "-o", help="A .safetensors file.")]
_Photos = Annotated[str | None, typer.Option(help=_PHOTOS)]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]
_Run = Annotated[Path, typer.Argument(help="A run folder, or the folder of a stage.")]
_Step = Annotated[int | None, typer.Option(help="Of the stage, at which the average ends; default: the last.")]


def blend(
    first: Annotated[str, typer.Argument(help="A .safetensors file or a run folder.")],
    second: Annotated[str, typer.Argument(help="Another one, of the same architecture.")],
    strength: Annotated[float, typer.Option(help=_STRENGTH)],
    out: _Out,
    photos: _Photos = None,
    overwrite: _Overwrite = False,
) -> None:
    """Write a generator between two: after stage 1 and after the GAN, for one.

    Weights are interpolated, statistics of batch norm and vectors of spectral norm found anew. The file is a checkpoint
    like any other; its header says what it was made of.
    """
    from colorgan.checkpoint import find_checkpoint
    from colorgan.colorize import blends

    _check_out(out, overwrite=overwrite)
    blends.blend(find_checkpoint(first), find_checkpoint(second), strength, out, photos=photos)
    typer.echo(f"{out}: {1 - strength:.3g} of {first} and {strength:.3g} of {second}")


def average(
    run: _Run,
    length: Annotated[float, typer.Option(help="As a share of the generator's steps so far, .02 to .25.")],
    out: _Out,
    step: _Step = None,
    photos: _Photos = None,
    overwrite: _Overwrite = False,
) -> None:
    """Write the generator averaged over the last part of a stage, of any length, after training.

    The stage must have been trained with schedule.stages.gan.power_averages=true. The average is solved by least
    squares from the two that were kept at each snapshot; how near it comes is printed.
    """
    from colorgan.colorize import blends

    _check_out(out, overwrite=overwrite)
    typer.echo(f"{out}: length {length:g}, {blends.average(run, length, out, step=step, photos=photos)}")


def _check_out(out: Path, *, overwrite: bool) -> None:
    if out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {out}")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; use --overwrite or another --out")
