"""Say how the colours of a shot are finished: strength, saturation, dark guard, hue ranges, by hand or by a name."""

import re
from dataclasses import dataclass

_NUMBER = r"(\d+(?:[.,]\d+)?)"
_RANGE = re.compile(rf"\s*{_NUMBER}\s*:\s*{_NUMBER}\s+(?:x\s*{_NUMBER}|to\s+{_NUMBER})\s*")
_HUES = "ranges in degrees such as '290:330 x 0.4' (less colour) or '190:250 to 30' (moved there), joined by ';'"


@dataclass(frozen=True)
class HueRange:
    """Change the colours of some hues.

    Attributes:
        start: first hue in degrees, as paint programs show it: red 0, green 120, blue 240.
        end: last hue; one below `start` goes over 360.
        saturation: by which they are multiplied.
        to: hue that the middle of the range is moved to, its neighbours along with it; None to leave them.
    """

    start: float
    end: float
    saturation: float = 1.0
    to: float | None = None


@dataclass(frozen=True)
class Look:
    """Say how the colours of a shot are finished.

    Attributes:
        strength: share of the checkpoint in the colours, that of `--blend` being the rest.
        saturation: by which all colours are multiplied.
        dark: gray level in [0, 1] below which colours fade, down to none in black.
        hues: what happens to some hues.
    """

    strength: float = 1.0
    saturation: float = 1.0
    dark: float = 0.0
    hues: tuple[HueRange, ...] = ()


PRESETS = {
    "natural": Look(),
    "muted": Look(saturation=0.75, dark=0.15),
    "vivid": Look(saturation=1.25, dark=0.1),
    "night": Look(saturation=0.6, dark=0.35),
}


def parse_hues(text: str) -> tuple[HueRange, ...]:
    """Read hue ranges as one writes them: `290:330 x 0.4; 190:250 to 30`.

    Raises:
        ValueError: what is wrong, and what is allowed.
    """
    ranges = []
    for part in filter(str.strip, text.split(";")):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"got {part.strip()!r}; allowed: {_HUES}")
        start, end, saturation, to = (None if value is None else parse_number(value) for value in match.groups())
        if start is None or end is None or max(start, end, to or 0) > 360:
            raise ValueError(f"got {part.strip()!r}; a hue is from 0 to 360")
        if saturation is not None and saturation > 3:
            raise ValueError(f"got {part.strip()!r}; colours are multiplied by 0 to 3")
        ranges.append(HueRange(start, end, 1.0 if saturation is None else saturation, to))
    return tuple(ranges)


def parse_number(text: str) -> float:
    """Read a number, with the decimal comma too that some spreadsheets write."""
    return float(text.strip().replace(",", "."))
