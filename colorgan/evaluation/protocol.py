"""Say how photos and clips are measured: their size, their gray, and how a generator's answer becomes a picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from colorgan.color import GRAY_RULES, lab_to_rgb, recombine, rgb_to_lab, to_uint8
from colorgan.colorize.coloring import Coloring
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.deoldify import merge_yuv
from colorgan.colorize.smoothing import ChromaSmoother
from colorgan.colorize.steady import Way
from colorgan.data.datamodule import views_to_rgb
from colorgan.data.transforms import center_view, resize
from colorgan.evaluation.as_film import colorize_as_film, spread
from colorgan.ranges import Count, Natural

_FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class BaseProtocol:
    """Everything about a number that is neither the checkpoint, nor the data, nor the metric.

    Attributes:
        name: of the yaml.
        image_size: at which pictures are measured.
        network_size: at which the network works; its chroma is brought up.
        gray_rule: of the input; None: the rule that the checkpoint was trained with.
        source: where the published rows stand.
        caveat: what a reader must know who compares with them.
        published: rows of others, `{"name", metric: value, ...}`, to stand beside ours.
    """

    name: str = "default"
    image_size: Count | None = None
    network_size: Count | None = None
    gray_rule: str | None = None
    source: str = ""
    caveat: str = ""
    published: Sequence[Mapping[str, Any]] = ()

    group: ClassVar[str]  # of the config, for messages
    choices: ClassVar[Mapping[str, tuple[str | None, ...]]] = {"gray_rule": (None, *GRAY_RULES)}
    least: ClassVar[Mapping[str, int]]  # allowed, of each number

    def __post_init__(self) -> None:
        for key, allowed in self.choices.items():
            if getattr(self, key) not in allowed:
                names = ", ".join("null" if choice is None else choice for choice in allowed)
                raise ValueError(f"{key}={getattr(self, key)!r} is unknown; allowed: {names} ({self.group}.{key})")
        for key, least in self.least.items():
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"{key} must be at least {least} or null, got {value} ({self.group}.{key})")

    def describe(self) -> dict[str, Any]:
        """List what decides values, for records."""
        raise NotImplementedError

    def of_baselines(self) -> Self:
        """Leave out what baselines do not depend on: of several protocols they are measured once."""
        return self

    @property
    def size_label(self) -> str:
        """Say the size of the pictures, for titles."""
        return "native size" if self.image_size is None else f"{self.image_size} px"

    def resolved(self, headers: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in what is left to the checkpoints, the same for all of a table.

        Args:
            headers: of the checkpoints.

        Raises:
            ValueError: checkpoints of two gray rules cannot share a table.
        """
        rules = {str(header["gray_rule"]) for header in headers}
        if self.gray_rule is None and len(rules) > 1:
            raise ValueError(
                f"these checkpoints differ in gray_rule ({', '.join(sorted(rules))}) and cannot share a table; "
                f"evaluate them apart, or set one rule for all ({self.group}.gray_rule)"
            )
        return replace(self, gray_rule=self.gray_rule or rules.pop())

    def view(self, pixels: np.ndarray) -> np.ndarray:
        """Bring a photo or frame (H, W, 3) uint8 to the size at which it is measured."""
        raise NotImplementedError

    def colorize(self, generator: nn.Module, gray: Tensor, rgb: Tensor | None = None) -> Tensor:
        """Colorize gray (N, 1, H, W) at the protocol's network size, before `finish`; `rgb` is the truth."""
        raise NotImplementedError

    def finish(self, picture: Tensor, rgb: Tensor) -> Tensor:
        """Turn a picture into the one that is measured; here it is measured as it comes."""
        return picture


