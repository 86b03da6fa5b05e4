"""`colorgan inspect`: what a checkpoint is."""

from pathlib import Path
from typing import Annotated

import typer


def inspect(file: Annotated[Path, typer.Argument(help="A .safetensors file or a run folder.")]) -> None:
    """Say what a checkpoint is: networks, stage, steps, metrics, versions."""
    import json

    from rich.table import Table

    from colorgan.checkpoint import find_checkpoint, read_header, read_tensors
    from colorgan.console import make_console
    from colorgan.files import file_hash

    path = find_checkpoint(file)
    header = read_header(path)
    table = Table(title=str(path), show_header=False)
    for name, config in header.pop("networks").items():
        values = sum(tensor.numel() for tensor in read_tensors(path, name).values())
        table.add_row(name, f"{values / 1e6:.2f} M values\n{json.dumps(config, indent=1)}")
    for key, value in header.items():
        shown = (
            ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items())
            if isinstance(value, dict)
            else ", ".join(map(str, value))
            if isinstance(value, list)
            else str(value)
        )
        table.add_row(key, shown)
    table.add_row("sha256", file_hash(path))
    make_console().print(table)
