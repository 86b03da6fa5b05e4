"""Write films: segments that play by themselves, then one film with the sound, subtitles and chapters of the source."""

import heapq
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.reformatter import Interpolation
from PIL import Image

from colorgan.media import matroska
from colorgan.media.film_reader import SWSCALE_MATRIX, FilmFacts, Frame, film_stream, first_plane
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
FILM_OUTPUTS = tuple(_CODECS)
_ENCODER_THREADS = 4  # x264's bits depend on their number, so it must not depend on the machine
PART_SUFFIX = ".mp4"  # it keeps exact time stamps for both codecs; Matroska rounds them to milliseconds
_COPIED = ("audio", "subtitle")


class Part(NamedTuple):
    """A finished segment: its file and the time stamp of its first picture in the source's units."""

    path: Path
    first_time: int


class FilmPartWriter:
    """Encodes one segment into a file of its own.

    The luma that is stored is the source's own, value by value; only chroma comes from the coloured picture.

    Args:
        path: the `.mp4` to write.
        facts: of the source.
        suffix: of the film that the segment will be part of: `.mp4` and `.mov` mean H.264, `.mkv` FFV1.
    """

    def __init__(self, path: Path, facts: FilmFacts, suffix: str) -> None:
        self.facts, self.first_time = facts, 0
        self._codec = _CODECS[suffix]
        scale = str(max(1000, facts.time_base.denominator))  # else edits, and so starts, are rounded to milliseconds
        self._container = av.open(str(path), "w", options={"movie_timescale": scale})
        self._stream: av.VideoStream | None = None

    def write(self, frame: Frame, rgb: np.ndarray) -> None:
        """Encode one picture.

        Args:
            frame: time, duration and luma, (H, W) uint8 as stored.
            rgb: (H, W, 3) uint8, the same picture in colour.
        """
        luma, rgb = (np.rot90(image, -self.facts.quarter_turns) for image in (frame.luma, rgb))
        if self._codec[1] == "yuv420p":
            luma, rgb = _pad_to_even(luma), _pad_to_even(rgb)
        if self._stream is None:
            self._stream, self.first_time = self._open_stream(luma.shape), frame.time
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
            format=self._codec[1],
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
            dst_colorspace=SWSCALE_MATRIX[self.facts.matrix],
            dst_color_range=self.facts.color_range,
        )
        first_plane(picture)[:] = luma
        picture.pts, picture.time_base = frame.time - self.first_time, self.facts.time_base
        picture.duration = frame.duration
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _open_stream(self, shape: tuple[int, ...]) -> av.VideoStream:
        codec, layout, options = self._codec
        stream = self._container.add_stream(codec, rate=self.facts.rate, options=dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.time_base = self.facts.time_base
        context = stream.codec_context
        context.height, context.width = shape[:2]
        context.pix_fmt, context.time_base = layout, self.facts.time_base
        context.thread_type, context.thread_count = "FRAME", _ENCODER_THREADS
        context.flags |= Flags.frame_duration  # the last picture stays as long as in the source
        _tag(stream, self.facts)
        return stream


class FrameFolderWriter:
    """Writes pictures, upright, as numbered PNG files: 00001.png, 00002.png, ...

    Args:
        folder: where to.
        first_number: of the next picture.
    """

    def __init__(self, folder: Path, first_number: int) -> None:
        self.folder, self.number, self.first_time = folder, first_number, 0
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, _: Frame, rgb: np.ndarray) -> None:
        """Save one picture (H, W, 3) uint8, whole or not at all."""
        target = self.folder / f"{self.number:05d}.png"
        save_photo(Image.fromarray(rgb), target)
        self.number += 1

    def close(self) -> None:
        """Nothing is held back."""


def plan_streams(source: InputContainer, out: Path) -> tuple[list[Stream], list[str]]:
    """Which streams beside the film `out` will hold, and which are left out, in words.

    Raises:
        ValueError: `out` cannot hold the sound or the subtitles; says what can.
    """
    film = film_stream(source, out)
    copied, left_out = [], []
    with av.open(io.BytesIO(), "w", format=_format(out)) as trial:
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
                other = ".mp4" if out.suffix == ".mkv" else ".mkv"
                raise ValueError(f"{out.suffix} cannot hold {name}; give an --out that ends in {other}") from error
            copied.append(stream)
    return copied, left_out


def join(parts: Sequence[Part], source: Path | None, out: Path, facts: FilmFacts) -> None:
    """Put segments and all that the source holds beside its film into one file, packet by packet, nothing re-encoded.

    Args:
        parts: in order.
        source: the film file; None where there was none.
        out: the film; it appears when it is complete.
        facts: of the source.
    """
    temporary = out.with_name(f".{out.name}.tmp")
    # Sound may begin below 0, at samples that are to be skipped; Matroska's muxer would move everything for them.
    exact = {"movie_timescale": str(max(1000, facts.time_base.denominator))}
    options = {"avoid_negative_ts": "disabled", "write_crc32": "0"} if out.suffix == ".mkv" else exact
    shaped = out.suffix == ".mkv" and facts.pixel_aspect not in (None, 1)
    with av.open(str(temporary), "w", format=_format(out), options=options) as target:
        with av.open(str(parts[0].path)) as first:
            template = first.streams.video[0]
            film = target.add_stream_from_template(template, opaque=True)
            _tag(film, facts)
            width, title = template.width, ""
        pictures = _film_packets(parts, film, facts)
        if source is None:
            for packet in pictures:
                target.mux(packet)
        else:
            with av.open(str(source)) as container:
                original = film_stream(container, source)
                _describe(film, original)
                if shaped:
                    title, film.metadata["title"] = film.metadata.get("title", ""), matroska.ROOM
                others = _other_packets(container, target, out)
                _copy_metadata(container, target)
                for packet in heapq.merge(pictures, others, key=_seconds):
                    target.mux(packet)
    if shaped:
        matroska.write_pixel_aspect(temporary, width, facts, title)
    temporary.replace(out)


def _film_packets(parts: Sequence[Part], film: av.VideoStream, facts: FilmFacts) -> "Iterator[Packet[Any]]":
    for part in parts:
        with av.open(str(part.path)) as container:
            stream = container.streams.video[0]
            start = round(part.first_time * facts.time_base / (stream.time_base or facts.time_base))
            for packet in container.demux(stream):
                if packet.pts is not None and packet.dts is not None:  # an empty one marks the end
                    packet.pts, packet.dts, packet.stream = packet.pts + start, packet.dts + start, film
                    yield packet


def _other_packets(source: InputContainer, target: OutputContainer, out: Path) -> "Iterator[Packet[Any]]":
    copies = {}
    for stream in plan_streams(source, out)[0]:
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


def _copy_metadata(source: InputContainer, target: OutputContainer) -> None:
    brands = ("major_brand", "minor_version", "compatible_brands", "encoder")  # of the old file, not of the new
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in brands})
    chapters = source.chapters()
    if chapters:
        target.set_chapters(chapters)


def _describe(copy: Stream, original: Stream) -> None:
    """Language, title and the marks `default`, `forced`, ... of a stream; not what its old muxer measured."""
    kept = ("language", "title", "handler_name")
    copy.metadata.update({key: value for key, value in original.metadata.items() if key.lower() in kept})
    copy.disposition = original.disposition


def _tag(film: av.VideoStream, facts: FilmFacts) -> None:
    """Say how the pictures are meant: in the stream of the encoder, and again in the file, where parts lose some."""
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
