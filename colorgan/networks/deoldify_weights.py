"""Read and write the weights of DeOldify's networks under the names that its published `.pth` files use.

Its names come from fastai's nested `Sequential`s and from torch's old spectral and weight norm (`weight_orig`,
`weight_u`, `weight_v`; `weight_g`, `weight_v`); ours from the attributes of `colorgan.networks.deoldify` and torch's
parametrizations. Both hold the same tensors: only names differ, so a file goes through both ways bit by bit.
"""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from colorgan.networks.deoldify import DeOldifyCritic, DeOldifyGenerator
from colorgan.networks.encoders import TorchvisionPyramid

ENCODERS = {"deep": "resnet34", "wide": "resnet101"}
_ENCODER_LAYERS = ["relu", "layer1", "layer2", "layer3", "layer4"]

# Our name -> DeOldify's, tried in order. Its generator is one list: encoder, bottleneck, ReLU, middle, four blocks,
# upsampling, join, residual block, head.
_GENERATOR_NAMES = (
    (r"^encoder\.network\.conv1\.", r"layers.0.0."),
    (r"^encoder\.network\.bn1\.", r"layers.0.1."),
    *((rf"^encoder\.network\.layer{i}\.", rf"layers.0.{i + 3}.") for i in range(1, 5)),
    (r"^bottleneck\.", r"layers.1."),
    (r"^middle\.", r"layers.3."),
    *((rf"^blocks\.{i}\.upsample\.conv\.", rf"layers.{i + 4}.shuf.conv.") for i in range(4)),
    *((rf"^blocks\.{i}\.skip_norm\.", rf"layers.{i + 4}.bn.") for i in range(4)),
    *((rf"^blocks\.{i}\.convs\.", rf"layers.{i + 4}.convs.") for i in range(4)),
    (r"^upsample\.conv\.", r"layers.8.conv."),
    (r"^refine\.", r"layers.10.layers."),
    (r"^to_rgb\.", r"layers.11."),
)
_BLOCK_CONVS = {"deep": ((".convs.0.", ".conv1."), (".convs.1.", ".conv2.")), "wide": ((".convs.0.", ".conv."),)}
_NORM_NAMES = (
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
    (".parametrizations.weight.original", ".weight_orig"),
    (".parametrizations.weight.0._u", ".weight_u"),
    (".parametrizations.weight.0._v", ".weight_v"),
)


@dataclass(frozen=True)
class ImportedNetwork:
    """One of DeOldify's networks, read from its state dict.

    Attributes:
        role: `generator` or `discriminator`.
        kind: `deep`, `wide` or `critic`.
        config: how to build it, as in `configs/generator` and `configs/discriminator`, without starting weights.
        network: with the weights, in eval mode.
    """

    role: str
    kind: str
    config: dict[str, Any]
    network: nn.Module


def from_deoldify(state: Mapping[str, Tensor]) -> ImportedNetwork:
    """Recognize which of DeOldify's networks a state dict belongs to, and build it.

    Raises:
        ValueError: it belongs to none, or lacks a tensor, holds one too many, or one of another shape.
    """
    kind = recognize(state)
    width = state["0.0.weight_orig"].shape[0] if kind == "critic" else None
    config = network_config(kind, width=width)
    with torch.device("meta"):  # only names and shapes; the real network is built once they are known to fit
        expected = to_deoldify(build(config))
    _check(state, expected, kind)
    network = build(config)
    names = _names(network)
    network.load_state_dict({own: state[theirs] for own, theirs in names.items()})
    role = "discriminator" if kind == "critic" else "generator"
    return ImportedNetwork(role, kind, config, network.eval())


