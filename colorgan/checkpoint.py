"""Save and load networks: one `.safetensors` file that holds them and, in its header, how to rebuild them.

Opening such a file never runs code from it: tensors are plain, the header is JSON, and only this package's own
network classes can be built from it.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from colorgan.files import atomic
from colorgan.hub import fetch, is_address

FORMAT = "colorgan/1"
SMALL = "small"
_NETWORKS = "colorgan.networks"
_LARGEST_NUMBER = 1 << 16  # in a network's config: channels, blocks, strides


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
        facts: what else the header says, as JSON values: stage, step, counts, metrics, image_size; the generator's
            gray rule is added.
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
        **({"gray_rule": networks["generator"].gray_rule} if "generator" in networks else {}),
        "content": {name: _content_hash(_of_network(tensors, name)) for name in networks},
        "versions": {package: version(package) for package in ("colorgan", "torch", "timm")},
    }
    # The hash is inside, for safetensors writes several entries of metadata in no certain order.
    text = json.dumps({**header, "sha256": _header_hash(header)}, sort_keys=True)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"colorgan": text})


def find_checkpoint(run_or_file: str | Path) -> Path:
    """Find the checkpoint that a user means: a file, the `final.safetensors` of a run folder, or one on the hub.

    `small` is the one that comes with this package (docs/small_model.md).

    Raises:
        FileNotFoundError: there is none; says what was looked for.
    """
    if str(run_or_file) == SMALL:
        return Path(__file__).parent / f"{SMALL}.safetensors"
    if is_address(run_or_file):
        return fetch(run_or_file)
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
    """Find the checkpoints of files, run folders and patterns with `*`, under the names of their rows in a table.

    Raises:
        FileNotFoundError: one of them finds nothing.
    """
    named = {
        file: pattern.rpartition("/")[2] if is_address(pattern) else _short_name(file)
        for pattern in patterns
        for file in _matching(pattern)
    }
    files, names = list(named), list(named.values())
    if len(set(names)) < len(names):
        shared = os.path.commonpath([file.parent for file in files])
        names = [os.path.relpath(file.with_suffix(""), shared) for file in files]
    return dict(zip(names, files, strict=True))


def _short_name(file: Path) -> str:
    """Name a checkpoint in a table: many runs end in a `final.safetensors`, and the folder tells them apart."""
    return file.resolve().parent.name if file.stem in ("final", "handover") else file.stem


def _matching(pattern: str) -> list[Path]:
    if "*" not in pattern:
        try:
            return [find_checkpoint(pattern)]
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error} (checkpoints)") from error
    base = Path(pattern).expanduser()
    root = Path(base.anchor) if base.is_absolute() else Path()
    found = sorted(root.glob(str(base.relative_to(base.anchor)) if base.is_absolute() else pattern))
    if not found:
        raise FileNotFoundError(f"no checkpoint matches {pattern} (checkpoints)")
    return [find_checkpoint(path) for path in found]


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a checkpoint, without its tensors.

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
    try:
        header: dict[str, Any] = json.loads(metadata["colorgan"])
        if header.pop("sha256", None) not in (None, _header_hash(header)):
            raise CheckpointError(f"{path} is damaged: its header does not fit its hash")
        if header.get("format") != FORMAT:
            raise CheckpointError(f"{path} has format {header.get('format')!r}; this version reads {FORMAT!r}")
        header["networks"] = {str(name): dict(config) for name, config in header["networks"].items()}
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read ({error})") from error
    return header


def read_tensors(path: Path, network: str) -> dict[str, Tensor]:
    """Read the tensors of one network, by their names inside it.

    Raises:
        CheckpointError: their hash is not the one in the header; files before version 0.2 have none.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = file.keys()  # not a dict: it cannot be iterated itself
        tensors = {name: file.get_tensor(name) for name in names if name.startswith(f"{network}.")}
    expected = read_header(path).get("content", {}).get(network)
    own = _of_network(tensors, network)
    if expected is not None and expected != _content_hash(own):
        raise CheckpointError(f"{path} is damaged: the tensors of its {network} do not fit their hash")
    return own


