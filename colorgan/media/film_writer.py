"""Write films: segments that play by themselves, then one film with the sound, subtitles and chapters of the source."""

import heapq
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.reformatter import Interpolation
from PIL import Image

from colorgan.files import atomic
from colorgan.media import matroska
from colorgan.media.film_reader import (
    SWSCALE_MATRIX,
    FilmFacts,
    FilmReader,
    FolderReader,
    Frame,
    film_stream,
    first_plane,
)
from colorgan.media.photo import save_photo

# H.264 with 4:2:0 chroma and 8 bits is what every player and browser shows; FFV1 gives back each value as it was given.
# x264's macroblock tree reads memory that it never set (seen with PyAV 18.1 and glibc's MALLOC_PERTURB_): the same
# pictures would not give the same bits twice, and a resumed film not those of an uninterrupted one.
_H264 = {"crf": "17", "preset": "fast", "x264-params": "mbtree=0"}  # crf 17: DeOldify's
_CODECS = {
    ".mp4": ("libx264", "yuv420p", _H264),
    ".mov": ("libx264", "yuv420p", _H264),
    ".mkv": ("ffv1", "yuv444p", {"level": "3", "slicecrc": "1"}),
}
_ENCODER_THREADS = 4  # x264's bits depend on their number, so it must not depend on the machine
_SEGMENT_ENDING = ".mp4"  # it keeps exact time stamps for both codecs; Matroska rounds them to milliseconds
_COPIED = ("audio", "subtitle")


