"""Read packets on over what is broken, with time stamps that damage has thrown off mended."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

_MOST_FAILURES = 100  # reads in a row that bring no packet
_AHEAD = 48  # packets of a stream that tell whether a time is far off: a cluster of Matroska holds fewer
_FAR_S = 0.1  # a time stepped back by more is wrong
_REORDERED_S = 1.0  # pictures that are shown in another order than they are stored step back by less
_HEADER_BYTES = 9  # of a chunk of an AVI, with what pads the one before
# Between packets lie only their heads; FFmpeg looks for the next whole one without a word where there is more
_BETWEEN_BYTES = {"matroska,webm": 128, "flv": 32}
_EVEN = ("video", "audio")  # subtitles come when they come
_USUAL, _MOST_PLACES = 3, 1000  # distances of chunks in an AVI that come so often are those of a whole one


class Read(NamedTuple):
    """A packet, None at the end; and whether something could not be read before it."""

    packet: "Packet[Any] | None"
    broken: bool


def read_packets(container: InputContainer, streams: Sequence[Stream] = ()) -> Iterator[Read]:
    """Read all packets of some or all streams, in order of each stream's times.

    A time that all following ones contradict is replaced by the end of the packet before. Where times jump back for
    good, as between the parts of a DVD, those that follow go on from there. Where pictures of an AVI are lost, which
    counts them instead of stating times, what follows is moved by as much.
    """
    late = _LateAvi(Path(container.name)) if container.format.name == "avi" else None
    steady: dict[int, _Steady] = {}
    stopped: list[Read] = []
    for packet, broken in _read(container, streams):
        if packet is None:
            stopped.append(Read(None, broken))
        elif (packet.dts is None and packet.pts is None) or packet.stream.type not in _EVEN:
            yield Read(packet, broken)
        else:
            broken = broken or (late is not None and late.move(packet))
            yield from steady.setdefault(packet.stream_index, _Steady()).push(Read(packet, broken))
    for stream in steady.values():
        yield from stream.rest()
    yield from stopped


def _read(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Read]:
    failures, chosen = 0, list(streams) or list(container.streams)
    most, end = 0 if streams else _BETWEEN_BYTES.get(container.format.name, 0), 0
    while failures < _MOST_FAILURES:
        try:
            for packet in container.demux(chosen):
                if packet.size or packet.dts is not None:  # else it marks the end
                    skipped = 0 < most < (packet.pos or 0) - end and end > 0
                    yield Read(packet, failures > 0 or packet.is_corrupt or skipped)
                    failures = 0
                    holds_more = packet.has_sidedata("matroska_block_additional")  # lies behind the packet
                    end = 0 if packet.pos is None or holds_more else packet.pos + packet.size
        except av.FFmpegError:
            failures += 1
        except IndexError:  # PyAV (18.1) at the end, where damage has shown as a stream that there is not
            break
        else:
            break
    if failures:
        yield Read(None, broken=True)


class _Steady:
    """Hold packets of one stream back until those that follow show whether their times are right."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Packet[Any], bool]] = deque()
        self._last: float | None = None  # time of the packet before, in seconds
        self._end: float | None = None
        self._offset = 0.0

    def push(self, read: Read) -> Iterator[Read]:
        """Take a packet; returns the one whose turn it is."""
        assert read.packet is not None
        self._waiting.append((read.packet, read.broken))
        if len(self._waiting) > _AHEAD:
            yield self._next()

    def rest(self) -> Iterator[Read]:
        """Return what is held back at the end."""
        while self._waiting:
            yield self._next()

    def _next(self) -> Read:
        packet, broken = self._waiting.popleft()
        stated = _seconds(packet)
        time = stated + self._offset
        in_order = all(p.pts in (None, p.dts) for p in (packet, *(other for other, _ in self._waiting)))
        far = _FAR_S if in_order else _REORDERED_S
        after = [_seconds(other) + self._offset for other, _ in self._waiting]
        if self._end is not None and self._last is not None and after:
            if time > self._end + far and sum(other < time - far for other in after) > 1:  # one may be wrong itself
                time, broken = self._end, True
            elif time < self._last - far:
                restart = sum(other < self._last - far for other in after) > len(after) / 2
                self._offset += self._end - time if restart else 0
                time, broken = self._end, broken or not restart
        move_packet(packet, time - stated)
        self._last, self._end = time, time + float((packet.duration or 0) * packet.time_base)
        return Read(packet, broken)


class _LateAvi:
    """Move what follows the first broken place of an AVI by the pictures that its header promises and it lacks."""

    def __init__(self, path: Path) -> None:
        status = path.stat()
        self._place, self._seconds = _lacking(path, status.st_size, status.st_mtime_ns)
        self._moved: set[int] = set()

    def move(self, packet: "Packet[Any]") -> bool:
        """Move a packet that lies behind the broken place; returns whether it is the first of its stream."""
        if not self._place or packet.pos is None or packet.pos < self._place:
            return False
        move_packet(packet, self._seconds)
        first = packet.stream_index not in self._moved
        self._moved.add(packet.stream_index)
        return first


@lru_cache(maxsize=8)  # a film is opened several times, and this reads all of it
def _lacking(path: Path, _size: int, _modified_ns: int) -> tuple[int, float]:
    """Find where an AVI is broken, in bytes, and how many seconds of pictures it lacks; zeros for a whole one."""
    counts, last = Counter[int](), 0
    distances, places = Counter[int](), dict[int, int]()  # bytes between chunks: how often, where first
    with av.open(str(path)) as container:
        film = next((stream for stream in container.streams.video if stream.frames), None)
        if film is None or not film.time_base:
            return 0, 0.0
        for packet, _ in _read(container, ()):
            if packet is None:
                continue
            counts[packet.stream_index] = max(counts[packet.stream_index], (packet.dts or 0) + 1)
            if packet.pos is not None:
                if last and len(places) < _MOST_PLACES:
                    distances[packet.pos - last] += 1
                    places.setdefault(packet.pos - last, packet.pos)
                last = packet.pos + packet.size
        lacking = film.frames - counts[film.index]
        lacking_s = float(lacking * film.time_base)  # the stream is gone once its container is closed
    odd = (d for d, count in distances.items() if count < _USUAL and not 0 <= d <= _HEADER_BYTES)
    place = min((places[distance] for distance in odd), default=0)
    with path.open("rb") as file:
        file.seek(last)
        goes_to_its_end = b"idx1" in file.read(64)  # else it was cut off, and lacks nothing before
    return (place, lacking_s) if lacking > 0 and place and goes_to_its_end else (0, 0.0)


def move_packet(packet: "Packet[Any]", seconds: float) -> "Packet[Any]":
    """Move the times of a packet; returns it."""
    ticks = round(seconds / float(packet.time_base))
    if ticks:
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
    return packet


def _seconds(packet: "Packet[Any]") -> float:
    time = packet.pts if packet.pts is not None else packet.dts
    assert time is not None
    return float(time * packet.time_base)
