"""Work with interlaced pictures: the order of their fields, fields as pictures, chroma by field, telecine."""

from collections import deque
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.stream import VideoStream

# FFmpeg's AVFieldOrder
PROGRESSIVE, UPPER_FIRST, LOWER_FIRST = 1, 2, 3
_SETFIELD = {PROGRESSIVE: "prog", UPPER_FIRST: "tff", LOWER_FIRST: "bff"}
_STORED_UPPER_FIRST = (2, 4)  # both ways in which AVFieldOrder says that the upper field is shown first
# Codecs whose pictures say themselves whether they are interlaced; of others what the container says counts
_MARKED = ("mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc", "vc1", "wmv3", "prores", "dnxhd", "ffv1", "dvvideo")
_ADAM7 = ("png", "apng")  # whose decoder marks pictures that are stored in passes, which says nothing of fields


class OrderReader:
    """Read whether pictures are interlaced and which field comes first; PyAV (18.1) shows only the former.

    Args:
        stream: where they come from.
    """

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._stated = PROGRESSIVE
        self._marks = context.name not in _ADAM7
        if context.name not in _MARKED and context.field_order > PROGRESSIVE:
            self._stated = UPPER_FIRST if context.field_order in _STORED_UPPER_FIRST else LOWER_FIRST
        self._graph: Graph | None = None

    def scan(self, picture: av.VideoFrame) -> int:
        """Return 1 for a progressive picture, 2 or 3 for one whose upper or lower field comes first."""
        if not (self._marks and picture.interlaced_frame):
            return self._stated
        if self._graph is None:
            self._graph = _graph(picture, ("select", "eq(interlace_type,TOPFIRST)"))
        self._graph.push(picture)
        try:
            self._graph.pull()
        except BlockingIOError:  # not selected
            return LOWER_FIRST
        return UPPER_FIRST


class ScanMarker:
    """Mark pictures as progressive or interlaced, for the encoder; PyAV (18.1) has no setter."""

    def __init__(self) -> None:
        self._graphs: dict[int, Graph] = {}

    def mark(self, picture: av.VideoFrame, scan: int) -> av.VideoFrame:
        """Return the picture with the mark, its time stamp kept."""
        graph = self._graphs.get(scan)
        if graph is None:
            graph = self._graphs[scan] = _graph(picture, ("setfield", _SETFIELD[scan]))
        graph.push(picture)
        marked = graph.vpull()
        marked.time_base = picture.time_base or marked.time_base  # the last ones that a decoder gives bear none
        return marked


class Deinterlacer:
    """Make progressive pictures of interlaced ones with FFmpeg's bwdif, one of each.

    Args:
        everything: also pictures that say that they are progressive.
    """

    def __init__(self, *, everything: bool) -> None:
        self._options = f"mode=send_frame:parity=auto:deint={'all' if everything else 'interlaced'}"
        self._graph: Graph | None = None
        self._unit: Fraction | None = None

    def push(self, picture: av.VideoFrame | None) -> list[av.VideoFrame]:
        """Give the next picture, marked, or None at the end; returns those that are ready."""
        if self._graph is None:
            if picture is None:
                return []
            self._graph = _graph(picture, ("bwdif", self._options))
        self._unit = self._unit or (picture.time_base if picture is not None else None)
        self._graph.push(picture)
        ready: list[av.VideoFrame] = []
        while True:
            try:
                progressive = self._graph.vpull()
            except (BlockingIOError, av.error.EOFError):
                return ready
            if self._unit and progressive.time_base and progressive.pts is not None:  # bwdif counts in halves
                factor = progressive.time_base / self._unit
                progressive.pts, progressive.duration = (
                    round(time * factor) for time in (progressive.pts, progressive.duration)
                )
                progressive.time_base = self._unit
            ready.append(progressive)


def _graph(picture: av.VideoFrame, step: tuple[str, str]) -> Graph:
    graph = Graph()
    unit = picture.time_base or Fraction(1, av.time_base)
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=unit)
    graph.link_nodes(source, graph.add(*step), graph.add("buffersink")).configure()
    return graph


def bob(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make of an interlaced picture (H, W) uint8 two of full height: of its upper and of its lower field.

    Lines between those of a field are their mean, so that both pictures have the right shape, and nothing of the other
    moment in them.
    """
    return _fill(image, 1), _fill(image, 0)


def _fill(image: np.ndarray, first: int) -> np.ndarray:
    """Replace every second line, from `first` on, by the mean of its neighbours."""
    lines = np.arange(first, len(image), 2)
    above = np.where(lines > 0, lines - 1, lines + 1)
    below = np.where(lines + 1 < len(image), lines + 1, lines - 1)
    filled = image.copy()
    filled[lines] = (image[above].astype(np.uint16) + image[below] + 1) // 2
    return filled


def weave(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Take the even lines of one picture and the odd ones of another."""
    woven = upper.copy()
    woven[1::2] = lower[1::2]
    return woven


def halve_chroma(chroma: np.ndarray) -> np.ndarray:
    """Make 4:2:0 of a 4:2:2 chroma plane (H, W) of an interlaced picture, each field for itself; H divides by 4.

    Samples lie, as in H.262 fig. 6-2, a quarter of the way between two lines of the upper field, three quarters of the
    lower one.
    """
    wide = chroma.astype(np.uint32)
    halved = np.empty((len(chroma) // 2, chroma.shape[1]), chroma.dtype)
    halved[0::2] = (3 * wide[0::4] + wide[2::4] + 2) // 4
    halved[1::2] = (wide[1::4] + 3 * wide[3::4] + 2) // 4
    return halved


class TelecineDetector:
    """Notice 24 frames a second that were spread over the fields of 30 by 3:2 pulldown.

    Of five pictures one then repeats the upper field of the one before and another the lower field, always in the same
    places.
    """

    _WINDOW, _NEEDED = 25, 4  # five rounds, of which four must agree

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._repeats: deque[tuple[bool, bool]] = deque(maxlen=self._WINDOW)
        self.found = False

    def see(self, luma: np.ndarray) -> None:
        """Look at the next picture (H, W)."""
        if self.found:
            return
        now = luma[: len(luma) // 2 * 2, ::4].astype(np.int32)
        if self._before is not None and self._before.shape == now.shape:
            change = np.abs(now - self._before)
            upper, lower = float(change[0::2].mean()), float(change[1::2].mean())
            self._repeats.append((upper < 0.3 * lower, lower < 0.3 * upper))
            if len(self._repeats) == self._WINDOW:
                self.found = self._is_pulldown()
        self._before = now

    def _is_pulldown(self) -> bool:
        table = np.array(self._repeats).reshape(-1, 5, 2).sum(axis=0)  # by place in a round of five
        return bool(((table >= self._NEEDED).sum(axis=0) == 1).all() and table.sum() <= 2 * self._WINDOW // 5 + 2)
