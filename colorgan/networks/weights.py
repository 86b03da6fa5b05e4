"""Where the weights of judging networks are found: a given file or the caches of the hubs, never a stand-in."""

from dataclasses import dataclass
from pathlib import Path

import torch

from colorgan.files import file_hash


@dataclass(frozen=True)
class OfficialWeights:
    """A published file of weights.

    Attributes:
        file: its name.
        url: where it comes from.
        sha256: how the hash of its content begins; None where none is published.
        hub_repo: repository on the Hugging Face hub, whose cache is looked at; None for the cache of torch's hub.
        other_names: under which other packages cache the same file.
    """

    file: str
    url: str
    sha256: str | None = None
    hub_repo: str | None = None
    other_names: tuple[str, ...] = ()


# The hash prefixes stand in the files' own names, as torch.hub checks them.
OFFICIAL = {
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
    """A metric's official weights are not on this machine; the text says which file to put where."""


def find_weights(name: str, given: str | None = None) -> FoundWeights:
    """The file of a judging network: the given one, or the official one from its hub's cache. Nothing is downloaded.

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
    cached = _in_hub_cache(wanted)
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


def _in_hub_cache(wanted: OfficialWeights) -> Path | None:
    if wanted.hub_repo is None:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        return next((folder / name for name in (wanted.file, *wanted.other_names) if (folder / name).is_file()), None)
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(wanted.hub_repo, wanted.file)
    return Path(cached) if isinstance(cached, str) else None


def _place(wanted: OfficialWeights) -> str:
    if wanted.hub_repo is None:
        return f"put it into {Path(torch.hub.get_dir()) / 'checkpoints'}"
    return f"fetch it with `hf download {wanted.hub_repo} {wanted.file}`"