@dataclass(frozen=True)
class Protocol(BaseProtocol):
    """How photos are measured. `image_size` and `network_size` are sides of squares.

    Without an `image_size` it is the size that checkpoints trained at, without a `network_size` the picture's own.

    Attributes:
        photos: `val`, the photos that a run with this seed never trains on, or `all`.
        first: take so many photos, None for all. Of `val` drawn by `hash` they are the panel of validation in training.
        draw: which ones these are: by the `hash` of their content, or by `name`, the file's, as published protocols do.
        keep_gray: near-gray photos count too; otherwise they are left out, as in training.
        geometry: `center_square` (crop, then resize), `stretch` (resize, ignoring the aspect) or `native` (as it is).
        resample: filter of the resize.
        enlarge: photos smaller than `image_size` are enlarged; otherwise they are left out.
        recombination: `generator` (the picture as it comes, which in our networks keeps the gray), `lab` (a and b of
            the picture on L of the photo, clipped: the usual fusion) or `yuv` (DeOldify's 8-bit merge).
        file_format: in which pictures are saved before they are measured: `png` (8 bits) or `jpeg` (PIL's, quality 95).
    """

    photos: str = "val"
    first: Count | None = None
    draw: str = "hash"
    keep_gray: bool = False
    geometry: str = "center_square"
    resample: str = "bilinear"
    enlarge: bool = False
    recombination: str = "generator"
    file_format: str = "png"

    group = "protocol"
    least: ClassVar[Mapping[str, int]] = {"first": 1, "image_size": 1, "network_size": 1}
    choices: ClassVar[Mapping[str, tuple[str | None, ...]]] = {
        **BaseProtocol.choices,
        "photos": ("val", "all"),
        "draw": ("hash", "name"),
        "geometry": ("center_square", "stretch", "native"),
        "resample": ("bilinear", "bicubic", "lanczos"),
        "recombination": ("generator", "lab", "yuv"),
        "file_format": ("png", "jpeg"),
    }

    def describe(self) -> dict[str, Any]:
        """List what decides values; photos at their native size have neither another size nor a filter."""
        keys = ("photos", "image_size", "geometry", "resample", "network_size", "gray_rule", "recombination")
        described = {key: getattr(self, key) for key in (*keys, "file_format")}
        if self.geometry == "native":
            del described["image_size"], described["resample"]
        return described

    @property
    def size_label(self) -> str:
        """Say the side of the squares."""
        return "native size" if self.geometry == "native" else super().size_label

    def resolved(self, headers: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the gray rule, and the largest size that checkpoints trained at."""
        size = self.image_size or max(int(header["image_size"]) for header in headers)
        return replace(super().resolved(headers), image_size=size)

    def view(self, pixels: np.ndarray) -> np.ndarray:
        """Crop and resize a photo."""
        if self.geometry == "native":
            return pixels
        assert self.image_size is not None
        shape = center_view if self.geometry == "center_square" else resize
        return shape(pixels, self.image_size, self.resample)

    def colorize(self, generator: nn.Module, gray: Tensor, rgb: Tensor | None = None) -> Tensor:
        """Colorize a copy of `network_size`, and put its chroma on the gray."""
        if self.network_size is None:
            picture: Tensor = generator(gray)
            return picture
        small = F.interpolate(gray, (self.network_size,) * 2, mode="bilinear", antialias=True).clamp(0, 1)
        large = F.interpolate(generator(small), gray.shape[-2:], mode="bilinear", antialias=True)
        if self.recombination == "generator":
            return recombine(gray, large, str(generator.gray_rule))
        return large.clamp(0, 1)

    def finish(self, picture: Tensor, rgb: Tensor) -> Tensor:
        """Fuse a picture with the photo's lightness and save it, as the protocol says."""
        if self.recombination == "lab":
            fused = torch.cat([rgb_to_lab(rgb)[:, :1], rgb_to_lab(picture)[:, 1:]], dim=1)
            picture = lab_to_rgb(fused).clamp(0, 1)
        elif self.recombination == "yuv":
            levels = [to_uint8(image).cpu().movedim(1, -1).numpy() for image in (rgb, picture)]
            merged = [merge_yuv(photo, made) for photo, made in zip(*levels, strict=True)]
            picture = views_to_rgb(merged).to(picture.device)
        return torch.stack([_through_jpeg(one) for one in picture]) if self.file_format == "jpeg" else picture


def _through_jpeg(picture: Tensor) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(picture).cpu().permute(1, 2, 0).numpy()).save(buffer, format="JPEG", quality=95)
    return views_to_rgb([np.asarray(Image.open(buffer))])[0].to(picture.device)


