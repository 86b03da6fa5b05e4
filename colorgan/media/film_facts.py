"""Hold what a coloured film shares with its source: sizes, times, colour tags, depth, fields, light levels."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import chain, islice
from typing import NamedTuple, cast

import av
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.stream import VideoStream

from colorgan.media import fields

# Numbers of ITU-T H.273 that every container uses for colour tags
_RGB, BT709, UNSPECIFIED, SMPTE170M = 0, 1, 2, 6
SWSCALE_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # H.273 matrix to swscale's own number; others it cannot use
LIMITED, FULL = 1, 2
HD_HEIGHT = 720  # untagged films are BT.709 from this height on, BT.601 below, as players assume
_DEPTHS = (8, 9, 10, 12, 14, 16)  # bits that FFmpeg has planar formats for
_LATER_PLACES = 8
_PROBED_FRAMES = 12  # fields, captions and light levels may not be in the first picture
# Side data of pictures that no encoder here writes; timecodes stand in the container, MPEG's pan and scan nobody uses
_LOST = {
    "A53_CC": "closed captions",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "ICC_PROFILE": "ICC profile of the pictures",
    "SPHERICAL": "mark of a spherical film",
    "STEREO3D": "mark of a 3D film",
}


@dataclass(frozen=True)
class FilmFacts:
    """Hold what the coloured film shares with its source.

    Args:
        width: of the stored pictures, before rotation.
        height: of the stored pictures.
        time_base: unit of all time stamps, in seconds.
        rate: nominal frames a second; time stamps are what counts.
        pixel_aspect: width of a pixel by its height, None if not stated.
        matrix: H.273 number of the luma coefficients; for an untagged film the one players assume.
        color_range: 1 limited (16..235), 2 full.
        primaries: H.273 number.
        transfer: H.273 number.
        display_matrix: nine integers, None where there is none.
        frames: about how many, None if unknown.
        depth: bits of a stored luma value.
        scan: 1 progressive, 2 or 3 interlaced with the upper or lower field first (`fields`).
        mastering: HDR10's mastering display: x and y of red, green, blue and white, least and greatest luminance.
        light: HDR10's greatest light level of a pixel and of a picture's average, in cd/m2.
        lost: in words, what the pictures carry and no output can.
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    pixel_aspect: Fraction | None = None
    matrix: int = SMPTE170M
    color_range: int = LIMITED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    display_matrix: tuple[int, ...] | None = None
    frames: int | None = None
    depth: int = 8
    scan: int = fields.PROGRESSIVE
    mastering: tuple[Fraction, ...] | None = None
    light: tuple[int, int] | None = None
    lost: tuple[str, ...] = ()

    @property
    def quarter_turns(self) -> int:
        """Count the counterclockwise quarter turns from the stored to the upright picture; 0 for mirrored ones."""
        a, b, _, c, d = (self.display_matrix or (1, 0, 0, 0, 1))[:5]
        if a != d or b != -c or (a == 0) == (b == 0):
            return 0
        return {(1, 0): 0, (0, -1): 1, (-1, 0): 2, (0, 1): 3}[(int(np.sign(a)), int(np.sign(b)))]

    def gray(self, luma: np.ndarray) -> np.ndarray:
        """Convert stored luma to gray, 0..255."""
        if self.color_range == FULL and self.depth == 8:
            return luma
        scaled: np.ndarray = _gray_levels(self.depth, self.color_range)[luma]
        return scaled


@cache
def _gray_levels(depth: int, color_range: int) -> np.ndarray:
    black, white = (0, 2**depth - 1) if color_range == FULL else (16 << depth - 8, 235 << depth - 8)
    gray = np.rint((np.arange(2**depth) - black) * 255 / (white - black))
    levels: np.ndarray = np.clip(gray, 0, 255).astype(np.uint8)
    return levels


class Frame(NamedTuple):
    """A picture: time stamp and duration in units of `FilmFacts.time_base`, and what is upright of it.

    `luma` is (H, W) as stored, uint8 or uint16; `scan` as in `FilmFacts`; `rgb` is (H, W, 3) uint8 where the picture
    is to keep colours that it has already, else None; `number` counts from 1 on.
    """

    time: int
    duration: int
    luma: np.ndarray
    scan: int = fields.PROGRESSIVE
    rgb: np.ndarray | None = None
    number: int = 0


