"""How test photos are prepared, and how a generator's answer becomes the picture that is measured."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from colorgan.color import GRAY_RULES, lab_to_rgb, recombine, rgb_to_gray, rgb_to_lab, to_uint8
from colorgan.data.datamodule import views_to_rgb
from colorgan.data.library import PhotoLibrary, Split
from colorgan.data.transforms import center_view, resize
from colorgan.colorize.deoldify import merge_yuv

_PIXELS_AT_ONCE = 2**21  # 32 photos of 256 px
_LEAST_NATIVE = 32  # pixels; judging networks and SSIM can do nothing with less
_CHOICES = {
    "photos": ("val", "all"),
    "geometry": ("center_square", "stretch", "native"),
    "resample": ("bilinear", "bicubic", "lanczos"),
    "gray_rule": (None, *GRAY_RULES),
    "recombination": ("generator", "lab", "yuv"),
    "file_format": ("png", "jpeg"),
}


@dataclass(frozen=True)
class Protocol:
    """Everything about a number that is neither the checkpoint, nor the photos, nor the metric.

    Attributes:
        name: of the yaml.
        photos: `val`, the photos that a run with this seed never trains on, or `all`.
        first: take so many photos: of `all` in the order of their file names, of `val` as they are listed, which makes
            it the panel of validation in training. None for all.
        keep_gray: near-gray photos count too; otherwise they are left out, as in training.
        image_size: side of the square at which pictures are measured; None: the size that checkpoints trained at.
        geometry: `center_square` (crop, then resize), `stretch` (resize, ignoring the aspect) or `native` (as it is).
        resample: filter of the resize.
        enlarge: photos smaller than `image_size` are enlarged; otherwise they are left out.
        network_size: side of the square at which the network works; its chroma is brought up. None: the picture's.
        gray_rule: of the input; None: the rule that the checkpoint was trained with.
        recombination: `generator` (the picture as it comes, which in our networks keeps the gray), `lab` (a and b of
            the picture on L of the photo, clipped: the usual fusion) or `yuv` (DeOldify's 8-bit merge).
        file_format: in which pictures are saved before they are measured: `png` (8 bits) or `jpeg` (PIL's, quality 95).
        source: where the published rows stand.
        caveat: what a reader must know who compares with them.
        published: rows of others, `{"name", metric: value, ...}`, to stand beside ours.
    """

    name: str = "default"
    photos: str = "val"
    first: int | None = None
    keep_gray: bool = False
    image_size: int | None = None
    geometry: str = "center_square"
    resample: str = "bilinear"
    enlarge: bool = False
    network_size: int | None = None
    gray_rule: str | None = None
    recombination: str = "generator"
    file_format: str = "png"
    source: str = ""
    caveat: str = ""
    published: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        for key, allowed in _CHOICES.items():
            if getattr(self, key) not in allowed:
                names = ", ".join("null" if choice is None else choice for choice in allowed)
                raise ValueError(f"{key}={getattr(self, key)!r} is unknown; allowed: {names} (protocol.{key})")
        for key in ("first", "image_size", "network_size"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"{key} must be at least 1 or null, got {value} (protocol.{key})")

    def describe(self) -> dict[str, Any]:
        """The part that decides values, for records."""
        keys = ("image_size", "geometry", "resample", "network_size", "gray_rule", "recombination", "file_format")
        described = {key: getattr(self, key) for key in keys}
        if self.geometry == "native":
            del described["image_size"], described["resample"]
        return described

    def view(self, pixels: np.ndarray) -> np.ndarray:
        """The photo as it is measured, (H, W, 3) uint8."""
        if self.geometry == "native":
            return pixels
        assert self.image_size is not None
        shape = center_view if self.geometry == "center_square" else resize
        return shape(pixels, self.image_size, self.resample)

    def colorize(self, generator: nn.Module, gray: Tensor) -> Tensor:
        """The generator's picture of a gray (N, 1, H, W), before `finish`."""
        if self.network_size is None:
            picture: Tensor = generator(gray)
            return picture
        small = F.interpolate(gray, (self.network_size,) * 2, mode="bilinear", antialias=True).clamp(0, 1)
        large = F.interpolate(generator(small), gray.shape[-2:], mode="bilinear", antialias=True)
        assert self.gray_rule is not None
        return recombine(gray, large, self.gray_rule) if self.recombination == "generator" else large.clamp(0, 1)

    def finish(self, picture: Tensor, rgb: Tensor) -> Tensor:
        """The picture that is measured: fused with the photo's lightness and saved, as the protocol says."""
        if self.recombination == "lab":
            fused = torch.cat([rgb_to_lab(rgb)[:, :1], rgb_to_lab(picture)[:, 1:]], dim=1)
            picture = lab_to_rgb(fused).clamp(0, 1)
        elif self.recombination == "yuv":
            levels = [to_uint8(image).cpu().movedim(1, -1).numpy() for image in (rgb, picture)]
            picture = views_to_rgb(list(merge_yuv(*levels))).to(picture.device)
        return torch.stack([_through_jpeg(one) for one in picture]) if self.file_format == "jpeg" else picture


def _through_jpeg(picture: Tensor) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(picture).cpu().permute(1, 2, 0).numpy()).save(buffer, format="JPEG", quality=95)
    return views_to_rgb([np.asarray(Image.open(buffer))])[0].to(picture.device)


def common_gray_rule(headers: Sequence[Mapping[str, Any]], group: str) -> str:
    """The gray rule of all checkpoints.

    Args:
        headers: of the checkpoints.
        group: of the config, where one rule for all can be set.

    Raises:
        ValueError: checkpoints of two gray rules cannot share a table.
    """
    rules = {str(header["gray_rule"]) for header in headers}
    if len(rules) > 1:
        raise ValueError(
            f"these checkpoints differ in gray_rule ({', '.join(sorted(rules))}) and cannot share a table; evaluate "
            f"them apart, or set one rule for all ({group}.gray_rule)"
        )
    return rules.pop()


class PhotoSet(Dataset[dict[str, Tensor]]):
    """The photos of a protocol as batches `{"gray", "rgb", "position"}`; they are read anew each time.

    Args:
        library: examined photos.
        protocol: with image size and gray rule filled in.
        data: what the record says of the source.
        splits: of the runs behind the checkpoints; of protocol.photos=val only what all of them hold out is measured.

    Raises:
        ValueError: there is no photo.
    """

    unit = "photos"

    def __init__(
        self, library: PhotoLibrary, protocol: Protocol, data: Mapping[str, Any], splits: Sequence[Split] = ()
    ) -> None:
        self.library, self.protocol, self.data = library, protocol, dict(data)
        names, widths, heights = (list(library.table[key]) for key in ("name", "width", "height"))
        indices = list(range(len(names)))
        if protocol.photos == "val":
            groups = list(library.table["group"])
            indices = [index for index in indices if all(split.holds_out(groups[index]) for split in splits)]
            if not indices:
                raise ValueError(
                    f"the runs of these checkpoints hold out none of the {len(names)} photos; give photos that they "
                    "never trained on and protocol.photos=all"
                )
        least = _LEAST_NATIVE if protocol.geometry == "native" else 1 if protocol.enlarge else protocol.image_size or 1
        fitting = [index for index in indices if min(widths[index], heights[index]) >= least]
        if not fitting:
            raise ValueError(
                f"none of {len(indices)} photos has {least} px; ask for a smaller protocol.image_size, or for "
                "protocol.enlarge=true"
            )
        self.num_too_small = len(indices) - len(fitting)
        if protocol.photos == "all" and protocol.first:
            fitting.sort(key=lambda index: names[index].rsplit("/", 1)[-1])
        self.indices = fitting[: protocol.first]
        self.names = [names[index] for index in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def num_subjects(self) -> int:
        """How many photos show different things."""
        return len(self)

    def left_out(self) -> dict[str, int]:
        """How many photos of the source are not measured, by reason; a split is no reason."""
        small = {"too small": self.num_too_small} if self.num_too_small else {}
        return {**self.library.dropped, **small}

    @cached_property
    def sha256(self) -> str:
        """Hash of the content of all photos, in order."""
        hashes = self.library.table["sha256"]
        return hashlib.sha256("".join(hashes[index] for index in self.indices).encode()).hexdigest()

    def rgb(self, positions: Sequence[int]) -> Tensor:
        """Photos (N, 3, H, W) in [0, 1] by their positions in the set."""
        return views_to_rgb([self.protocol.view(self.library.original(self.indices[p])) for p in positions])

    def others(self, batch: Mapping[str, Tensor]) -> Tensor:
        """For each photo of a batch another one, half the set away: not a neighbour in a film."""
        half, size = len(self) // 2, batch["rgb"].shape[-2:]
        others = self.rgb([(int(position) + half) % len(self) for position in batch["position"]])
        if others.shape[-2:] == size:
            return others
        return F.interpolate(others, size, mode="bilinear", antialias=True)  # photos at their native size

    def __getitems__(self, positions: list[int]) -> dict[str, Tensor]:
        rgb = self.rgb(positions)
        assert self.protocol.gray_rule is not None
        gray = rgb_to_gray(rgb, self.protocol.gray_rule)
        return {"gray": gray, "rgb": rgb, "position": torch.tensor(positions)}

    def loader(self, num_workers: int = 0) -> DataLoader[dict[str, Tensor]]:
        """All photos in order, in batches that fit into memory."""
        size = self.protocol.image_size or 1
        most = 1 if self.protocol.geometry == "native" else max(1, min(32, _PIXELS_AT_ONCE // size**2))
        batches = [list(range(i, min(i + most, len(self)))) for i in range(0, len(self), most)]
        return DataLoader(self, batch_sampler=batches, collate_fn=_as_it_is, num_workers=num_workers)


def _as_it_is(batch: Any) -> dict[str, Tensor]:
    made: dict[str, Tensor] = batch
    return made
