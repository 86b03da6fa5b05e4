"""Colour film by a network that takes hints: frames are told what references know, and what other frames have."""

from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from colorgan.color import chroma_to_rgb, color_planes, recombine
from colorgan.colorize import pipeline
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.motion import Link, Tracker, carried, small
from colorgan.colorize.pipeline import Colored, SegmentEnd
from colorgan.colorize.references import Known, with_confidence
from colorgan.colorize.smoothing import chroma
from colorgan.media.film_facts import FilmFacts, Frame
from colorgan.networks.hints import MOVED

KEY_FRAMES = 8  # from one key frame to the next
Way = Literal["forward", "both"]
_PULL = 0.25  # by which a key frame is drawn from the colours before it to its own: after 96 frames 3 % are left


class _Entry(NamedTuple):
    """A frame of an interval: its gray, its link to the frame before, what references tell of it."""

    frame: Frame
    gray: np.ndarray
    link: Link | None
    known: np.ndarray | None


class SteadyColorizer:
    """Colour frames by what references tell of them; or key frames one after the other, and those between after both.

    A key frame is the first of a shot, each eighth from there on, and the last before a cut and of a segment. The first
    of a shot has its own colours; each later one is told those of the key frame before, carried along the motion and
    drawn a quarter to its own, so that an error does not live on. The frames between two key frames are told the
    colours of both, the nearer one's more. Each frame goes through the network once, key frames twice. What nothing is
    known of gets the network's own colour.

    Args:
        colorizer: takes hints.
        facts: of the film.
        cuts: frames that begin a shot, where the luma does not say it.
        carry: `both`: as above. `forward`: the frames between two key frames are told the colours of the first alone.
            None: each frame is told what references tell of it, and nothing of other frames.
    """

    def __init__(
        self, colorizer: Colorizer, facts: FilmFacts, cuts: Container[int] = (), *, carry: Way | None = "both"
    ) -> None:
        self.colorizer, self.facts, self.cuts, self.carry = colorizer, facts, cuts, carry
        self._tracker = Tracker()
        self._key: np.ndarray | None = None  # chroma of the last key frame and 1, (h, w, 3)

    def stream(
        self, frames: Iterable[Frame], known: Generator[Known, None, None] | None = None
    ) -> Iterator[Colored | SegmentEnd]:
        """Colorize frames that follow a segment's end, and mark the ends of segments.

        Args:
            frames: progressive ones; those that have colours keep them.
            known: what references tell of the same frames, and perhaps of some before.
        """
        interval: list[_Entry] = []
        count = 0
        with closing(known) if known is not None else nullcontext():
            for count, frame in enumerate(frames, start=1):  # how many there were
                entry = self._see(frame, known)
                if entry is None or entry.link is None:  # something begins
                    yield from self._finish(interval)
                    interval, self._key = [], None
                if entry is None:
                    yield Colored(frame, np.asarray(frame.rgb))
                else:
                    interval.append(entry)
                    if self._key is None or len(interval) == KEY_FRAMES:
                        yield from self._finish(interval)
                        interval = []
                if count % pipeline.SEGMENT_FRAMES == 0:
                    yield from self._finish(interval)
                    interval = []
                    yield SegmentEnd({})
            yield from self._finish(interval)
            if count % pipeline.SEGMENT_FRAMES:
                yield SegmentEnd({})

    def _see(self, frame: Frame, known: Iterator[Known] | None) -> _Entry | None:
        """Take in a frame; None for one that has colours."""
        told = None
        if known is not None:
            told = next(planes for number, planes in known if number == frame.number)
        if frame.rgb is not None:
            self._tracker.luma = None
            return None
        gray = self.facts.gray(frame.luma)
        if self.carry is None:
            return _Entry(frame, gray, None, told)
        link = self._tracker.follow(small(gray.astype(np.float32) / 255), anew=frame.number in self.cuts)
        return _Entry(frame, gray, link, told)

    def _finish(self, interval: Sequence[_Entry]) -> Iterator[Colored]:
        """Colour the frames since the last key frame; the last of them is the next."""
        if not interval:
            return
        told, behind = self._key, []
        for entry in interval:
            told = _carried(told, entry.link and (entry.link.back, entry.link.kept))
            behind.append(told)
        key = self._color(interval[-1], self._pulled(interval[-1], told))
        after: np.ndarray | None = with_confidence(chroma(small(key.astype(np.float32) / 255)))
        self._key = after
        done = [Colored(interval[-1].frame, key)]
        for place in range(len(interval) - 2, -1, -1):
            link = interval[place + 1].link
            after = _carried(after, link and (link.forth, link.goes_on))
            told = behind[place]
            if self.carry == "both":
                told = _between(told, after, (place + 1) / len(interval))
            done.append(Colored(interval[place].frame, self._color(interval[place], told)))
        yield from reversed(done)

    def _pulled(self, entry: _Entry, told: np.ndarray | None) -> np.ndarray | None:
        """Draw the colours that are carried to a key frame to its own."""
        if told is None:
            return None
        own = chroma(small(self.colorizer.colorize_frame(entry.gray).astype(np.float32) / 255))
        colors = told[..., :2] + _PULL * (own - told[..., :2])
        return np.concatenate([colors, told[..., 2:]], axis=2)

    def _color(self, entry: _Entry, told: np.ndarray | None) -> np.ndarray:
        """Colour a frame by what other frames tell of it, and what references do, which counts for more."""
        planes = None if told is None else told * np.array([1, 1, MOVED], np.float32)
        if entry.known is not None:
            sure = entry.known[..., 2:]
            sure = np.where(sure > 0.999, 1, MOVED * sure)
            before = np.zeros_like(entry.known) if planes is None else planes
            rest = (1 - sure) * before[..., 2:]
            colors = (sure * entry.known[..., :2] + rest * before[..., :2]) / np.maximum(sure + rest, 1e-6)
            planes = np.concatenate([colors, sure + rest], axis=2)
        return self.colorizer.colorize_frame(entry.gray, None if planes is None else self._hints(entry.gray, planes))

    def _hints(self, gray: np.ndarray, planes: np.ndarray) -> Tensor:
        """Make hints, (1, 3, h, w), of chroma and confidence in the size at which the network works."""
        height, width = self.colorizer.network_size(*gray.shape)
        hints = torch.from_numpy(cv2.resize(planes.astype(np.float32), (width, height))).permute(2, 0, 1)[None]
        rule = self.colorizer.gray_rule
        if rule != "luma601":
            luma = torch.from_numpy(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA))[None, None] / 255
            hints[:, :2] = color_planes(recombine(luma, chroma_to_rgb(luma, hints[:, :2])), rule)
        return (hints * (hints[:, 2:] > 0)).to(self.colorizer.device)


def _carried(planes: np.ndarray | None, way: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray | None:
    """Bring colours and their confidence to the next frame, where flow and luma say that it shows the same."""
    return None if planes is None or way is None else carried(planes, *way)


def _between(first: np.ndarray | None, second: np.ndarray | None, place: float) -> np.ndarray | None:
    """Mix the colours of two key frames by the place between them, in [0, 1], and by their confidence."""
    if first is None or second is None:
        return first if second is None else second
    a, b = (1 - place) * first[..., 2:], place * second[..., 2:]
    colors = (a * first[..., :2] + b * second[..., :2]) / np.maximum(a + b, 1e-6)
    return np.concatenate([colors, np.maximum(first[..., 2:], second[..., 2:])], axis=2)
