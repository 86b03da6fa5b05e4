"""Read films picture by picture, upright: the luma plane with its time stamp, or colours."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.video.stream import VideoStream

from colorgan.files import natural_order
from colorgan.media.photo import PHOTO_ENDINGS, read_photo

FILM_ENDINGS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".3gp", ".mxf"}
)

# Numbers of ITU-T H.273 that every container uses for colour tags
BT709, UNSPECIFIED, SMPTE170M = 1, 2, 6
SWSCALE_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # H.273 matrix to swscale's own number; others it cannot use
LIMITED, FULL = 1, 2
_HD_HEIGHT = 720  # untagged films are BT.709 from this height on, BT.601 below, as players assume

_ATTACHED_PICTURE = 1 << 10  # disposition of cover art
_EARLY_END_S = 0.5  # a film that ends this much before its stated duration was cut off


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

    @property
    def quarter_turns(self) -> int:
        """Count the counterclockwise quarter turns from the stored to the upright picture; 0 for mirrored ones."""
        a, b, _, c, d = (self.display_matrix or (1, 0, 0, 0, 1))[:5]
        if a != d or b != -c or (a == 0) == (b == 0):
            return 0
        return {(1, 0): 0, (0, -1): 1, (-1, 0): 2, (0, 1): 3}[(int(np.sign(a)), int(np.sign(b)))]

    def gray(self, luma: np.ndarray) -> np.ndarray:
        """Convert stored luma to gray, 0..255."""
        if self.color_range == FULL:
            return luma
        levels = np.clip(np.rint((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)
        scaled: np.ndarray = levels[luma]
        return scaled


class Frame(NamedTuple):
    """A picture: time stamp and duration in units of `FilmFacts.time_base`, upright luma (H, W) uint8 as stored."""

    time: int
    duration: int
    luma: np.ndarray


class FilmReader:
    """Read a film file from its beginning, frame by frame; nothing else is kept in memory.

    Args:
        path: any format FFmpeg reads.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, no film, holds only sound, or not one picture can be decoded.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"no film {path}")
        if not path.stat().st_size:
            raise ValueError(f"{path} is empty")
        self.path = path
        self.damage: str | None = None
        try:
            with av.open(str(path)) as container:
                self.facts = _probe(container, film_stream(container, path))
        except av.FFmpegError as error:
            raise ValueError(f"{path} cannot be read as a film: {error.strerror}") from error

    def identity(self) -> dict[str, int | str]:
        """Describe the file, to tell whether it is still the same film."""
        status = self.path.stat()
        return {"name": self.path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}

    def frames(self) -> Iterator[Frame]:
        """Read the luma of all pictures in the order they are shown; afterwards `damage` says what was unreadable."""
        last_time = None
        for picture in self._pictures():
            time = picture.pts if picture.pts is not None else picture.dts
            if last_time is not None and (time is None or time <= last_time):
                time = last_time + 1 if time is not None else last_time + max(1, picture.duration)
            last_time = time or 0
            luma = np.rot90(_luma(picture, self.facts), self.facts.quarter_turns)
            yield Frame(last_time, picture.duration, np.ascontiguousarray(luma))

    def colors(self) -> Iterator[np.ndarray]:
        """Read all pictures, (H, W, 3) uint8 each; afterwards `damage` says what was unreadable."""
        for picture in self._pictures():
            yield np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), self.facts.quarter_turns))

    def _pictures(self) -> Iterator[av.VideoFrame]:
        self.damage = None
        undecodable, end_s, cut = 0, 0.0, False
        with av.open(str(self.path)) as container:
            stream = film_stream(container, self.path)
            stream.thread_type = "AUTO"
            packets = container.demux()
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except av.FFmpegError:  # the file stops inside a packet
                    cut = True
                    break
                if packet.pts is not None:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index == stream.index and packet.size:
                    cut = cut or packet.is_corrupt
                    try:
                        yield from stream.decode(packet)
                    except av.FFmpegError:
                        undecodable += 1
            with suppress(av.FFmpegError):
                yield from stream.decode(None)  # what the decoder still holds
            stated_s = ((container.start_time or 0) + (container.duration or 0)) / av.time_base
        if cut or end_s < stated_s - _EARLY_END_S:
            self.damage = f"it is cut off after {end_s:.1f} s of {stated_s:.1f} s"
        elif undecodable:
            self.damage = f"{undecodable} of its packets are damaged"


