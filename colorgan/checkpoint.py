"""The network checkpoint: one `.safetensors` file with the networks and, in its header, how to rebuild them.

Opening such a file never runs code from it: tensors are plain, the header is JSON, and only this package's own
network classes can be built from it.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

FORMAT = "colorgan/1"
_NETWORK_PREFIX = "colorgan.networks."


class CheckpointError(ValueError):
    """A file is not a network checkpoint of this package, or does not fit the networks it is loaded into."""


def save_checkpoint(
    path: Path, networks: Mapping[str, nn.Module], *, configs: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write networks and header under a temporary name, then rename: a reader never sees half a file.

    Args:
        path: the `.safetensors` file.
        networks: `generator`, and `discriminator` if there is one.
        configs: for each network its resolved config (`_target_` and arguments), as plain containers.
        facts: what else the header says, as JSON values: stage, step, counts, metrics, image_size, gray_rule.
    """
    from safetensors.torch import save_file

    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }
    header = {
        "format": FORMAT,
        "networks": {name: configs[name] for name in networks},
        **facts,
        "versions": {package: version(package) for package in ("colorgan", "torch", "timm")},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(tensors, temporary, metadata={"colorgan": json.dumps(header, sort_keys=True)})
    temporary.replace(path)


def find_checkpoint(run_or_file: str | Path) -> Path:
    """The checkpoint that a user means: a file, or the `final.safetensors` of a run folder.

    Raises:
        FileNotFoundError: there is none; says what was looked for.
    """
    path = Path(run_or_file).expanduser()
    if path.is_dir():
        final = path / "final.safetensors"
        if not final.is_file():
            raise FileNotFoundError(
                f"{path} holds no final.safetensors: the run is not finished, or it is no run folder"
            )
        return final
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    return path


def find_checkpoints(patterns: Sequence[str]) -> dict[str, Path]:
    """The checkpoints of files, run folders and patterns with `*`, under the names of their rows in a table.

    Raises:
        FileNotFoundError: one of them finds nothing.
    """
    files = list(dict.fromkeys(file for pattern in patterns for file in _matching(pattern)))
    names = [_short_name(file) for file in files]
    if len(set(names)) < len(names):
        shared = os.path.commonpath([file.parent for file in files])
        names = [os.path.relpath(file.with_suffix(""), shared) for file in files]
    return dict(zip(names, files, strict=True))


def _short_name(file: Path) -> str:
    """Many runs end in a `final.safetensors`: the folder tells them apart."""
    return file.resolve().parent.name if file.stem in ("final", "handover") else file.stem


def _matching(pattern: str) -> list[Path]:
    if "*" not in pattern:
        return [find_checkpoint(pattern)]
    base = Path(pattern).expanduser()
    root = Path(base.anchor) if base.is_absolute() else Path()
    found = sorted(root.glob(str(base.relative_to(base.anchor)) if base.is_absolute() else pattern))
    if not found:
        raise FileNotFoundError(f"no checkpoint matches {pattern} (checkpoints)")
    return [find_checkpoint(path) for path in found]


def read_header(path: Path) -> dict[str, Any]:
    """The header of a checkpoint, without its tensors.

    Raises:
        CheckpointError: the file is not a network checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        hint = "; a run's last.ckpt only serves to resume it" if path.suffix == ".ckpt" else ""
        raise CheckpointError(f"{path} is not a .safetensors checkpoint, or is damaged ({error}){hint}") from error
    if "colorgan" not in metadata:
        raise CheckpointError(
            f"{path} is a .safetensors file, but not a colorgan checkpoint: its header lacks 'colorgan'"
        )
    header: dict[str, Any] = json.loads(metadata["colorgan"])
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {header.get('format')!r}; this version reads {FORMAT!r}")
    return header


def read_tensors(path: Path, network: str) -> dict[str, Tensor]:
    """The tensors of one network, by their names inside it."""
    from safetensors import safe_open

    prefix = f"{network}."
    with safe_open(path, framework="pt") as file:
        names = file.keys()  # not a dict: it cannot be iterated itself
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names if name.startswith(prefix)}


def load_network(module: nn.Module, path: Path, network: str) -> None:
    """Load one network of a checkpoint, strictly.

    Raises:
        CheckpointError: the file does not hold that network, or tensors differ in name or shape.
    """
    if network not in read_header(path)["networks"]:
        raise CheckpointError(f"{path} holds no {network}")
    given, own = read_tensors(path, network), module.state_dict()
    for key in [*own, *given]:
        if key not in given or key not in own:
            where, other = ("the config's", "the file's") if key in own else ("the file's", "the config's")
            raise CheckpointError(f"{path} does not fit the config: {where} {network} has {key}, {other} has not")
        if given[key].shape != own[key].shape:
            shapes = f"{tuple(given[key].shape)}, the config's {tuple(own[key].shape)}"
            raise CheckpointError(f"{path} does not fit the config: {network}.{key} is {shapes} ({network}=...)")
    module.load_state_dict(given)


def load_generator(path: str | Path) -> nn.Module:
    """Rebuild the generator of a checkpoint, in eval mode on the CPU.

    Args:
        path: a `.safetensors` file or a run folder.

    Raises:
        FileNotFoundError: there is no checkpoint.
        CheckpointError: the file is something else.
    """
    file = find_checkpoint(path)
    header = read_header(file)
    if "generator" not in header["networks"]:
        raise CheckpointError(f"{file} holds no generator, only {', '.join(header['networks'])}")
    generator = build_network(header["networks"]["generator"])
    load_network(generator, file, "generator")
    return generator.eval()


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Build a network from a checkpoint's config without fetching the weights it once started from.

    Raises:
        CheckpointError: the config names something other than this package's networks.
    """
    from hydra.utils import instantiate

    _check_targets(config)
    network: nn.Module = instantiate(without_weights(config), _convert_="all")
    return network


def _check_targets(node: Any) -> None:
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if target is not None and not str(target).startswith(_NETWORK_PREFIX):
            raise CheckpointError(f"the checkpoint's config builds {target!r}; only {_NETWORK_PREFIX}* is allowed")
        for value in node.values():
            _check_targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _check_targets(value)


def without_weights(node: Any) -> Any:
    """A config with every `weights` that names a file or a source set to None: what is left once its tensors are there.

    Numbers under that name stay: the weights of a loss's terms.
    """
    if isinstance(node, Mapping):
        named = {key: key == "weights" and not isinstance(value, list | tuple) for key, value in node.items()}
        return {key: None if named[key] else without_weights(value) for key, value in node.items()}
    return node


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + os.linesep)
    temporary.replace(path)
