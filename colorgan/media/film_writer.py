"""Write films: segments that play by themselves, then one film with the sound, subtitles and chapters of the source."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.reformatter import Interpolation

from colorgan.files import atomic
from colorgan.media import matroska
from colorgan.media.fields import PROGRESSIVE, ScanMarker, halve_chroma
from colorgan.media.film_codecs import FILM_OUTPUTS, choose_codec
from colorgan.media.film_facts import SWSCALE_MATRIX, FilmFacts, Frame
from colorgan.media.film_reader import FilmReader, film_stream, plane_values
from colorgan.media.film_streams import TRIAL_PACKETS, OtherStreams, container_format, describe, mux
from colorgan.media.frame_folder import FolderReader, FrameFolderWriter
from colorgan.media.mp4 import open_film
from colorgan.media.packets import move_packet


class FilmWriter:
    """Write a film in segments, each a file that plays by itself, and join them with what else the source holds.

    The luma that is stored is the source's own, value by value; only chroma comes from the coloured picture. Before
    anything else a film of one picture is written, joined with the first sound and subtitles, and thrown away: what
    cannot work fails then.

    Args:
        source: where the luma comes from, and the sound, subtitles and chapters.
        out: the film; its ending and the source choose the codec (`choose_codec`).
        segments: the folder for the segments.

    Raises:
        ValueError: the ending of `out`, or sound or subtitles that it cannot hold; says what can.
    """

    def __init__(self, source: FilmReader | FolderReader, out: Path, segments: Path) -> None:
        if out.suffix.lower() not in FILM_OUTPUTS:
            endings = ", ".join(FILM_OUTPUTS)
            raise ValueError(f"--out must end in {endings}, or be a folder for numbered frames, got {out}")
        self.facts, self.out, self.segments = source.facts, out, segments
        self.source = source.path if isinstance(source, FilmReader) else None
        self._others = OtherStreams(self.source, out) if self.source is not None else None
        self._codec = choose_codec(out.suffix.lower(), self.facts)
        self.left_out = [*(self._others.left_out if self._others else []), *self.facts.lost, *self._codec.lost]
        self.converted = self._others.converted if self._others else []
        self._container: OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._marker = ScanMarker()
        self._start = 0
        self._try()

    def _try(self) -> None:
        """Write a film of one picture beside the output, as the real one will be written."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        out, segments, turned = self.out, self.segments, self.facts.quarter_turns % 2
        size = (self.facts.width, self.facts.height) if turned else (self.facts.height, self.facts.width)
        luma = np.zeros(size, np.uint8 if self.facts.depth == 8 else np.uint16)
        with TemporaryDirectory(prefix=".trial-", dir=out.parent) as folder:
            self.out, self.segments = Path(folder) / out.name, Path(folder)
            try:
                with self.segment(0, 0):
                    self.write(Frame(0, 1, luma, self.facts.scan), np.zeros((*size, 3), np.uint8))
                self._join([0], most=TRIAL_PACKETS)
                self.left_out += self._others.lost_tags(self.out) if self._others else []
            except av.FFmpegError as error:
                raise ValueError(f"{out.name} cannot be written: {error.strerror}; give another --out") from error
            finally:
                self.out, self.segments, self._marker = out, segments, ScanMarker()

    def segment_path(self, number: int) -> Path:
        """Name the file of a segment."""
        return self.segments / f"{number:05d}{self._codec.segment_ending}"

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
        form, options = self._codec.segment_ending[1:], {"movie_timescale": scale}
        with (
            atomic(self.segment_path(number)) as temporary,
            av.open(str(temporary), "w", format=form, options=options) as container,
        ):
            self._container, self._stream = container, None
            yield
            if self._stream is not None:
                container.mux(self._stream.encode(None))

    def write(self, frame: Frame, rgb: np.ndarray) -> None:
        """Encode one picture into the open segment.

        Args:
            frame: time, duration and luma, (H, W) as stored.
            rgb: (H, W, 3) uint8, the same picture in colour.
        """
        assert self._container is not None, "no segment is open"
        luma, rgb = (np.rot90(image, -self.facts.quarter_turns) for image in (frame.luma, rgb))
        rows = 4 if self._codec.layout.startswith("yuv420") and self.facts.scan != PROGRESSIVE else 2
        if not self._codec.layout.startswith("yuv444"):
            luma, rgb = _pad(luma, rows), _pad(rgb, rows)
        if self._stream is None:
            self._stream, self._start = self._open_stream(self._container, luma.shape), frame.time
        picture = self._picture(_to_depth(luma, self.facts.depth, self._codec.depth), rgb, frame.scan)
        picture.pts, picture.time_base = frame.time - self._start, self.facts.time_base
        picture.duration = frame.duration
        if self.facts.scan != PROGRESSIVE or (frame.scan != PROGRESSIVE and self._codec.name == "ffv1"):
            picture = self._marker.mark(picture, self._codec.marked(frame.scan, self.facts.scan))
        self._container.mux(self._stream.encode(picture))

    def _picture(self, luma: np.ndarray, rgb: np.ndarray, scan: int) -> av.VideoFrame:
        """Put luma and chroma together; in 4:2:0 the chroma of interlaced pictures is made field by field."""
        layout, depth = self._codec.layout, self._codec.depth
        by_field = PROGRESSIVE not in (scan, self.facts.scan) and layout.startswith("yuv420")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
            format=layout.replace("420", "422") if by_field else layout,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
            dst_colorspace=SWSCALE_MATRIX[self.facts.matrix],
            dst_color_range=self.facts.color_range,
        )
        if by_field:
            wide, picture = picture, av.VideoFrame(picture.width, picture.height, layout)
            for number in (1, 2):
                plane_values(picture, number, depth)[:] = halve_chroma(plane_values(wide, number, depth))
        plane_values(picture, 0, depth)[:] = luma
        picture.colorspace, picture.color_range = self.facts.matrix, self.facts.color_range
        picture.color_primaries, picture.color_trc = self.facts.primaries, self.facts.transfer  # ProRes reads them here
        return picture

    def _open_stream(self, container: OutputContainer, shape: tuple[int, ...]) -> av.VideoStream:
        stream = container.add_stream(self._codec.name, rate=self.facts.rate, options=dict(self._codec.options))
        assert isinstance(stream, av.VideoStream)
        stream.time_base = stream.codec_context.time_base = self.facts.time_base
        stream.codec_context.height, stream.codec_context.width = shape[:2]
        self._codec.configure(stream, self.facts.scan)
        _tag(stream, self.facts)
        return stream

    def join(self, first_times: Sequence[int]) -> None:
        """Put all segments and what the source holds beside its film into one file; no picture is encoded again.

        Args:
            first_times: of each segment the time stamp of its first picture, in the source's units.
        """
        self._join(first_times)

    def _join(self, first_times: Sequence[int], *, most: int | None = None) -> None:
        # Sound may begin below 0, at samples that are to be skipped; Matroska's muxer would move everything for them.
        exact = {"movie_timescale": str(max(1000, self.facts.time_base.denominator))}
        options = {"avoid_negative_ts": "disabled", "write_crc32": "0"} if self.out.suffix.lower() == ".mkv" else exact
        with atomic(self.out) as temporary:
            with av.open(str(temporary), "w", format=container_format(self.out), options=options) as target:
                with av.open(str(self.segment_path(0))) as first:
                    template = first.streams.video[0]
                    film = target.add_stream_from_template(template, opaque=True)
                    if self._codec.tag is not None and self.out.suffix.lower() != ".mkv":
                        film.codec_context.codec_tag = self._codec.tag
                    _tag(film, self.facts)
                    width = template.width
                title = self._mux(target, film, first_times, most)
            if title is not None:
                matroska.write_video_facts(temporary, width, self.facts, title)

    def _mux(
        self, target: OutputContainer, film: av.VideoStream, first_times: Sequence[int], most: int | None
    ) -> str | None:
        """Copy all packets in the order of their times; return the film's title if Matroska is to tell more of it."""
        more = self.out.suffix.lower() == ".mkv" and matroska.has_more(self.facts)
        packets, title = self._film_packets(film, first_times), ""
        with open_film(self.source) if self.source is not None else nullcontext() as container:
            if container is not None and self._others is not None:
                describe(film, film_stream(container, self.out))
                title = film.metadata.get("title", "")
                packets = heapq.merge(packets, self._others.packets(container, target, most=most), key=_seconds)
            if more:
                film.metadata["title"] = matroska.ROOM
            # MP4 hides what is before 0; Matroska's players do not
            late = 0 if self.out.suffix.lower() == ".mkv" else max(0.0, -float(first_times[0] * self.facts.time_base))
            mux(target, (move_packet(packet, late) for packet in packets))
        return title if more else None

    def _film_packets(self, film: av.VideoStream, first_times: Sequence[int]) -> "Iterator[Packet[Any]]":
        for number, first_time in enumerate(first_times):
            with av.open(str(self.segment_path(number))) as container:
                stream = container.streams.video[0]
                start = round(first_time * self.facts.time_base / (stream.time_base or self.facts.time_base))
                for packet in container.demux(stream):
                    if packet.pts is not None and packet.dts is not None:  # an empty one marks the end
                        packet.pts, packet.dts, packet.stream = packet.pts + start, packet.dts + start, film
                        yield packet


