"""Colour that a user knows: points and strokes, or a copy of the photo with paint on it, as hints for a generator."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor

from colorgan.color import color_planes
from colorgan.colorize.strips import shrink
from colorgan.media.photo import read_scan
from colorgan.media.samples import row_strips, to_8bit
from colorgan.media.scan import Scan

_RADIUS = 0.01  # of a point and half the width of a stroke, as a share of the shorter side
_LEAST_RADIUS = 1.5  # pixels that the network sees
_LARGEST_RADIUS = 8000  # OpenCV's for lines is twice that
_MOST_POINTS, _LARGEST = 10_000, 1e9
_SUBPIXEL = 4  # binary digits behind the point, for OpenCV
_PAINT = 12  # levels of 255 by which paint differs: JPEG makes less of gray
_COVERED = 0.25  # share of a pixel of the network that paint must cover
_SAME_SHAPE = 0.01


class Hints(Protocol):
    """Colour that is known at some places of one photo."""

    def planes(self, photo: np.ndarray, size: tuple[int, int], rule: str) -> Tensor:
        """Make hints as a generator takes them.

        Args:
            photo: (H, W) or (H, W, 3) uint8 or uint16.
            size: height and width at which the network works.
            rule: its gray rule.

        Returns:
            (1, 3, height, width): two planes of colour (`color_planes`) and a confidence.

        Raises:
            ValueError: they do not fit the photo.
        """
        ...


@dataclass(frozen=True)
class Mark:
    """A point or a stroke in one colour.

    Args:
        points: x and y from the left upper corner, one for a point.
        rgb: sRGB in [0, 1].
        radius: of the point, half the width of the stroke, in the unit of the points; None for 1 % of the shorter side.
        relative: points are shares of width and height, and the radius one of the shorter side, not pixels.
    """

    points: Sequence[tuple[float, float]]
    rgb: tuple[float, float, float]
    radius: float | None = None
    relative: bool = False


@dataclass(frozen=True)
class Marks:
    """Points and strokes; later ones cover earlier ones.

    Args:
        marks: in order.
        names: of each, for messages.
    """

    marks: Sequence[Mark]
    names: Sequence[str]

    def planes(self, photo: np.ndarray, size: tuple[int, int], rule: str) -> Tensor:
        """See `Hints`."""
        height, width = photo.shape[:2]
        made = np.zeros((*size, 3), np.float32)
        for mark, name in zip(self.marks, self.names, strict=True):
            unit = (1, 1) if mark.relative else (width, height)
            for x, y in mark.points:
                if not (0 <= x <= unit[0] and 0 <= y <= unit[1]):
                    whole = (
                        "the photo, which reaches from 0 to 1" if mark.relative else f"a photo of {width} x {height}"
                    )
                    raise ValueError(f"{name}: [{x:g}, {y:g}] lies outside of {whole}")
            color = color_planes(torch.tensor(mark.rgb).view(1, 3, 1, 1), rule).flatten().tolist()
            _draw(made, mark, unit, (*color, 1.0))
        return torch.from_numpy(made).permute(2, 0, 1)[None]


@dataclass(frozen=True)
class Paint:
    """A copy of a photo with paint on it: what is not gray, and not as in the photo, is known.

    Args:
        copy: of the same shape, in any size.
        name: for messages.
    """

    copy: Scan
    name: str

    def planes(self, photo: np.ndarray, size: tuple[int, int], rule: str) -> Tensor:
        """See `Hints`."""
        height, width = photo.shape[:2]
        paint, opaque = self._in_size(width, height)

        def known(rows: slice) -> Tensor:
            levels, other = paint[rows], to_8bit(photo[rows])
            other = other if other.ndim == 3 else other[..., None]
            colored = np.ptp(levels, axis=2) > _PAINT
            differs = np.abs(levels.astype(np.int16) - other).max(axis=2) > _PAINT
            mask = torch.from_numpy(colored & differs & opaque[rows])[None, None].float()
            rgb = torch.tensor(levels).permute(2, 0, 1)[None].float() / 255
            return torch.cat([(color_planes(rgb, rule) + 1) / 2 * mask, mask], dim=1)  # `shrink` clamps to [0, 1]

        small = shrink(known, row_strips(height, width), size)
        share = small[:, 2:]
        if not (most := float(share.max())):
            raise ValueError(f"{self.name}: no paint on it; what differs from gray is taken as a hint")
        confidence = (share >= min(_COVERED, most)).float()
        colors = 2 * small[:, :2] / share.clamp_min(1e-6) - 1
        return torch.cat([colors * confidence, confidence], dim=1)

    def _in_size(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Bring the copy to the photo's size: (H, W, 3) uint8, and whether it is opaque."""
        pixels = to_8bit(self.copy.pixels)
        pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        alpha = np.full(pixels.shape[:2], 255, np.uint8) if self.copy.alpha is None else to_8bit(self.copy.alpha)
        own = (pixels.shape[1], pixels.shape[0])
        if abs(math.log(own[0] * height / (own[1] * width))) > _SAME_SHAPE:
            raise ValueError(
                f"{self.name} is {own[0]} x {own[1]}, the photo {width} x {height}: a painted copy has the photo's "
                "width to height"
            )
        if own != (width, height):
            bilinear = Image.Resampling.BILINEAR
            pixels, alpha = (
                np.asarray(Image.fromarray(plane).resize((width, height), bilinear)) for plane in (pixels, alpha)
            )
        return pixels, alpha > 127


