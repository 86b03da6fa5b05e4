"""`colorgan export`: a trained generator as a file for other programs, or for this one without a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

_FORMATS = {"onnx": (".onnx", ("fp32", "fp16")), "openvino": (".xml", ("fp32", "fp16", "bf16"))}
_CHECKPOINT = "A .safetensors file or a run folder."
_OUT = "An .onnx file, or for OpenVINO an .xml (its weights go beside it, as .bin); default: here."
_PRECISION = "Of the network: fp32, fp16, or with openvino bf16, in which CPUs that have it compute."


def export(
    checkpoint: Annotated[str, typer.Argument(help=_CHECKPOINT)],
    format: Annotated[str, typer.Option(help="onnx or openvino.")] = "onnx",
    precision: Annotated[str, typer.Option(help=_PRECISION)] = "fp32",
    out: Annotated[Path | None, typer.Option("--out", "-o", help=_OUT)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a generator as a graph that turns gray pictures of any number and size into colour.

    Input `gray` (N, 1, H, W) and output `rgb` (N, 3, H, W) lie in [0, 1]; padding and cropping are inside. The file is
    checked against torch on several sizes and is not written if its colours are too far off. It holds its gray rule,
    working size and the checkpoint's hash, and `colorgan colorize --checkpoint FILE` runs it.
    """
    if format not in _FORMATS:
        raise ValueError(f"--format must be one of {', '.join(_FORMATS)}, got {format!r}")
    ending, precisions = _FORMATS[format]
    if precision not in precisions:
        raise ValueError(
            f"--precision with --format {format} must be one of {', '.join(precisions)}, got {precision!r}"
        )
    from colorgan.checkpoint import find_checkpoint
    from colorgan.colorize.export import export_checkpoint

    file = find_checkpoint(checkpoint)
    target = out or Path(f"{file.stem}-{precision}{ending}")
    if target.suffix != ending:
        raise ValueError(f"--out must end in {ending} with --format {format}, got {target}")
    if target.exists() and not overwrite:
        raise ValueError(f"{target} exists; use --overwrite or another --out")
    typer.echo(f"{target}: {export_checkpoint(file, target, precision=precision)}")
