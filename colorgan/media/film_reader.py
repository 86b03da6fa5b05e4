"""Read films picture by picture, upright: the luma plane with its time stamp, or colours."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from colorgan.media.ffv1 import SliceChecker
from colorgan.media.fields import PROGRESSIVE, Deinterlacer, OrderReader, ScanMarker, TelecineDetector
from colorgan.media.film_facts import SWSCALE_MATRIX, FilmFacts, Frame, probe, use_known_matrix
from colorgan.media.losses import Losses, lacks_bytes
from colorgan.media.mp4 import open_film
from colorgan.media.packets import Read, read_packets
from colorgan.media.shots import keeper

FILM_ENDINGS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts"}
    | {".dv", ".wmv", ".asf", ".flv", ".ogv", ".3gp", ".mxf"}
)
ATTACHED_PICTURE = 1 << 10  # disposition of cover art


class FilmReader:
    """Read a film file from its beginning, frame by frame; nothing else is kept in memory.

    After all frames were read, `damage` says what was missing or unreadable, `telecined` whether 24 frames a second
    seem to be spread over the fields of 30.

    Args:
        path: any format FFmpeg reads.
        deinterlace: make progressive pictures of all.
        keep_color: give the colours of pictures that have some, shot by shot; or of those whose number, from 1 on, a
            function agrees to.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, no film, holds only sound, or not one picture can be decoded.
    """

    def __init__(
        self, path: Path, *, deinterlace: bool = False, keep_color: bool | Callable[[int], bool] = False
    ) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"no film {path}")
        if not path.stat().st_size:
            raise ValueError(f"{path} is empty")
        self.path, self._deinterlace, self._keep_color = path, deinterlace, keep_color
        self.damage: str | None = None
        self.telecined = False
        try:
            with open_film(path) as container:
                self.facts = probe(container, film_stream(container, path))
        except av.FFmpegError as error:
            cut = "; bytes are missing, and with them its index: copy it anew, or mend it first (untrunc)"
            cut = cut if lacks_bytes(path) else ""
            raise ValueError(f"{path} cannot be read as a film: {error.strerror}{cut}") from error
        self._scan = self.facts.scan
        if deinterlace:
            self.facts = replace(self.facts, scan=PROGRESSIVE)

    def identity(self) -> dict[str, int | str]:
        """Describe the file, to tell whether it is still the same film."""
        status = self.path.stat()
        return {"name": self.path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}

    def frames(self) -> Iterator[Frame]:
        """Read the luma of all pictures in the order they are shown."""
        last_time, turns = None, self.facts.quarter_turns
        keeps, telecine = keeper(self._keep_color), TelecineDetector()
        for number, (picture, scan) in enumerate(self._pictures(), start=1):
            time = picture.pts if picture.pts is not None else picture.dts
            if last_time is not None and (time is None or time <= last_time):
                time = last_time + 1 if time is not None else last_time + max(1, picture.duration)
            last_time = time or 0
            luma = luma_plane(picture, self.facts)
            if self.facts.scan != PROGRESSIVE:
                telecine.see(luma)
                self.telecined = telecine.found
            rgb = None
            if keeps(picture, number):
                rgb = np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), turns))
            upright = np.ascontiguousarray(np.rot90(luma, turns))
            yield Frame(last_time, picture.duration, upright, scan, rgb, number)

    def colors(self) -> Iterator[np.ndarray]:
        """Read all pictures, (H, W, 3) uint8 each."""
        for picture, _ in self._pictures():
            yield np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), self.facts.quarter_turns))

    def _pictures(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Decode all pictures, each with its order of fields."""
        with open_film(self.path) as container:
            stream = film_stream(container, self.path)
            order = OrderReader(stream)
            if not self._deinterlace:
                yield from ((picture, order.scan(picture)) for picture in self._decoded(container, stream))
                return
            filter_, marker = Deinterlacer(everything=self._scan == PROGRESSIVE), ScanMarker()
            for picture in chain(self._decoded(container, stream), [None]):
                marked = marker.mark(picture, order.scan(picture)) if picture is not None else None
                for progressive in filter_.push(marked):
                    yield progressive, PROGRESSIVE

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        self.damage = None
        stream.thread_type = "AUTO"
        losses = Losses(container, stream, self.path, float(self.facts.rate))
        slices = SliceChecker() if stream.codec_context.name == "ffv1" else None
        for packet, broken in read_packets(container):
            if packet is None or packet.stream_index != stream.index or not packet.size:
                losses.read(Read(packet, broken))
            else:
                losses.read(Read(packet, broken or (slices is not None and slices.is_damaged(bytes(packet)))))
                try:
                    pictures = stream.decode(packet)
                except av.FFmpegError:
                    losses.undecodable(packet)
                    continue
                for picture in pictures:
                    losses.picture(picture)
                    yield use_known_matrix(picture, self.facts.matrix)
        with suppress(av.FFmpegError):
            for picture in stream.decode(None):  # what the decoder still holds
                losses.picture(picture)
                yield use_known_matrix(picture, self.facts.matrix)
        self.damage = losses.report()


def film_stream(container: InputContainer, path: Path) -> VideoStream:
    """Find the stream of a container that holds its film: the first that is no cover picture.

    Raises:
        ValueError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & ATTACHED_PICTURE:
            if stream.codec_context is None:
                raise ValueError(f"{path} holds film in a format that cannot be decoded here")
            return stream
    raise ValueError(f"{path} holds no pictures{', only sound' if container.streams.audio else ''}")


def luma_plane(picture: av.VideoFrame, facts: FilmFacts) -> np.ndarray:
    """Take the luma plane (H, W) as it is stored, uint8 or uint16; packed and RGB pictures are converted first."""
    layout = picture.format
    planar = layout.name.startswith("gray") or (layout.is_planar and not layout.is_rgb)
    high_bits = layout.name.startswith(("p0", "p2", "p4"))  # p010le and its kind keep values in the upper bits
    as_stored = planar and layout.components[0].bits == facts.depth and not high_bits and not layout.name.endswith("be")
    if not as_stored or (picture.width, picture.height) != (facts.width, facts.height):
        picture = picture.reformat(
            facts.width,
            facts.height,
            "yuv444p" if facts.depth == 8 else f"yuv444p{facts.depth}le",
            dst_colorspace=SWSCALE_MATRIX[facts.matrix],
            dst_color_range=facts.color_range,
        )
    return plane_values(picture, 0, facts.depth)


def plane_values(picture: av.VideoFrame, number: int, depth: int) -> np.ndarray:
    """View the values (H, W) of a plane, uint8 or uint16."""
    plane, kind = picture.planes[number], np.dtype(np.uint8 if depth == 8 else "<u2")
    rows: np.ndarray = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width]