class FolderReader:
    """Read a folder of frames of one size, in the order of the numbers in their names.

    Args:
        path: the folder.
        rate: frames a second.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path, self.damage = path, None
        self.files = sorted((f for f in path.iterdir() if f.suffix.lower() in PHOTO_ENDINGS), key=natural_order)
        if not self.files:
            raise FileNotFoundError(f"no frames in {path}; looked for {' '.join(sorted(PHOTO_ENDINGS))}")
        width, height = read_photo(self.files[0]).size
        matrix = BT709 if height >= _HD_HEIGHT else SMPTE170M
        self.facts = FilmFacts(width, height, 1 / rate, rate, matrix=matrix, frames=len(self.files))

    def identity(self) -> dict[str, int | str]:
        """Describe the folder, to tell whether it still holds the same frames."""
        newest = max(file.stat().st_mtime_ns for file in self.files)
        return {"name": self.path.name, "frames": len(self.files), "modified_ns": newest}

    def frames(self) -> Iterator[Frame]:
        """Read all frames; luma is BT.601's, in the limited range that film is stored in."""
        levels = np.rint(16 + np.arange(256) * 219 / 255).astype(np.uint8)
        for number, file in enumerate(self.files):
            photo = read_photo(file)
            if photo.size != (self.facts.width, self.facts.height):
                first = f"{self.files[0].name} has {self.facts.width}x{self.facts.height}"
                raise ValueError(f"{file} has {photo.width}x{photo.height}, but {first}: a film has one size")
            yield Frame(number, 1, levels[np.asarray(photo.convert("L"))])


def film_stream(container: InputContainer, path: Path) -> VideoStream:
    """Find the stream of a container that holds its film: the first that is no cover picture.

    Raises:
        ValueError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & _ATTACHED_PICTURE:
            if stream.codec_context is None:
                raise ValueError(f"{path} holds film in a format that cannot be decoded here")
            return stream
    raise ValueError(f"{path} holds no pictures{', only sound' if container.streams.audio else ''}")


def _probe(container: InputContainer, stream: VideoStream) -> FilmFacts:
    try:
        first = next(container.decode(stream))
    except (StopIteration, av.error.EOFError):
        raise ValueError(f"{container.name} holds no picture that can be decoded") from None
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    unit = stream.time_base or Fraction(1, av.time_base)
    seconds = stream.duration * unit if stream.duration else Fraction(container.duration or 0, av.time_base)
    is_rgb, is_gray = first.format.is_rgb, first.format.name.startswith(("gray", "mono"))
    matrix = int(first.colorspace)
    if matrix not in SWSCALE_MATRIX or is_rgb:
        matrix = BT709 if first.height >= _HD_HEIGHT else SMPTE170M
    full = not is_rgb and (int(first.color_range) == FULL or first.format.name.startswith("yuvj") or is_gray)
    turned = first.side_data.get("DISPLAYMATRIX")
    return FilmFacts(
        first.width,
        first.height,
        time_base=unit,
        rate=rate,
        pixel_aspect=stream.sample_aspect_ratio,
        matrix=matrix,
        color_range=FULL if full else LIMITED,
        primaries=int(first.color_primaries),
        transfer=int(first.color_trc),
        display_matrix=tuple(np.frombuffer(bytes(turned), np.int32).tolist()) if isinstance(turned, Buffer) else None,
        frames=stream.frames or round(seconds * rate) or None,
    )


def _luma(picture: av.VideoFrame, facts: FilmFacts) -> np.ndarray:
    """Take the luma plane (H, W) uint8 as it is stored; deeper, packed and RGB pictures are converted first."""
    layout, size = picture.format, (picture.width, picture.height)
    as_stored = layout.components[0].bits == 8 and layout.is_planar and not layout.is_rgb
    if not (as_stored or layout.name == "gray") or size != (facts.width, facts.height):
        picture = picture.reformat(
            facts.width,
            facts.height,
            "yuv444p",
            dst_colorspace=SWSCALE_MATRIX[facts.matrix],
            dst_color_range=facts.color_range,
        )
    return first_plane(picture)


def first_plane(picture: av.VideoFrame) -> np.ndarray:
    """View the values (H, W) uint8 of a picture's first plane."""
    plane = picture.planes[0]
    values: np.ndarray = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return values[:, : plane.width]