def open_writer(source: FilmReader | FolderReader, out: Path, segments: Path) -> FilmWriter | FrameFolderWriter:
    """Choose the writer of an output: of a film if its name has an ending, else of a folder of frames."""
    return FilmWriter(source, out, segments) if out.suffix else FrameFolderWriter(source, out)


def _tag(film: av.VideoStream, facts: FilmFacts) -> None:
    """Set colour tags, pixel shape, rotation, fields: in each segment, and again in the whole, where some get lost."""
    context = film.codec_context
    context.colorspace, context.color_range = facts.matrix, facts.color_range
    context.color_primaries, context.color_trc = facts.primaries, facts.transfer
    context.field_order = facts.scan
    if facts.pixel_aspect:
        context.sample_aspect_ratio = facts.pixel_aspect
    film.set_display_matrix(facts.display_matrix)


def _seconds(packet: "Packet[Any]") -> float:
    return float((packet.dts or 0) * packet.time_base)


def _to_depth(luma: np.ndarray, depth: int, wanted: int) -> np.ndarray:
    """Shift values to another number of bits; fewer are rounded."""
    if wanted >= depth:
        return luma if wanted == depth else luma.astype(np.uint16) << (wanted - depth)
    fewer = depth - wanted
    rounded = (luma.astype(np.uint32) + (1 << fewer - 1)) >> fewer
    fitting: np.ndarray = np.minimum(rounded, 2**wanted - 1).astype(np.uint16)
    return fitting


def _pad(image: np.ndarray, rows: int) -> np.ndarray:
    """Repeat the last lines and column where subsampled chroma needs more: `rows` divide the height, 2 the width."""
    more = [(0, -image.shape[0] % rows), (0, -image.shape[1] % 2)]
    if not any(end for _, end in more):
        return image
    padded: np.ndarray = np.pad(image, more + [(0, 0)] * (image.ndim - 2), mode="edge")
    return padded