@dataclass(frozen=True)
class ClipProtocol(BaseProtocol):
    """How clips are measured. `image_size` and `network_size` are shorter sides, the aspect is kept.

    Larger clips are resized to `image_size`, smaller ones left as they are; None: all as they are. Without a
    `network_size` it is twice the size that checkpoints trained at, as in `colorgan colorize`.

    Attributes:
        flow: between luma planes: `dis`, `raft` or the path of RAFT's weights; not used where the motion is known.
        smooth: strength of `ChromaSmoother` behind the network; 0 for none.
        steady: tell a network that takes hints the colours of other frames: `both` of those before and after,
            `forward` of those before alone. Worse than `smooth`, says docs/results.md.
        references: so many true frames of each clip are known, spread evenly; metrics count them like the others.
    """

    name: str = "clips"
    image_size: Count | None = 256
    flow: str = "dis"
    smooth: float = 0.0
    steady: Way | None = None
    references: Natural = 0

    group = "clip_protocol"
    choices: ClassVar[Mapping[str, tuple[str | None, ...]]] = {**BaseProtocol.choices, "steady": (None, *get_args(Way))}
    least: ClassVar[Mapping[str, int]] = {"image_size": 16, "network_size": 16, "references": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.smooth < 1:
            raise ValueError(f"smooth must be in [0, 1), got {self.smooth} (clip_protocol.smooth)")
        if self.steady and self.smooth:
            raise ValueError(
                f"clip_protocol.steady={self.steady} is for smooth=0, got {self.smooth}: what is steady is not "
                "averaged, too (clip_protocol.smooth)"
            )

    def describe(self) -> dict[str, Any]:
        """List what decides values."""
        settings = {key: getattr(self, key) for key in ("image_size", "network_size", "gray_rule", "flow", "smooth")}
        told = {key: value for key in ("steady", "references") if (value := getattr(self, key))}
        return {"photos": "all", "geometry": "shorter side", **settings, **told}

    def of_baselines(self) -> Self:
        """Leave out how the network's colours are made steady."""
        return replace(self, smooth=0.0, steady=None, references=0)

    def resolved(self, headers: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the gray rule, and twice the largest size that checkpoints trained at for the network.

        Raises:
            ValueError: `steady`, but a network takes no hints.
        """
        if self.steady and not all(header["networks"]["generator"].get("hints") for header in headers):
            raise ValueError(
                f"clip_protocol.steady={self.steady} is for networks that take hints, and one of these checkpoints "
                "does not; measure it apart, by clip_protocol.smooth=0.8"
            )
        size = self.network_size or 2 * max(int(header["image_size"]) for header in headers)
        return replace(super().resolved(headers), network_size=size)

    def view(self, pixels: np.ndarray) -> np.ndarray:
        """Resize a frame, unless it is small already."""
        height, width = pixels.shape[:2]
        if self.image_size is None or min(height, width) <= self.image_size:
            return pixels
        scale = self.image_size / min(height, width)
        size = (round(width * scale), round(height * scale))
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))

    def colorize(self, generator: nn.Module, gray: Tensor, rgb: Tensor | None = None) -> Tensor:
        """Colorize the frames of a clip (T, 1, H, W) as `colorgan colorize` does."""
        assert self.network_size is not None
        rule, device = str(generator.gray_rule), str(gray.device)
        colorizer = Colorizer(generator, gray_rule=rule, working_size=self.network_size, device=device)
        if self.steady or self.references:
            assert rgb is not None
            known = {place: rgb[place] for place in spread(self.references, len(gray))}
            coloring = Coloring(colorizer, smooth=self.smooth, steady=self.steady)
            return colorize_as_film(coloring, gray, known)
        made = torch.cat([colorizer.colorize_gray(part) for part in torch.split(gray, _FRAMES_AT_ONCE)])
        return ChromaSmoother(strength=self.smooth, gray_rule=rule).smooth(made) if self.smooth else made
