"""Find what a damaged film lacks: compare time stamps, counts and bytes with what its container promises."""

import heapq
from collections import Counter, deque
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from colorgan.media.packets import Read

_NOTICED = 1.5  # frame durations: a longer distance between two pictures is a gap
_RARE = 0.02  # share of gaps up to which a film without any other sign of damage was meant to have a constant rate
_MANY = 0.25  # share of gaps from which on a film has no constant rate, damaged or not
_FEW = 0.05  # share of gaps up to which those in one place were not meant
_RARE_IN_MPEG = 0.1  # of transport and program streams, which are broadcast and DVD
_MISCOUNTED = 2  # pictures: headers of whole AVIs promise so many too much
_EARLY_END_S = 0.5  # a film that ends this much before its stated duration was cut off
_LATE_S = 60.0  # no film begins so much later than its sound
_NEAR_S = 2.0  # a gap this close to a broken place comes of it
_SHOWN_PLACES = 8
_ROUNDED_MS = 2  # distances that differ by no more are the same, as Matroska rounds them
_PADDING_BYTES = 4096
_MOST_KEPT = 10_000  # places in memory, of a film that is all gaps


class Losses:
    """Keep account of the packets that were read and the pictures they gave.

    Matroska, MPEG and the like state the time of each picture: where one is missing, there is a gap. A gap is no loss
    where the film has no constant rate and nothing around is broken. MP4 states durations, so there are no gaps; there
    the packets without a picture count. AVI counts pictures; an empty one stands for "the one before stays".

    Args:
        container: what is read.
        stream: the film in it.
        path: of the file.
        rate: nominal frames a second.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path, rate: float) -> None:
        self._index = stream.index
        self._unit = float(stream.time_base or 0) or 1 / av.time_base
        self._hides_pictures = stream.codec_context.name in ("vp8", "vp9", "libdav1d", "av1")  # only referred to
        self._has_durations = "mov" in container.format.name and stream.frames > 0  # else it comes in fragments
        self._promised = stream.frames if self._has_durations or container.format.name == "avi" else 0
        self._has_times = not self._promised
        if container.format.name == "mxf" and stream.time_base and stream.time_base * (stream.guessed_rate or 0) == 1:
            self._promised = stream.duration or 0  # in pictures
        self._start_s = (container.start_time or 0) / av.time_base
        guessed = container.format.name.startswith("mpeg")  # these state no duration, it is read from the last times
        self._rare = _RARE_IN_MPEG if guessed else _RARE
        origin_s = self._start_s if self._has_durations else 0.0  # Matroska, for one, counts from 0
        self._stated_s = origin_s + (0 if guessed else container.duration or 0) / av.time_base
        self._film_end_s = _tagged_duration(stream)
        self._bytes_lack = lacks_bytes(path)
        self._step_s = 1 / rate
        self._waiting: list[int] = []
        self._broken: deque[float] = deque(maxlen=_MOST_KEPT)
        self._intervals: Counter[int] = Counter()
        self._gaps: list[tuple[float, float, int]] = []  # from, to, packets without a picture in between
        self._packets = self._pictures = self._held = self._undecodable = 0
        self._end_s = self._film_s = self._start_s
        self._last: float | None = None
        self._longest, self._constant = 0.0, False  # found at the end
        self._stopped = False  # the last read brought nothing
        self._last_duration = self._step_s

    def read(self, read: Read) -> None:
        """Note a packet that was read, or a place that cannot be read."""
        packet = read.packet
        self._stopped = packet is None
        time = None if packet is None else packet.pts if packet.pts is not None else packet.dts
        if read.broken:
            self._broken.append(self._end_s if packet is None or time is None else float(time * packet.time_base))
        if packet is None:
            return
        if time is not None:
            self._end_s = max(self._end_s, float((time + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != self._index:
            return
        self._packets += 1
        if not packet.size or packet.is_discard:
            self._held += 1
        elif packet.pts is not None and self._has_durations:
            heapq.heappush(self._waiting, packet.pts)

    def undecodable(self, packet: "Packet[Any]") -> None:
        """Note a packet that gave an error instead of a picture."""
        time = packet.pts if packet.pts is not None else packet.dts
        self._broken.append(self._film_s if time is None else time * self._unit)
        self._undecodable += 1

    def picture(self, picture: av.VideoFrame) -> None:
        """Note a picture, in the order they are shown."""
        self._pictures += 1
        time = picture.pts if picture.pts is not None else picture.dts
        if time is None:
            return
        lost = 0
        while self._waiting and self._waiting[0] <= time:
            lost += heapq.heappop(self._waiting) != time
        now = time * self._unit
        if self._last is None and abs(now - self._start_s) > _LATE_S:
            self._start_s = now  # the container's start was read from a damaged time
        if picture.is_corrupt:
            self._broken.append(now)
        before = self._start_s - self._step_s if self._last is None else self._last
        self._note(before, now, lost)
        self._last = self._film_s = max(now, before)  # a damaged time may lie far ahead
        self._last_duration = picture.duration * self._unit or self._step_s

    def _note(self, before: float, now: float, lost: int) -> None:
        if self._last is not None and len(self._intervals) < _MOST_KEPT:
            self._intervals[round(1000 * (now - before))] += 1
        # 3:2 pulldown by flags shows every second picture for three fields, as its duration says
        shown = max(self._last_duration, self._step_s)
        if (lost or now - before > shown + (_NOTICED - 1) * self._step_s) and len(self._gaps) < _MOST_KEPT:
            self._gaps.append((before, now, lost))

    def report(self) -> str | None:
        """Say what is missing and where; None if nothing is."""
        step = self._usual_step()
        self._end(step)
        self._longest, self._constant = self._usual_longest(step), self._is_constant()
        missing = [(a, b, count) for a, b, lost in self._gaps if (count := self._missing(a, b, lost, step))]
        number = sum(count for *_, count in missing)
        unplaced = 0
        if self._promised:
            in_gaps = sum(self._frames_between(a, b, step) for a, b, _ in self._gaps if a >= self._start_s)
            unplaced = max(0, self._promised - self._pictures - self._held - max(in_gaps, number))
            tolerated = _MISCOUNTED if not self._has_times else 0
            number += unplaced if self._shows_damage or (unplaced > tolerated and not self._has_durations) else 0
        words = []
        if self._is_cut_off(step, unplaced):
            stated = max(self._stated_s, self._start_s + self._promised * step)
            words.append(f"it is cut off after {self._end_s:.1f} s" + (f" of {stated:.1f} s" if stated else ""))
        if number:
            of = f" of {self._promised}" if self._promised else ""
            verb = "frame is" if number == 1 and not of else "frames is" if number == 1 else "frames are"
            words.append(f"{number}{of} {verb} missing{self._places(missing, step)}")
        if self._undecodable and not words:
            words.append(f"{self._undecodable} of its packets are damaged")
        elif self._broken and not words:
            place = f"{self._broken[0] - self._start_s:.2f} s"
            words.append(f"it is broken near {place}, though no frame is known to be missing")
        elif self._bytes_lack and not words:
            words.append("some of its bytes are missing or broken")
        return "; ".join(words) or None

    def _is_cut_off(self, step: float, unplaced: int) -> bool:
        at_end = bool(self._broken) and self._broken[-1] > self._end_s - _EARLY_END_S
        torn = self._stopped or (at_end and self._bytes_lack and unplaced > 0)
        return torn or self._end_s < self._stated_s - max(_EARLY_END_S, step)

    @property
    def _shows_damage(self) -> bool:
        return bool(self._broken) or self._bytes_lack

    @property
    def _is_broken(self) -> bool:
        """Whether anything but time stamps speaks of damage: what could not be read, or gave no picture."""
        gave_none = self._packets - self._held - self._pictures
        return self._shows_damage or (gave_none > 0 and not self._hides_pictures)

    def _usual_step(self) -> float:
        """The most common distance of two pictures, which for some films of fields is not the nominal one."""
        usual = self._intervals.most_common(1)
        return max(usual[0][0] / 1000, self._step_s) if usual else self._step_s

    def _usual_longest(self, step: float) -> float:
        """Find what nine of ten distances do not exceed, in a film without a constant rate; 0 for one that has it."""
        ordered, usual = sorted(self._intervals.elements()), self._intervals.most_common(1)
        if not ordered or sum(abs(ms - usual[0][0]) <= _ROUNDED_MS for ms in ordered) > len(ordered) / 2:
            return 0.0
        return ordered[int(0.9 * len(ordered))] / 1000 + step / 4

    def _end(self, step: float) -> None:
        """Note the gap at the end: between the last picture and what the container has or says of the film."""
        if self._last is None:
            return
        end = self._film_end_s
        if self._has_durations and self._waiting:
            end = max(self._waiting) * self._unit + step
        elif self._is_broken and end <= self._last:
            end = self._end_s  # of all streams
        if end > self._last + self._last_duration + step / 2 and (self._is_broken or self._film_end_s > self._last):
            self._gaps.append((self._last, end, len(self._waiting)))

    def _missing(self, before: float, now: float, lost: int, step: float) -> int:
        """Count the frames that a gap lacks; 0 where it was meant."""
        if before < self._start_s:  # a film may begin late; leading pictures of a cut film cannot be decoded
            early = any(place <= now for place in self._broken)
            return max(lost, self._frames_between(before, now, step)) if early else 0
        if self._has_durations:
            return lost
        if now - before <= max(_NOTICED * step, self._longest):
            return 0
        reach = _NEAR_S if self._has_times else 2 * step
        near = any(before - reach < place < now + reach for place in self._broken)
        at_end = now >= self._film_end_s > 0 and before == self._last
        counts = self._constant or near or at_end or self._is_suspect
        return self._frames_between(before, now, step) if counts else 0

    def _is_constant(self) -> bool:
        """Whether the film was meant to have a constant rate: gaps are rare, or few and close together."""
        inside = sorted(start for start, *_ in self._gaps if start >= self._start_s)
        places = sum(b - a > _NEAR_S for a, b in pairwise(inside)) + 1  # a hole among B frames shows as several gaps
        rare = max(1, self._rare * self._pictures)
        return self._has_times and (len(inside) <= rare or (places <= rare and len(inside) <= _FEW * self._pictures))

    @property
    def _is_suspect(self) -> bool:
        """Whether any gap comes of damage: in a damaged film, unless it is full of gaps."""
        return self._is_broken and self._has_times and len(self._gaps) <= min(_MOST_KEPT - 1, _MANY * self._pictures)

    @staticmethod
    def _frames_between(before: float, now: float, step: float) -> int:
        return max(0, round((now - before) / step) - 1)

    def _places(self, missing: list[tuple[float, float, int]], step: float) -> str:
        shown = [f"{a + step - self._start_s:.2f}-{b - self._start_s:.2f} s" for a, b, _ in missing[:_SHOWN_PLACES]]
        more = f" and {len(missing) - _SHOWN_PLACES} other places" if len(missing) > _SHOWN_PLACES else ""
        if not shown:
            near = f", near {self._broken[0] - self._start_s:.2f} s" if self._broken else ""
            return f"{near}, in a place that the file does not tell"
        return f" ({', '.join(shown)}{more})"


def _tagged_duration(stream: VideoStream) -> float:
    """Read the duration of its film that Matroska's muxers write as a tag, in seconds; 0 if there is none."""
    hours, minutes, seconds = ([*stream.metadata.get("DURATION", "").split(":"), "0", "0", "0"])[:3]
    try:
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def lacks_bytes(path: Path) -> bool:
    """Whether the outermost elements of a file (RIFF, MP4, Matroska) claim more bytes than there are."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[:4] == b"\x1a\x45\xdf\xa3":
            start = head.find(b"\x18\x53\x80\x67")  # the segment, behind a short header
            width = 9 - head[start + 4].bit_length() if 0 <= start < 50 else 9
            claimed = int.from_bytes(head[start + 4 : start + 4 + width], "big") & ((1 << 7 * width) - 1)
            known = width <= 8 and claimed != (1 << 7 * width) - 1
            return known and start + 4 + width + claimed > size
        return head[4:8] == b"ftyp" and not _has_whole_boxes(file, size)


def _has_whole_boxes(file: BinaryIO, size: int) -> bool:
    """Whether a walk from box to box through an MP4 meets its index and ends at the end."""
    position, has_index = 0, False
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        has_index |= head[4:8] in (b"moov", b"moof")
        step = int.from_bytes(head[:4], "big")
        if step == 0:  # to the end, or padding
            file.seek(max(position, size - _PADDING_BYTES))
            return has_index and (head[4:8] == b"mdat" or not any(file.read()))
        step = int.from_bytes(head[8:16], "big") if step == 1 else step
        if step < 8 or not head[4:8].isalnum():
            return False
        position += step
    return has_index and position <= size