def _of_network(tensors: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    prefix = f"{network}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _content_hash(tensors: Mapping[str, Tensor]) -> str:
    """Compute the SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _header_hash(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def load_network(module: nn.Module, path: Path, network: str, *, new: Sequence[str] = ()) -> None:
    """Load one network of a checkpoint, strictly.

    Args:
        module: the network.
        path: of the checkpoint.
        network: `generator` or `discriminator`.
        new: submodules that the file lacks; they stay as they are.

    Raises:
        CheckpointError: the file does not hold that network, or tensors differ in name or shape.
    """
    if network not in read_header(path)["networks"]:
        raise CheckpointError(f"{path} holds no {network}")
    own = module.state_dict()
    fresh = {key: tensor for key, tensor in own.items() if key.partition(".")[0] in new}
    given = {**fresh, **read_tensors(path, network)}
    _check_fit(path, network, given, own)
    module.load_state_dict(given)


def _check_fit(path: Path, network: str, given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    for key in [*own, *given]:
        if key not in given or key not in own:
            where, other = ("the config's", "the file's") if key in own else ("the file's", "the config's")
            raise CheckpointError(f"{path} does not fit the config: {where} {network} has {key}, {other} has not")
        if given[key].shape != own[key].shape:
            shapes = f"{tuple(given[key].shape)}, the config's {tuple(own[key].shape)}"
            raise CheckpointError(f"{path} does not fit the config: {network}.{key} is {shapes} ({network}=...)")


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
    config = header["networks"]["generator"]
    own = _empty_tensors(json.dumps(config))
    given = read_tensors(file, "generator")
    _check_fit(file, "generator", given, own)
    generator = build_network(config)
    generator.load_state_dict(given)
    return generator.eval()


@lru_cache(maxsize=8)  # all snapshots of a run have one config, and spectral norm takes 70 ms a layer on `meta`
def _empty_tensors(config: str) -> dict[str, Tensor]:
    """List names and shapes in a network from its config as JSON; costs no memory, whatever sizes it asks for."""
    with torch.device("meta"):
        return dict(build_network(json.loads(config)).state_dict())


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """Build a network from a checkpoint's config without fetching the weights it once started from.

    Raises:
        CheckpointError: the config names something other than this package's networks.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    _check_config(config)
    try:
        network = instantiate(without_weights(config), _convert_="all")
    except InstantiationException as error:
        raise CheckpointError(f"the checkpoint's config builds no network: {error.__cause__ or error}") from error
    if not isinstance(network, nn.Module):
        raise CheckpointError("the checkpoint's config builds no network: it has no _target_")
    return network


def _check_config(node: Any) -> None:
    """Refuse what is more than a network of ours with numbers, words and lists; a stranger may have written it.

    Interpolations would read the environment, huge numbers fill the memory.
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                if not _is_own_network(str(value)):
                    raise CheckpointError(f"the checkpoint's config builds {value!r}; only {_NETWORKS}.* is allowed")
            elif str(key).startswith("_"):
                raise CheckpointError(f"the checkpoint's config has {key!r}, which is not allowed")
            _check_config(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _check_config(value)
    elif isinstance(node, int | float) and not abs(node) <= _LARGEST_NUMBER:
        raise CheckpointError(f"the checkpoint's config has the number {node}; at most {_LARGEST_NUMBER} is allowed")
    elif isinstance(node, str) and "${" in node:
        raise CheckpointError(f"the checkpoint's config has {node!r}; interpolations are not allowed")


def _is_own_network(target: str) -> bool:
    """Tell whether a target is a network class defined here; what our modules import would lead to any function."""
    package, _, name = target.rpartition(".")
    if package != _NETWORKS and not package.startswith(f"{_NETWORKS}."):
        return False
    try:
        found = getattr(importlib.import_module(package), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith(_NETWORKS)


def without_weights(node: Any) -> Any:
    """Copy a config with every `weights` that names a file or a source set to None: a checkpoint holds the tensors.

    Numbers under that name stay: the weights of a loss's terms.
    """
    if isinstance(node, Mapping):
        named = {key: key == "weights" and not isinstance(value, list | tuple) for key, value in node.items()}
        return {key: None if named[key] else without_weights(value) for key, value in node.items()}
    return node
