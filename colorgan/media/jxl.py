"""Read what the header of JPEG XL says of its samples: the decoder hands out neither depth nor profile."""

import logging
from typing import NamedTuple

import imagecodecs
import numpy as np

logger = logging.getLogger(__name__)

_TIMES_TEN_MILLION = 1e7  # gamma is counted in these
_COLOR_TRANSFORMED, _UNKNOWN = 2, 3  # colour spaces that have no primaries
_D65, _CUSTOM, _EQUAL, _DCI = 1, 2, 10, 11
_WHITES = {_D65: (0.3127, 0.3290), _EQUAL: (1 / 3, 1 / 3), _DCI: (0.314, 0.351)}
_PRIMARIES = {
    1: (0.639998686, 0.330010138, 0.300003784, 0.600003357, 0.150002046, 0.059997204),  # sRGB
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2100
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # P3
}
_LINEAR, _SRGB, _DCI_CURVE = 8, 13, 17
_U32 = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
_ENUM: _U32 = ((0, 0), (1, 0), (2, 4), (18, 6))
_SIDE: _U32 = ((1, 9), (1, 13), (1, 18), (1, 30))
_COORDINATE: _U32 = ((0, 19), (524288, 19), (1048576, 20), (2097152, 21))


class JxlHeader(NamedTuple):
    """Tell the size, the bits of a sample, how alpha is meant, and the profile where it is not sRGB."""

    width: int
    height: int
    bits: int
    is_float: bool = False
    premultiplied: bool = False
    animated: bool = False
    profile: bytes | None = None


class _Bits:
    """Bits of a codestream, from the lowest of each byte on."""

    def __init__(self, stream: bytes) -> None:
        self._value, self._place = int.from_bytes(stream, "little"), 0

    def take(self, count: int) -> int:
        value = (self._value >> self._place) & ((1 << count) - 1)
        self._place += count
        return value

    def flag(self) -> bool:
        return bool(self.take(1))

    def number(self, kinds: _U32) -> int:
        least, count = kinds[self.take(2)]
        return least + self.take(count)


def read_jxl_header(stream: bytes) -> JxlHeader:
    """Read the header of a codestream (ISO 18181-1, annex D), which begins with `ff 0a`."""
    bits = _Bits(stream[2:4096])
    width, height = _size(bits)
    if bits.flag():  # all is usual
        return JxlHeader(width, height, 8)
    animated = False
    if bits.flag():
        bits.take(3)  # orientation, which the decoder applies
        if bits.flag():
            _size(bits)
        if bits.flag():
            _preview(bits)
        animated = bits.flag()
        if animated:
            _animation(bits)
    is_float, depth = _depth(bits)
    bits.flag()
    premultiplied = [_premultiplies(bits) for _ in range(bits.number(((0, 0), (1, 0), (2, 4), (1, 12))))]
    bits.flag()  # XYB: the decoder gives the space that is stated
    return JxlHeader(width, height, depth, is_float, any(premultiplied), animated, _profile(bits))


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()
    height = 8 * (bits.take(5) + 1) if small else bits.number(_SIDE)
    ratio = bits.take(3)
    if not ratio:
        return (8 * (bits.take(5) + 1) if small else bits.number(_SIDE)), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


def _preview(bits: _Bits) -> None:
    small = bits.flag()
    side: _U32 = ((16, 0), (32, 0), (1, 5), (33, 9)) if small else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.number(side)
    if not bits.take(3):
        bits.number(side)


def _animation(bits: _Bits) -> None:
    bits.number(((100, 0), (1000, 0), (1, 10), (1, 30)))
    bits.number(((1, 0), (1001, 0), (1, 8), (1, 10)))
    bits.number(((0, 0), (0, 3), (0, 16), (0, 32)))
    bits.flag()


def _depth(bits: _Bits) -> tuple[bool, int]:
    if bits.flag():
        depth = bits.number(((32, 0), (16, 0), (24, 0), (1, 6)))
        bits.take(4)
        return True, depth
    return False, bits.number(((8, 0), (10, 0), (12, 0), (1, 6)))


def _premultiplies(bits: _Bits) -> bool:
    """Read what an extra channel is; whether it is an alpha by which colours were multiplied."""
    if bits.flag():
        return False
    kind = bits.number(_ENUM)
    _depth(bits)
    bits.number(((0, 0), (3, 0), (4, 0), (1, 3)))
    bits.take(8 * bits.number(((0, 0), (0, 4), (16, 5), (48, 10))))
    if kind == 2:  # a spot colour
        bits.take(64)
    if kind == 5:  # a sensor's
        bits.number(((1, 0), (0, 2), (3, 4), (19, 8)))
    return kind == 0 and bits.flag()


def _profile(bits: _Bits) -> bytes | None:
    if bits.flag():
        return None  # sRGB
    own_profile, space = bits.flag(), bits.number(_ENUM)
    if own_profile or space in (_COLOR_TRANSFORMED, _UNKNOWN):
        logger.warning("the profile of JPEG XL is not read, and its colours are taken as sRGB")
        return None
    kind = bits.number(_ENUM)
    white = _points(bits, 1) if kind == _CUSTOM else _WHITES[kind]
    primaries: tuple[float, ...] = _PRIMARIES[1]
    if space == 0:
        kind = bits.number(_ENUM)
        primaries = _points(bits, 3) if kind == _CUSTOM else _PRIMARIES[kind]
    curve = 0 if bits.flag() else None
    gamma = _TIMES_TEN_MILLION / bits.take(24) if curve == 0 else None
    if gamma is None:
        curve = bits.number(_ENUM)
        gamma = {_LINEAR: 1.0, _DCI_CURVE: 2.6}.get(curve)
    if gamma is None and curve != _SRGB:
        logger.warning("the curve %s of JPEG XL is not known, and its colours are taken as sRGB", curve)
        return None
    if space == 1:
        return None if gamma is None else bytes(imagecodecs.cms_profile("gray", gamma=gamma))
    if gamma is None and kind == 1:
        return None
    curve_of_srgb = None if gamma else _linear(np.linspace(0, 1, 4096)).astype(np.float32)
    return bytes(
        imagecodecs.cms_profile(
            "rgb", gamma=gamma, transferfunction=curve_of_srgb, whitepoint=white, primaries=primaries
        )
    )


def _linear(encoded: np.ndarray) -> np.ndarray:
    """Undo sRGB's curve (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _points(bits: _Bits, count: int) -> tuple[float, ...]:
    packed = [bits.number(_COORDINATE) for _ in range(2 * count)]
    return tuple((value >> 1 if value % 2 == 0 else -(value + 1 >> 1)) / 1e6 for value in packed)