class FilmWriter:
    """Write a film in segments, each a file that plays by itself, and join them with what else the source holds.

    The luma that is stored is the source's own, value by value; only chroma comes from the coloured picture.

    Args:
        source: where the luma comes from, and the sound, subtitles and chapters.
        out: the film; `.mp4` and `.mov` mean H.264, `.mkv` means FFV1.
        segments: the folder for the segments.

    Raises:
        ValueError: the ending of `out`, or sound or subtitles that it cannot hold; says what can.
    """

    def __init__(self, source: FilmReader | FolderReader, out: Path, segments: Path) -> None:
        if out.suffix not in _CODECS:
            raise ValueError(f"--out must end in {', '.join(_CODECS)}, or be a folder for numbered frames, got {out}")
        self.facts, self.out, self.segments = source.facts, out, segments
        self.source = source.path if isinstance(source, FilmReader) else None
        self.left_out: list[str] = []
        self._codec = _CODECS[out.suffix]
        self._container: OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._start = 0
        if self.source is not None:
            with av.open(str(self.source)) as container:
                self.left_out = self._plan(container)[1]

    def segment_path(self, number: int) -> Path:
        """Name the file of a segment."""
        return self.segments / f"{number:05d}{_SEGMENT_ENDING}"

    def is_finished(self) -> bool:
        """Whether the film is there."""
        return self.out.exists()

    @contextmanager
    def segment(self, number: int, frames_before: int) -> Iterator[None]:
        """Open a segment for `write`; its file appears when the block ends without an error.

        Args:
            number: of the segment, from 0 on.
            frames_before: how many frames the segments before hold.
        """
        scale = str(max(1000, self.facts.time_base.denominator))  # else edits, and so starts, are rounded to ms
        with (
            atomic(self.segment_path(number)) as temporary,
            av.open(str(temporary), "w", format=_SEGMENT_ENDING[1:], options={"movie_timescale": scale}) as container,
        ):
            self._container, self._stream = container, None
            yield
            if self._stream is not None:
                container.mux(self._stream.encode(None))

    def write(self, frame: Frame, rgb: np.ndarray) -> None:
        """Encode one picture into the open segment.

        Args:
            frame: time, duration and luma, (H, W) uint8 as stored.
            rgb: (H, W, 3) uint8, the same picture in colour.
        """
        assert self._container is not None, "no segment is open"
        luma, rgb = (np.rot90(image, -self.facts.quarter_turns) for image in (frame.luma, rgb))
        if self._codec[1] == "yuv420p":
            luma, rgb = _pad_to_even(luma), _pad_to_even(rgb)
        if self._stream is None:
            self._stream, self._start = self._open_stream(self._container, luma.shape), frame.time
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
            format=self._codec[1],
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
            dst_colorspace=SWSCALE_MATRIX[self.facts.matrix],
            dst_color_range=self.facts.color_range,
        )
        first_plane(picture)[:] = luma
        picture.pts, picture.time_base = frame.time - self._start, self.facts.time_base
        picture.duration = frame.duration
        self._container.mux(self._stream.encode(picture))

    def _open_stream(self, container: OutputContainer, shape: tuple[int, ...]) -> av.VideoStream:
        codec, layout, options = self._codec
        stream = container.add_stream(codec, rate=self.facts.rate, options=dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.time_base = self.facts.time_base
        context = stream.codec_context
        context.height, context.width = shape[:2]
        context.pix_fmt, context.time_base = layout, self.facts.time_base
        context.thread_type, context.thread_count = "FRAME", _ENCODER_THREADS
        context.flags |= Flags.frame_duration  # the last picture stays as long as in the source
        _tag(stream, self.facts)
        return stream

    def join(self, first_times: Sequence[int]) -> None:
        """Put all segments and what the source holds beside its film into one file; nothing is encoded again.

        Args:
            first_times: of each segment the time stamp of its first picture, in the source's units.
        """
        # Sound may begin below 0, at samples that are to be skipped; Matroska's muxer would move everything for them.
        exact = {"movie_timescale": str(max(1000, self.facts.time_base.denominator))}
        options = {"avoid_negative_ts": "disabled", "write_crc32": "0"} if self.out.suffix == ".mkv" else exact
        with atomic(self.out) as temporary:
            with av.open(str(temporary), "w", format=_format(self.out), options=options) as target:
                with av.open(str(self.segment_path(0))) as first:
                    template = first.streams.video[0]
                    film = target.add_stream_from_template(template, opaque=True)
                    _tag(film, self.facts)
                    width = template.width
                title = self._mux(target, film, first_times)
            if title is not None:
                matroska.write_pixel_aspect(temporary, width, self.facts, title)

    def _mux(self, target: OutputContainer, film: av.VideoStream, first_times: Sequence[int]) -> str | None:
        """Copy all packets in the order of their times; return the track's title if its pixel shape is to be added."""
        shaped = self.source is not None and self.out.suffix == ".mkv" and self.facts.pixel_aspect not in (None, 1)
        packets, title = self._film_packets(film, first_times), ""
        with av.open(str(self.source)) if self.source is not None else nullcontext() as container:
            if container is not None:
                _describe(film, film_stream(container, self.out))
                if shaped:
                    title, film.metadata["title"] = film.metadata.get("title", ""), matroska.ROOM
                packets = heapq.merge(packets, self._other_packets(container, target), key=_seconds)
                _copy_metadata(container, target)
            for packet in packets:
                target.mux(packet)
        return title if shaped else None

    def _film_packets(self, film: av.VideoStream, first_times: Sequence[int]) -> "Iterator[Packet[Any]]":
        for number, first_time in enumerate(first_times):
            with av.open(str(self.segment_path(number))) as container:
                stream = container.streams.video[0]
                start = round(first_time * self.facts.time_base / (stream.time_base or self.facts.time_base))
                for packet in container.demux(stream):
                    if packet.pts is not None and packet.dts is not None:  # an empty one marks the end
                        packet.pts, packet.dts, packet.stream = packet.pts + start, packet.dts + start, film
                        yield packet

    def _other_packets(self, source: InputContainer, target: OutputContainer) -> "Iterator[Packet[Any]]":
        copies = {}
        for stream in self._plan(source)[0]:
            copies[stream.index] = target.add_stream_from_template(stream)
            _describe(copies[stream.index], stream)

        def packets() -> "Iterator[Packet[Any]]":
            try:
                for packet in source.demux([source.streams[index] for index in copies]):
                    if packet.size and packet.dts is not None:
                        packet.stream = copies[packet.stream_index]
                        yield packet
            except av.FFmpegError:  # a film that was cut off; the reader of its pictures has said so
                return

        return packets() if copies else iter(())

    def _plan(self, source: InputContainer) -> tuple[list[Stream], list[str]]:
        """The streams beside the film that the output will hold, and those that are left out, in words."""
        film = film_stream(source, self.out)
        copied, left_out = [], []
        with av.open(io.BytesIO(), "w", format=_format(self.out)) as trial:
            for stream in source.streams:
                if stream.index == film.index:
                    continue
                if stream.type == "data" and stream.name == "bin_data" and source.chapters():
                    continue  # QuickTime's second copy of the chapters
                name = f"{stream.type} stream {stream.index} ({_codec_name(stream)})"
                if stream.type not in _COPIED or stream.codec_context is None:
                    left_out.append(name)
                    continue
                try:
                    trial.add_stream_from_template(stream)
                except ValueError as error:
                    other = ".mp4" if self.out.suffix == ".mkv" else ".mkv"
                    text = f"{self.out.suffix} cannot hold {name}; give an --out that ends in {other}"
                    raise ValueError(text) from error
                copied.append(stream)
        return copied, left_out


class FrameFolderWriter:
    """Write pictures, upright, as numbered PNG files: 00001.png, 00002.png, ... It has the methods of `FilmWriter`.

    Args:
        source: what the pictures are made of; its sound and subtitles are left out.
        out: the folder.
    """

    def __init__(self, source: FilmReader | FolderReader, out: Path) -> None:
        self.out, self.left_out, self._number = out, [], 0
        if isinstance(source, FilmReader):
            with av.open(str(source.path)) as container:
                film = film_stream(container, source.path).index
                self.left_out = [f"{s.type} stream {s.index}" for s in container.streams if s.index != film]

    def is_finished(self) -> bool:
        """Whether there are frames."""
        return any(self.out.glob("*.png"))

    @contextmanager
    def segment(self, number: int, frames_before: int) -> Iterator[None]:
        """Number the next pictures on from those of the segments before."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._number = frames_before
        yield

    def write(self, _: Frame, rgb: np.ndarray) -> None:
        """Save one picture (H, W, 3) uint8, whole or not at all."""
        self._number += 1
        save_photo(Image.fromarray(rgb), self.out / f"{self._number:05d}.png")

    def join(self, _: Sequence[int]) -> None:
        """Do nothing: the frames are there."""


def open_writer(source: FilmReader | FolderReader, out: Path, segments: Path) -> FilmWriter | FrameFolderWriter:
    """Choose the writer of an output: of a film if its name has an ending, else of a folder of frames."""
    return FilmWriter(source, out, segments) if out.suffix else FrameFolderWriter(source, out)


def _copy_metadata(source: InputContainer, target: OutputContainer) -> None:
    brands = ("major_brand", "minor_version", "compatible_brands", "encoder")  # of the old file, not of the new
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in brands})
    chapters = source.chapters()
    if chapters:
        target.set_chapters(chapters)


def _describe(copy: Stream, original: Stream) -> None:
    """Copy language, title and the marks `default`, `forced`, ... of a stream; not what its old muxer measured."""
    kept = ("language", "title", "handler_name")
    copy.metadata.update({key: value for key, value in original.metadata.items() if key.lower() in kept})
    copy.disposition = original.disposition


def _tag(film: av.VideoStream, facts: FilmFacts) -> None:
    """Set the colour tags, pixel shape and rotation: in each segment, and again in the whole, where some get lost."""
    context = film.codec_context
    context.colorspace, context.color_range = facts.matrix, facts.color_range
    context.color_primaries, context.color_trc = facts.primaries, facts.transfer
    if facts.pixel_aspect:
        context.sample_aspect_ratio = facts.pixel_aspect
    film.set_display_matrix(facts.display_matrix)


def _seconds(packet: "Packet[Any]") -> float:
    return float((packet.dts or 0) * packet.time_base)


def _codec_name(stream: Stream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None) or "unknown"


def _format(out: Path) -> str:
    return {".mkv": "matroska"}.get(out.suffix, out.suffix.removeprefix("."))


def _pad_to_even(image: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd: 4:2:0 has one chroma value for two pixels."""
    sides = [(0, side % 2) for side in image.shape[:2]]
    return np.pad(image, sides + [(0, 0)] * (image.ndim - 2), mode="edge") if any(map(any, sides)) else image
