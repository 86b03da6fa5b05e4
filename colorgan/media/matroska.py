"""Write the shape of pixels and HDR10's light levels into a Matroska file.

The muxer takes the shape from `AVStream.sample_aspect_ratio`, which PyAV (18.1, the newest) lets nobody set: not
through the codec, the stream, their options, a template or a frame; nor the side data with the light levels. Without
the shape DVDs and DV tapes, whose pixels are not square, would be shown too narrow or too wide. This module can go when
PyAV has setters.
"""

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from colorgan.media.film_facts import FilmFacts

# Names of elements in https://www.matroska.org/technical/elements.html
_NAME, _VIDEO, _COLOUR, _VOID = b"\x53\x6e", b"\xe0", b"\x55\xb0", b"\xec"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = b"\x54\xb0", b"\x54\xba", b"\x54\xb2"  # a unit unknown is there
_MAX_CLL, _MAX_FALL, _MASTERING = b"\x55\xbc", b"\x55\xbd", b"\x55\xd0"
# In the order of `FilmFacts.mastering`: x and y of red, green, blue and white, least and greatest luminance
_MASTERING_NUMBERS = [bytes([0x55, last]) for last in (*range(0xD1, 0xD9), 0xDA, 0xD9)]
ROOM = "room for the shape of pixels and light levels".ljust(260, ".")  # the track's name while the file is written
_HEAD_BYTES = 1 << 20


def has_more(facts: FilmFacts) -> bool:
    """Whether a film has anything that only this module writes."""
    return facts.pixel_aspect not in (None, 1) or facts.mastering is not None or facts.light is not None


def write_video_facts(path: Path, width: int, facts: FilmFacts, title: str) -> None:
    """Write the display size of the film and its light levels where room was kept; no other byte of the file moves.

    Args:
        path: a file whose film track bears the name `ROOM`, written without checksums.
        width: of the stored pictures.
        facts: with the shape of pixels, the height and the light levels.
        title: the true name of the track, at most 20 bytes are kept.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD_BYTES)
        room = _element(_NAME, ROOM.encode())
        start = head.index(room)
        _, begin, content, end = next(child for child in _children(head, start) if child[0] == _VIDEO)
        parts = {name: head[a:b] for name, a, _, b in _children(head[:end], content)}
        if facts.pixel_aspect not in (None, 1):
            parts.pop(_DISPLAY_UNIT, None)
            parts |= _shape(width, facts)
        if facts.mastering is not None or facts.light is not None:
            colour = next((head[c:b] for name, _, c, b in _children(head[:end], content) if name == _COLOUR), b"")
            parts[_COLOUR] = _element(_COLOUR, colour + _light_levels(facts))
        new = (_element(_NAME, title.encode()[:20]) if title else b"") + head[start + len(room) : begin]
        new += _element(_VIDEO, b"".join(parts.values()))
        file.seek(start)
        file.write(new + _empty(end - start - len(new)))


def _shape(width: int, facts: FilmFacts) -> dict[bytes, bytes]:
    ratio = Fraction(width, facts.height) * (facts.pixel_aspect or 1)
    scale = math.ceil(facts.height / ratio.denominator)
    sides = {_DISPLAY_WIDTH: scale * ratio.numerator, _DISPLAY_HEIGHT: scale * ratio.denominator}
    return {name: _element(name, side.to_bytes(4, "big")) for name, side in sides.items()}


def _light_levels(facts: FilmFacts) -> bytes:
    levels = b""
    if facts.light is not None:
        pairs = zip((_MAX_CLL, _MAX_FALL), facts.light, strict=True)
        levels += b"".join(_element(name, level.to_bytes(4, "big")) for name, level in pairs)
    if facts.mastering is not None:
        pairs_of_display = zip(_MASTERING_NUMBERS, facts.mastering, strict=True)
        numbers = (_element(name, struct.pack(">d", float(value))) for name, value in pairs_of_display)
        levels += _element(_MASTERING, b"".join(numbers))
    return levels


def _children(data: bytes, position: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Walk through neighbouring elements: (name, begin, begin of content, end) of each."""
    while position < len(data):
        content = position + _length(data[position])
        name, first = data[position:content], data[content]
        width = _length(first)
        size = int.from_bytes(data[content : content + width], "big") & ((1 << 7 * width) - 1)
        yield name, position, content + width, content + width + size
        position = content + width + size


def _length(first: int) -> int:
    """Count the bytes of a variable-length integer by its first one."""
    return 9 - first.bit_length()


def _element(name: bytes, content: bytes) -> bytes:
    size = len(content)
    return name + (bytes([0x80 | size]) if size < 127 else (0x4000 | size).to_bytes(2, "big")) + content


def _empty(size: int) -> bytes:
    """Fill a number of bytes, three or more, with an element that readers skip."""
    return _VOID + (0x4000 | size - 3).to_bytes(2, "big") + bytes(size - 3)
