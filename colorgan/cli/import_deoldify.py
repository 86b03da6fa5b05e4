"""From DeOldify's weight files to one of our checkpoints."""

from collections.abc import Sequence
from pathlib import Path

from colorgan.checkpoint import save_checkpoint
from colorgan.files import file_hash
from colorgan.networks.deoldify_weights import ImportedNetwork, from_deoldify, read_pth

# What the header of a run's checkpoint says, for weights that no run of ours made.
_FACTS = {
    "stage": "imported",
    "step": 0,
    "total_step": 0,
    "metrics": {},
    "image_size": 192,  # DeOldify's last training size
    "gray_rule": "luma601",
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
