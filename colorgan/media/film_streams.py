"""Carry what a film has beside its pictures into another file: sound, subtitles, chapters, title."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from colorgan.media.film_reader import ATTACHED_PICTURE, film_stream
from colorgan.media.mp4 import open_film
from colorgan.media.packets import read_packets

TRIAL_PACKETS = 2000  # of the source; a subtitle may come later, its header is tried all the same
_CARRIED = ("audio", "subtitle")
_CONTAINERS = {".mkv": "matroska"}
# Samples that FLAC holds: 16 bits, and of those that decode to 32 the ones of which 24 are used
_FLAC_FORMATS = {"u8": "s16", "u8p": "s16", "s16": "s16", "s16p": "s16"}
_24_BITS = ("pcm_s24le", "pcm_s24be", "pcm_dvd", "pcm_bluray", "truehd", "mlp")
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # of sound that states only how many channels it has
_BRANDS = (
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "software",
)  # of the old file, not of the new
_TIMECODE = "timecode"  # as a tag in Matroska, as a track in MP4, whose muxer takes its rate from the unit of time
_COARSE = Fraction(1, 150)  # seconds: the finest unit that it takes for a rate


def container_format(out: Path) -> str:
    """Name the muxer of a film by its ending."""
    ending = out.suffix.lower()
    return _CONTAINERS.get(ending, ending.removeprefix("."))


class OtherStreams:
    """Plan what becomes of the streams beside the film, and carry them.

    Each is tried by the act that will write it: header, packets and end. What cannot be copied becomes FLAC where that
    is without loss.

    Args:
        source: the film.
        out: the file to write.

    Raises:
        ValueError: sound or subtitles that `out` cannot hold; says what can.
    """

    def __init__(self, source: Path, out: Path) -> None:
        self.source, self.out = source, out
        self.left_out: list[str] = []
        self.converted: list[str] = []
        self._flac: dict[int, bool] = {}  # by the number of each stream that is carried
        self._attached: list[int] = []
        with open_film(source) as container:
            film = film_stream(container, source)
            self._plan_timecode(container, film)
            for stream in container.streams:
                if stream.index != film.index:
                    self._plan(stream, container)

    def _plan_timecode(self, container: InputContainer, film: VideoStream) -> None:
        self._timecode = film.metadata.get(_TIMECODE) or container.metadata.get(_TIMECODE)
        if self._timecode and self.out.suffix.lower() != ".mkv" and (film.time_base or 0) < _COARSE:
            self.left_out.append(f"timecode {self._timecode} (.mkv keeps it)")
            self._timecode = None

    def _plan(self, stream: Stream, container: InputContainer) -> None:
        if stream.type == "data" and (_TIMECODE in stream.metadata or (_is_chapters(stream) and container.chapters())):
            return  # QuickTime's second copies
        is_cover = bool(stream.disposition & ATTACHED_PICTURE)
        name = f"{'cover' if is_cover else stream.type} stream {stream.index} ({_codec_name(stream)})"
        if self.out.suffix.lower() == ".mkv" and (is_cover or stream.type == "attachment"):
            self._attached.append(stream.index)
            return
        may_be_cover = is_cover and self.out.suffix.lower() == ".mp4" and self._can_write(stream.index, flac=False)
        if not may_be_cover and (stream.type not in _CARRIED or stream.codec_context is None):
            self.left_out.append(name)
            return
        ways = [False, True] if _fits_flac(stream) else [False]
        way = next((flac for flac in ways if self._can_write(stream.index, flac=flac)), None)
        if way is None:
            others = [
                ending
                for ending in (".mkv", ".mp4", ".mov")
                if any(self._can_write_to(ending, stream.index, flac=way) for way in ways)
            ]
            mends = f"give an --out that ends in {' or '.join(others)}" if others else "give a folder as --out"
            raise ValueError(f"{self.out.suffix} cannot hold {name}; {mends}")
        self._flac[stream.index] = way
        if way:
            self.converted.append(f"{name} becomes flac, without loss: {self.out.suffix} cannot hold it as it is")

    def _can_write_to(self, ending: str, index: int, *, flac: bool) -> bool:
        other = self.out.with_suffix(ending)
        return ending != self.out.suffix.lower() and self._can_write(index, flac=flac, out=other)

    def _can_write(self, index: int, *, flac: bool, out: Path | None = None) -> bool:
        """Write the first packets of a stream to memory."""
        try:
            with (
                open_film(self.source) as source,
                av.open(io.BytesIO(), "w", format=container_format(out or self.out)) as target,
            ):
                carrier = _Carrier(source.streams[index], target, flac=flac)
                for packet, _ in islice(read_packets(source), TRIAL_PACKETS):
                    if packet is not None and packet.stream_index == index:
                        mux(target, carrier.carry(packet))
                mux(target, carrier.carry(None))
                target.start_encoding()
        except (av.FFmpegError, ValueError):
            return False
        return True

    def packets(
        self, source: InputContainer, target: OutputContainer, *, most: int | None = None
    ) -> "Iterator[Packet[Any]]":
        """Add the streams to a file and read what is to be muxed, of the first `most` packets of the source or all."""
        carriers = {i: _Carrier(source.streams[i], target, flac=flac) for i, flac in self._flac.items()}
        for index in self._attached:
            _attach(target, self.source, index)
        target.metadata.update(_tags(source))
        if self._timecode:
            target.metadata[_TIMECODE] = self._timecode
        if chapters := source.chapters():
            target.set_chapters(chapters)
        return self._read(source, carriers, most)

    def lost_tags(self, copy: Path) -> list[str]:
        """Name the tags of the source that a copy lacks."""
        with open_film(self.source) as source, av.open(str(copy)) as written:
            kept = {key.lower().partition("-")[0] for key in written.metadata}  # `title-eng` says what `title` does
            lost = [key for key in _tags(source) if key.lower().partition("-")[0] not in kept]
        return [f"{'tag' if len(lost) == 1 else 'tags'} {', '.join(lost)}"] if lost else []

    @staticmethod
    def _read(source: InputContainer, carriers: "dict[int, _Carrier]", most: int | None) -> "Iterator[Packet[Any]]":
        streams = [source.streams[index] for index in carriers]
        read = read_packets(source, () if most else streams) if carriers else iter(())
        for packet, _ in islice(read, most):
            if packet is not None and packet.stream_index in carriers:
                yield from carriers[packet.stream_index].carry(packet)  # the reader of pictures says what is broken
        for carrier in carriers.values():
            yield from carrier.carry(None)


class _Carrier:
    """Copy the packets of one stream, or encode them anew as FLAC."""

    def __init__(self, original: Stream, target: OutputContainer, *, flac: bool) -> None:
        self._last: int | None = None
        self._decoder = original if flac and isinstance(original, AudioStream) else None
        if self._decoder is None:
            self._copy: Stream = target.add_stream_from_template(original)
        else:
            context = self._decoder.codec_context
            self._copy = encoder = target.add_stream("flac", rate=context.sample_rate)
            assert isinstance(encoder, AudioStream)
            encoder.codec_context.layout = _LAYOUTS.get(context.layout.nb_channels, context.layout.name)
            encoder.codec_context.format = _FLAC_FORMATS.get(context.format.name, "s32")
            self._encoder = encoder
        describe(self._copy, original)

    def carry(self, packet: "Packet[Any] | None") -> "list[Packet[Any]]":
        """Take a packet, or None at the end; returns what is to be muxed, in order of time."""
        if self._decoder is not None:
            return self._encode(packet)
        if packet is not None and self._copy.disposition & ATTACHED_PICTURE:
            packet.pts = packet.dts = 0
        if packet is None or not packet.size or packet.dts is None:
            return []
        if self._last is not None:
            if packet.dts <= self._last:
                return []  # damage; muxers take no step back
            if not packet.duration and packet.stream.type == "audio":  # FLAC in NUT: MP4 would end before the last one
                packet.duration = packet.dts - self._last
        self._last = packet.dts
        packet.stream = self._copy
        return [packet]

    def _encode(self, packet: "Packet[Any] | None") -> "list[Packet[Any]]":
        assert self._decoder is not None
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return []  # a damaged packet; those after it have their own times
        encoded = [piece for frame in frames for piece in self._encoder.encode(frame)]
        return encoded + (self._encoder.encode(None) if packet is None else [])


def mux(target: OutputContainer, packets: "Iterable[Packet[Any]]") -> None:
    """Write packets; sound whose content is damaged so that its format cannot be told is left out."""
    for packet in packets:
        try:
            target.mux(packet)
        except av.error.InvalidDataError:
            if packet.stream.type == "video":
                raise


def _attach(target: OutputContainer, source: Path, index: int) -> None:
    """Put an attachment or a cover picture into a Matroska file."""
    with open_film(source) as container:
        stream = container.streams[index]
        if isinstance(stream, AttachmentStream):
            name, kind, data = stream.name or "attachment", stream.mimetype, stream.data
        else:
            jpeg, data = stream.codec_context.name == "mjpeg", bytes(next(container.demux(stream)))
            kind = "image/jpeg" if jpeg else f"image/{stream.codec_context.name}"
            name = stream.metadata.get("filename") or ("cover.jpg" if jpeg else f"cover.{stream.codec_context.name}")
        target.add_attachment(name, kind or "application/octet-stream", data)


def _tags(container: InputContainer) -> dict[str, str]:
    return {k: v for k, v in container.metadata.items() if k.lower() not in (*_BRANDS, _TIMECODE)}


def _is_chapters(stream: Stream) -> bool:
    return getattr(stream, "name", None) == "bin_data"


def describe(copy: Stream, original: Stream) -> None:
    """Copy language, title and the marks `default`, `forced`, ... of a stream; not what its old muxer measured."""
    kept = ("language", "title", "handler_name")
    copy.metadata.update({key: value for key, value in original.metadata.items() if key.lower() in kept})
    copy.disposition = original.disposition


def _fits_flac(stream: Stream) -> bool:
    if not isinstance(stream, AudioStream) or stream.codec_context.layout.nb_channels > 8:
        return False
    return stream.codec_context.format.name in _FLAC_FORMATS or stream.codec_context.name in _24_BITS


def _codec_name(stream: Stream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None) or "unknown"
