"""Bring the samples of a file, of any meaning and depth, to the levels of sRGB."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import imagecodecs
import numpy as np

from colorgan.media.metadata import Metadata

Space = Literal["gray", "rgb", "cmyk", "lab"]
Alpha = Literal["none", "straight", "premultiplied"]

_STRIP_PIXELS = 1 << 20  # what is worked on at once: memory stays bounded however large a photo is
_ADDRESS_SPACES = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk", b"Lab ": "lab"}
_TOPS = (255, 65535, 2**32 - 1)
_OVERSHOOT = 2.0  # floats up to here are of white 1 and were sharpened: of 255 they would be black
# littleCMS's own shortcut for gray is a coarse table: off by 10 levels of 255 in the shadows of a linear profile.
_EXACT = int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)


@dataclass(frozen=True, eq=False)
class Samples:
    """Hold decoded samples as they are stored, and what they mean.

    Args:
        values: (H, W) or (H, W, C) of any integer or float type; alpha, if there is one, is the last channel.
        space: what the channels are; `lab` is CIE Lab in uint16: L 0..65535, a and b (value + 128) * 257.
        bits: that a sample uses, from the lowest on.
        inverted: zero is white, as in many scans of film and fax; alpha is not meant.
        alpha: whether there is one, and whether colours were multiplied by it.
        white: the level of white, for types that do not say it themselves; None to find it.
        profile: an ICC profile.
    """

    values: np.ndarray
    space: Space
    bits: int = 8
    inverted: bool = False
    alpha: Alpha = "none"
    white: float | None = None
    profile: bytes | None = None


Check = Callable[[int, int], None]  # refuses a width and height


class Page(NamedTuple):
    """A picture of a file: its samples, what else the file says of it, and how long an animation shows it."""

    samples: Samples
    metadata: Metadata
    duration_ms: float | None = None


class TooLargeError(ValueError):
    """A photo has more pixels than the limit."""


class MissingReaderError(ValueError):
    """A photo is of a format that an extra of this package reads."""


def to_srgb(samples: Samples) -> tuple[np.ndarray, np.ndarray | None]:
    """Convert samples to sRGB: photometric meaning and scale, then alpha's multiplication undone, then the profile.

    Samples of up to 8 bits become 8-bit levels, all others 16-bit ones. The white of integers wider than 16 bits and
    of floats above 1 is the smallest of 255, 65535 and 2^32 - 1 that is not below the largest sample, unless the file
    states it (TIFF's SMaxSampleValue); floats up to 2 are taken as overshoots of white 1. Below zero is black.

    Returns:
        Pixels (H, W) if gray, else (H, W, 3), and alpha (H, W) or None; all uint8 or all uint16.
    """
    if samples.space == "lab":
        lab = _transformed(samples.values, imagecodecs.cms_profile("lab4"), "lab")
        return to_8bit(lab) if samples.bits <= 8 else lab, None
    values, alpha = samples.values, None
    if samples.alpha != "none":
        values, alpha = values[..., :-1], _scaled(values[..., -1], samples.bits, samples.white)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    pixels = _scaled(values, samples.bits, samples.white)
    if samples.inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    if alpha is not None and samples.alpha == "premultiplied":
        pixels = _divided(pixels, alpha)
    return _in_srgb(pixels, samples.space, samples.profile), alpha


def to_8bit(plane: np.ndarray) -> np.ndarray:
    """Round 16-bit levels to 8 bits; 8-bit ones stay."""
    if plane.dtype == np.uint8:
        return plane
    rounded = np.empty(plane.shape, np.uint8)
    for rows in row_strips(*plane.shape[:2]):
        rounded[rows] = (plane[rows].astype(np.uint32) + 128) // 257  # 257 levels of 16 bits to one of 8
    return rounded


def row_strips(height: int, width: int) -> Iterator[slice]:
    """Cut a picture into strips of rows of about a megapixel each."""
    rows = max(1, _STRIP_PIXELS // max(1, width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _scaled(values: np.ndarray, bits: int, white: float | None) -> np.ndarray:
    """Scale to the full range of uint8 or uint16, rounded."""
    if values.dtype == np.uint8 and bits == 8:
        return values
    if values.dtype == np.uint16 and bits == 16:
        return values.astype(np.uint16, copy=False)
    top = _white(values, bits, white)
    target = np.uint8 if bits <= 8 and values.dtype.kind != "f" else np.uint16
    scaled = np.empty(values.shape, target)
    for rows in row_strips(*values.shape[:2]):
        strip = np.nan_to_num(values[rows].astype(np.float64), posinf=top)
        scaled[rows] = np.rint(np.clip(strip / top, 0, 1) * np.iinfo(target).max)
    return scaled


def _white(values: np.ndarray, bits: int, stated: float | None) -> float:
    kind = values.dtype.kind
    if kind in "bui" and bits <= 16:
        return float(2 ** (bits - (kind == "i")) - 1)
    if stated is not None and np.isfinite(stated) and stated > 0:
        return stated
    largest = max(float(np.max(v, initial=0, where=np.isfinite(v))) for v in np.array_split(values, 16))
    if kind == "f" and largest <= _OVERSHOOT:
        return 1
    return next((top for top in _TOPS if largest <= top), largest)


def _divided(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Undo the multiplication of colours by alpha, rounded; what is fully transparent stays."""
    top = int(np.iinfo(pixels.dtype).max)
    result = pixels.copy()
    for rows in row_strips(*alpha.shape):
        weight = alpha[rows].astype(np.uint64)
        weight = weight[..., None] if pixels.ndim == 3 else weight
        whole = (2 * top * pixels[rows].astype(np.uint64) + weight) // np.maximum(2 * weight, 1)
        result[rows] = np.where(weight > 0, np.minimum(whole, top), pixels[rows])
    return result


def _in_srgb(pixels: np.ndarray, space: Space, profile: bytes | None) -> np.ndarray:
    """Convert from a profile to sRGB; a broken or unfitting profile leaves the numbers, the best guess there is."""
    described = _ADDRESS_SPACES.get(profile[16:20]) if profile else None
    try:
        if profile and space == "gray" and described in ("gray", "rgb"):
            return np.take(_gray_table(profile, described, pixels.dtype.str), pixels)
        if profile and space == "rgb" and described == "rgb":
            return pixels if _is_srgb(profile) else _transformed(pixels, profile, space)
        if profile and space == "cmyk" and described == "cmyk":
            return _transformed(pixels, profile, space)
    except imagecodecs.CmsError:
        pass
    return _without_ink(pixels) if space == "cmyk" else pixels


def _transformed(pixels: np.ndarray, profile: bytes, space: str) -> np.ndarray:
    """Convert (H, W, C) or gray (H, W) by littleCMS, strip by strip, to (H, W, 3)."""
    srgb = imagecodecs.cms_profile("srgb")
    result = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    for rows in row_strips(*pixels.shape[:2]):
        strip = np.ascontiguousarray(pixels[rows])
        result[rows] = imagecodecs.cms_transform(
            strip, profile, srgb, colorspace=space, outcolorspace="rgb", flags=_EXACT
        )
    return result


@lru_cache(maxsize=8)
def _gray_table(profile: bytes, space: str, dtype: str) -> np.ndarray:
    """Make the table of gray levels in sRGB by level; a profile that is sRGB's changes none."""
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)[None]
    if space == "rgb":
        if _is_srgb(profile):
            return np.ascontiguousarray(levels[0])
        levels = np.repeat(levels[..., None], 3, axis=2)
    return np.ascontiguousarray(_transformed(levels, profile, space)[0, :, 1])


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    """Tell whether a profile is sRGB, under whatever name: it moves no colour by more than a level of 255."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
    return bool(np.abs(_transformed(cube, profile, "rgb").astype(int) - cube).max() <= 1)


def _without_ink(pixels: np.ndarray) -> np.ndarray:
    """Convert CMYK without a profile: what each ink leaves of the light."""
    top = int(np.iinfo(pixels.dtype).max)
    result = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    for rows in row_strips(*pixels.shape[:2]):
        light = top - pixels[rows].astype(np.uint64)
        result[rows] = (2 * light[..., :3] * light[..., 3:] + top) // (2 * top)
    return result