def probe(container: InputContainer, stream: VideoStream) -> FilmFacts:
    """Read the facts of a film from its container and its first pictures.

    Raises:
        ValueError: no picture can be decoded.
    """
    pictures = _first_pictures(container, stream)
    first = pictures[0]
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    unit = stream.time_base or Fraction(1, av.time_base)
    seconds = stream.duration * unit if stream.duration else Fraction(container.duration or 0, av.time_base)
    is_rgb, is_gray = first.format.is_rgb, first.format.name.startswith(("gray", "mono"))
    matrix, stated_range = int(first.colorspace), int(first.color_range)
    if matrix not in SWSCALE_MATRIX or is_rgb:
        matrix = BT709 if first.height >= HD_HEIGHT else SMPTE170M
    full = stated_range == FULL or first.format.name.startswith("yuvj") or (is_gray and stated_range != LIMITED)
    found = [data for picture in pictures for data in cast(Iterable[SideData], picture.side_data)]
    side_data = {data.type.name: bytes(data) for data in found}
    turned = first.side_data.get("DISPLAYMATRIX")
    order = fields.OrderReader(stream)
    alpha = {"alpha"} if any(_is_transparent(picture) for picture in pictures) else set()
    return FilmFacts(
        first.width,
        first.height,
        time_base=unit,
        rate=rate,
        pixel_aspect=stream.sample_aspect_ratio,
        matrix=matrix,
        color_range=FULL if full and not is_rgb else LIMITED,
        primaries=int(first.color_primaries),
        transfer=int(first.color_trc),
        display_matrix=tuple(np.frombuffer(bytes(turned), np.int32).tolist()) if isinstance(turned, Buffer) else None,
        frames=stream.frames or round(seconds * rate) or None,
        depth=min((depth for depth in _DEPTHS if depth >= first.format.components[0].bits), default=16),
        scan=max(order.scan(picture) for picture in chain(pictures, _later_pictures(container, stream))),
        mastering=_mastering(side_data.get("MASTERING_DISPLAY_METADATA", b"")),
        light=_light(side_data.get("CONTENT_LIGHT_LEVEL", b"")),
        lost=tuple(sorted({name for key, name in _LOST.items() if key in side_data} | alpha)),
    )


def _first_pictures(container: InputContainer, stream: VideoStream) -> list[av.VideoFrame]:
    pictures: list[av.VideoFrame] = []
    with contextlib.suppress(av.error.EOFError, av.error.InvalidDataError, IndexError):
        pictures.extend(islice(container.decode(stream), _PROBED_FRAMES))
    if not pictures:
        raise ValueError(f"{container.name} holds no picture that can be decoded")
    return pictures


def _later_pictures(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Look into a film at places spread over it: titles may be progressive, and what follows not."""
    for place in range(1, _LATER_PLACES):
        with contextlib.suppress(av.FFmpegError, IndexError):  # PyAV (18.1), where damage shows as another stream
            container.seek((container.start_time or 0) + (container.duration or 0) * place // _LATER_PLACES)
            yield from islice(container.decode(stream), 2)


def use_known_matrix(picture: av.VideoFrame, matrix: int) -> av.VideoFrame:
    """Replace a matrix that swscale cannot convert from; the luma stays what it is."""
    if int(picture.colorspace) not in (_RGB, UNSPECIFIED, *SWSCALE_MATRIX):
        picture.colorspace = matrix
    return picture


def _is_transparent(picture: av.VideoFrame) -> bool:
    if not any(component.is_alpha for component in picture.format.components):
        return False
    return bool(picture.to_ndarray(format="rgba")[..., 3].min() < 255)


def _mastering(data: bytes) -> tuple[Fraction, ...] | None:
    """Read FFmpeg's AVMasteringDisplayMetadata: ten rationals, then whether primaries and luminances are set."""
    if len(data) < 88:
        return None
    numbers = np.frombuffer(data, np.int32)[:22].tolist()
    if not (numbers[20] and numbers[21]):
        return None
    return tuple(Fraction(a, b or 1) for a, b in zip(numbers[0:20:2], numbers[1:20:2], strict=True))


def _light(data: bytes) -> tuple[int, int] | None:
    return (int(np.frombuffer(data, np.uint32)[0]), int(np.frombuffer(data, np.uint32)[1])) if len(data) >= 8 else None
