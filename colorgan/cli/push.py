"""`colorgan push`: give a trained generator to others."""

from pathlib import Path
from typing import Annotated

import typer


def push(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    target: Annotated[str, typer.Argument(help="hf://OWNER/NAME, or a local folder.")],
    license_name: Annotated[
        str, typer.Option("--license", help="Of the weights, as the hub names it: mit, cc-by-4.0, other ...")
    ] = "other",
    half: Annotated[bool, typer.Option("--half", help="Store float16: half as large.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository that only you see.")] = False,
) -> None:
    """Publish a run's generator with its config and a model card: on the Hugging Face hub, or in a folder."""
    import tempfile

    from colorgan.hub import is_address, send
    from colorgan.training.publication import write_publication

    if not is_address(target):
        write_publication(run, Path(target).expanduser(), address=target, license_name=license_name, half=half)
        print(f"published: {target}; colorgan colorize PHOTO --checkpoint {target}")
        return
    with tempfile.TemporaryDirectory() as folder:
        write_publication(run, Path(folder), address=target, license_name=license_name, half=half)
        page = send(Path(folder), target, private=private)
    print(f"published: {page}; colorgan colorize PHOTO --checkpoint {target}")