def to_deoldify(network: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of one of DeOldify's networks under DeOldify's names."""
    state = network.state_dict()
    return {theirs: state[own] for own, theirs in _names(network).items()}


def recognize(state: Mapping[str, Tensor]) -> str:
    """Tell whether a state dict is of `deep`, `wide` or `critic`, by the names of its tensors.

    Raises:
        ValueError: it is none of them.
    """
    marks = {
        "deep": "layers.4.conv1.0.weight_orig",
        "wide": "layers.4.conv.0.weight_orig",
        "critic": "0.0.weight_orig",
    }
    for kind, mark in marks.items():
        if mark in state:
            return kind
    first = ", ".join(list(state)[:3]) or "nothing"
    raise ValueError(
        f"these are the weights of another network: the tensors begin with {first}; DeOldify's Deep generator has "
        f"{marks['deep']}, its Wide generator {marks['wide']}, its critic {marks['critic']}"
    )


def network_config(kind: str, *, width: int | None = None) -> dict[str, Any]:
    """Make the config from which a checkpoint rebuilds the network; `width` is the critic's."""
    if kind == "critic":
        return {"_target_": "colorgan.networks.DeOldifyCritic", "width": width}
    encoder = {
        "_target_": "colorgan.networks.TorchvisionPyramid",
        "name": ENCODERS[kind],
        "layers": list(_ENCODER_LAYERS),
        "weights": None,
    }
    return {"_target_": "colorgan.networks.DeOldifyGenerator", "variant": kind, "encoder": encoder}


def build(config: Mapping[str, Any]) -> nn.Module:
    """Build a network of `network_config`."""
    if config["_target_"].endswith("DeOldifyCritic"):
        return DeOldifyCritic(width=config["width"])
    encoder = TorchvisionPyramid(
        config["encoder"]["name"], layers=config["encoder"]["layers"], weights=config["encoder"]["weights"]
    )
    return DeOldifyGenerator(encoder, variant=config["variant"])


def _names(network: nn.Module) -> dict[str, str]:
    """Map our name of each tensor to DeOldify's."""
    names: dict[str, str] = {}
    for own in network.state_dict():
        name = own
        if isinstance(network, DeOldifyCritic):
            name = name.removeprefix("layers.")
        else:
            assert isinstance(network, DeOldifyGenerator)
            for pattern, replacement in _GENERATOR_NAMES:
                name, found = re.subn(pattern, replacement, name)
                if found:
                    break
            for ours, theirs in _BLOCK_CONVS[network.variant]:
                name = name.replace(ours, theirs)
        for ours, theirs in _NORM_NAMES:
            if name.endswith(ours):
                name = name.removesuffix(ours) + theirs
                break
        names[own] = name
    return names


def _check(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], kind: str) -> None:
    label = f"DeOldify's {kind if kind == 'critic' else f'{kind.capitalize()} generator'}"
    if missing := [key for key in expected if key not in state]:
        raise ValueError(
            f"{label} has {len(expected)} tensors; the file lacks {len(missing)} of them, the first is {missing[0]}"
        )
    if odd := [key for key in state if key not in expected]:
        raise ValueError(
            f"{label} has {len(expected)} tensors; the file has {len(odd)} others too, the first is {odd[0]}"
        )
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape:
            raise ValueError(f"{label} has {key} of shape {tuple(tensor.shape)}; in the file {tuple(state[key].shape)}")


def read_pth(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a DeOldify `.pth`: a bare state dict, or fastai's `{"model": ..., "opt": ...}`.

    Nothing but tensors and plain containers is unpickled, so a stranger's file runs no code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a web page, truncated, a pickle of objects, or holds no state dict.
    """
    _refuse_other_files(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            raise ValueError(f"{path} is no PyTorch file of tensors; is it the right file?") from error
        raise ValueError(
            f"{path} holds Python objects besides tensors, and loading these would run code from the file; save it "
            "again as a state dict, torch.save(model.state_dict(), ...)"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        size = path.stat().st_size
        raise ValueError(
            f"{path} is truncated or damaged ({size:,} bytes; {_first_line(error)}); fetch it again"
        ) from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        what = f"a dict of {', '.join(map(str, list(state)[:3])) or 'nothing'}" if isinstance(state, dict) else (
            type(state).__name__
        )  # fmt: skip
        raise ValueError(
            f"{path} holds {what}, not a state dict of tensors nor fastai's dict with a state dict under 'model'"
        )
    return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _refuse_other_files(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
    with path.open("rb") as file:
        head = file.read(512).lstrip()
    if head[:1] == b"<":
        raise ValueError(
            f"{path} is a web page saved as weights (it begins with '<'): the download link gave a page; fetch it again"
        )
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a Git LFS pointer, not the weights themselves; fetch it with git lfs pull")
