"""`colorgan import-deoldify`: DeOldify's weight files as one of our checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def import_deoldify(
    file: Annotated[Path, typer.Argument(help="DeOldify's .pth: a generator (Deep, Wide) or a critic.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors checkpoint to write.")],
    critic: Annotated[
        Path | None, typer.Option(help="With a generator: the .pth of its critic, for a checkpoint to train on.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a checkpoint that exists.")] = False,
) -> None:
    """Turn DeOldify's published weights into a checkpoint that colorizes, evaluates and trains on (init_from=).

    Which network it is follows from the names and shapes of the tensors. Nothing but tensors is read from the file.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"OUT must end in .safetensors, got {out}")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; use --overwrite or another OUT")
    typer.echo(import_weights([file, *([critic] if critic else [])], out))


# What the header of a run's checkpoint says, for weights that no run of ours made.
_FACTS = {
    "stage": "imported",
    "step": 0,
    "total_step": 0,
    "metrics": {},
    "image_size": 192,  # DeOldify's last training size
    "splits": [],  # ImageNet's photos, and nobody knows which
}


def import_weights(files: Sequence[Path], out: Path) -> str:
    """Write a checkpoint of a generator, a critic, or both; returns a sentence about it.

    Args:
        files: one or two `.pth` files of DeOldify's.
        out: the `.safetensors` file.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file holds something else, or two files the same kind of network.
    """
    from colorgan.checkpoint import save_checkpoint
    from colorgan.files import file_hash
    from colorgan.networks.deoldify_weights import ImportedNetwork, from_deoldify, read_pth

    networks: dict[str, ImportedNetwork] = {}
    for file in files:
        state = read_pth(file)
        try:
            imported = from_deoldify(state)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        if imported.role in networks:
            raise ValueError(f"{file} holds a {imported.role} too; give a generator and, with --critic, its critic")
        networks[imported.role] = imported
    save_checkpoint(
        out,
        {role: imported.network for role, imported in networks.items()},
        configs={role: imported.config for role, imported in networks.items()},
        facts={
            **_FACTS,
            "source": {file.name: f"sha256 {file_hash(file)}" for file in files},
            "trained_through": [i.config["encoder"]["name"] for i in networks.values() if "encoder" in i.config]
            + ["vgg16_bn"],  # DeOldify's FeatureLoss
        },
    )
    parts = ", ".join(
        f"{imported.kind} {role} ({sum(p.numel() for p in imported.network.parameters()):,} parameters)"
        for role, imported in networks.items()
    )
    return f"{out}: {parts}"
