"""Write the shape of pixels into a Matroska file.

The muxer takes it from `AVStream.sample_aspect_ratio`, which PyAV (18.1, the newest) lets nobody set: not through the
codec, the stream, their options, a template or a frame. Without it DVDs and DV tapes, whose pixels are not square,
would be shown too narrow or too wide. This module can go when PyAV has a setter.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from colorgan.media.film_reader import FilmFacts

# Names of elements in https://www.matroska.org/technical/elements.html
_NAME, _VIDEO, _VOID = b"\x53\x6e", b"\xe0", b"\xec"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = b"\x54\xb0", b"\x54\xba", b"\x54\xb2"  # a unit unknown is there
ROOM = "room for the shape of pixels".ljust(60, ".")  # the track's name while the file is written
_HEAD_BYTES = 1 << 20


def write_pixel_aspect(path: Path, width: int, facts: FilmFacts, title: str) -> None:
    """Write the display size of the film where room was kept for it; no other byte of the file moves.

    Args:
        path: a file whose film track bears the name `ROOM`, written without checksums.
        width: of the stored pictures.
        facts: with the shape of pixels and the height.
        title: the true name of the track, at most 20 bytes are kept.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD_BYTES)
        room = _element(_NAME, ROOM.encode())
        start = head.index(room)
        _, begin, content, end = next(child for child in _children(head, start) if child[0] == _VIDEO)
        between = head[start + len(room) : begin]
        ratio = Fraction(width, facts.height) * (facts.pixel_aspect or 1)
        scale = math.ceil(facts.height / ratio.denominator)
        shape = _element(_DISPLAY_WIDTH, _number(scale * ratio.numerator))
        shape += _element(_DISPLAY_HEIGHT, _number(scale * ratio.denominator))
        new = (_element(_NAME, title.encode()[:20]) if title else b"") + between
        kept = b"".join(head[a:b] for name, a, _, b in _children(head[:end], content) if name != _DISPLAY_UNIT)
        new += _element(_VIDEO, kept + shape)
        free = end - start - len(new) - 2
        file.seek(start)
        file.write(new + _VOID + bytes([0x80 | free]) + bytes(free))


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


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")