def read_hints(path: Path) -> Hints:
    """Read hints from a `.json` of points and strokes (see `parse_hints`) or from a painted copy of the photo.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be used, and why.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file of hints {path}")
    if path.suffix.lower() != ".json":
        return Paint(read_scan(path), str(path))
    return parse_hints(path.read_bytes(), str(path))


def parse_hints(text: str | bytes, name: str) -> Marks:
    """Read points and strokes from JSON.

    `{"units": "pixels", "hints": [{"point": [120, 80], "color": "navy"}, {"stroke": [[5, 9], [40, 9]], "color":
    "#8a2b1c", "radius": 4}]}`: `units` are `pixels` of the photo (default) or `relative`, shares of its width and
    height; `color` is `#rrggbb` or any other of CSS. The list of hints alone will do.

    Args:
        text: the JSON.
        name: of where it came from, for messages.

    Raises:
        ValueError: names the entry that cannot be used.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    whole: Any = given if isinstance(given, Mapping) else {"hints": given}
    units, entries = whole.get("units", "pixels"), whole.get("hints")
    if unknown := whole.keys() - {"units", "hints"}:
        raise ValueError(f"{name}: {sorted(unknown)[0]!r} is unknown; allowed: units, hints")
    if units not in ("pixels", "relative"):
        raise ValueError(f"{name}: units={units!r} must be pixels or relative")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{name}: hints must be a list of points and strokes, and not empty")
    names = [f"{name}: hint {number}" for number in range(1, len(entries) + 1)]
    marks = [_mark(entry, units == "relative", where) for entry, where in zip(entries, names, strict=True)]
    if (count := sum(len(mark.points) for mark in marks)) > _MOST_POINTS:
        raise ValueError(f"{name}: {count} points are too many; at most {_MOST_POINTS}")
    return Marks(marks, names)


def _mark(entry: Any, relative: bool, name: str) -> Mark:
    if not isinstance(entry, Mapping) or ("point" in entry) == ("stroke" in entry):
        raise ValueError(f"{name} must have one of point and stroke")
    if unknown := entry.keys() - {"point", "stroke", "color", "radius"}:
        raise ValueError(f"{name}: {sorted(unknown)[0]!r} is unknown; allowed: point, stroke, color, radius")
    points = [entry["point"]] if "point" in entry else entry["stroke"]
    if not isinstance(points, list) or not points or not all(map(_is_pair, points)):
        raise ValueError(f"{name}: a point is [x, y], a stroke a list of points, got {_shown(points)}")
    radius = entry.get("radius")
    if radius is not None and not (_is_number(radius) and radius > 0):
        raise ValueError(f"{name}: radius must be above 0, got {_shown(radius)}")
    return Mark([(x, y) for x, y in points], _rgb(entry.get("color"), name), radius, relative)


def _rgb(color: Any, name: str) -> tuple[float, float, float]:
    try:
        red, green, blue, *_ = ImageColor.getrgb(color)
        if not all(0 <= level <= 255 for level in (red, green, blue)):  # Pillow reads rgb(300, 0, 0)
            raise ValueError
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{name}: color {_shown(color)} is none; allowed: #rrggbb and the names of CSS, such as navy"
        ) from error
    return red / 255, green / 255, blue / 255


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _draw(made: np.ndarray, mark: Mark, unit: tuple[float, float], value: Sequence[float]) -> None:
    """Draw a mark into (height, width, 3), whose pixels are what the network sees."""
    height, width = made.shape[:2]
    share = _RADIUS if mark.radius is None else mark.radius / min(unit)
    radius = min(max(_LEAST_RADIUS, share * min(height, width)), max(height, width), _LARGEST_RADIUS)
    digits = 1 << _SUBPIXEL
    # OpenCV counts from the middle of the first pixel.
    places = [(x / unit[0] * width - 0.5, y / unit[1] * height - 0.5) for x, y in mark.points]
    drawn = np.array([[round(x * digits), round(y * digits)] for x, y in places], np.int32)
    if len(drawn) > 1:
        thickness = max(1, round(2 * radius))
        cv2.polylines(made, [drawn], False, value, thickness, cv2.LINE_8, _SUBPIXEL)
    for x, y in drawn[[0, -1]]:
        cv2.circle(made, (int(x), int(y)), round(radius * digits), value, -1, cv2.LINE_8, _SUBPIXEL)
