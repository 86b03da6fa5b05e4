"""Colour a film after reference frames: carry their colours through their shots."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from colorgan.colorize.motion import Link, Tracker, carried, small
from colorgan.colorize.pipeline import Colored, SegmentEnd
from colorgan.colorize.shot_list import ShotList
from colorgan.colorize.smoothing import change_frame, chroma
from colorgan.media.film_facts import FilmFacts, Frame

Known = tuple[int, np.ndarray | None]
REACH = 120  # frames from a reference at which nothing of its colours is left: 5 s


@dataclass
class _Waiting:
    """A frame that waits for a reference: what those before it tell, its link to these; in half precision."""

    number: int
    past: np.ndarray | None
    since: int
    link: tuple[np.ndarray, np.ndarray] | None


class References:
    """Known frames of a film, whose colours are carried through their shots, forwards and backwards.

    Along the flow each pixel takes its colour from frame to frame, with a confidence in [0, 1]: 1 in the reference,
    less with every frame where flows do not cancel or luma differs, and nothing after `REACH` frames. Between two
    references both count, the nearer one more. What appears in between is not known.

    Args:
        shots: the list.
        pictures: by frame, at the size of `motion.small`: (h, w, 2) of chroma, or (h, w, 3) with a confidence.
    """

    def __init__(self, shots: ShotList, pictures: Mapping[int, np.ndarray]) -> None:
        self.shots, self._pictures = shots, pictures

    def first_frame(self, frame: int) -> int:
        """Find where to begin for what is known of a frame: where its shot does."""
        return self.shots.at(frame).start

    def known(self, lumas: Iterable[tuple[int, np.ndarray]]) -> Iterator[Known]:
        """Say what is known of each frame.

        Args:
            lumas: number and small luma in [0, 1] of each frame, from the first frame of a shot on.

        Yields:
            The number, and (h, w, 3): two planes of chroma and the confidence; None for nothing.
        """
        tracker, past, since = Tracker(), None, 0
        waiting: list[_Waiting] = []
        for number, gray in lumas:
            shot = self.shots.at(number)
            link = tracker.follow(gray, anew=number == shot.start)
            past, since = None if past is None or link is None else carried(past, link.back, link.kept), since + 1
            if number in self._pictures:
                past, since = with_confidence(self._pictures[number]), 0
                yield from self._filled(waiting, past, _forth(link), number)
                waiting = []
                yield number, past
                continue
            if since >= REACH:
                past = None
            if any(number < later <= number + REACH for later in shot.references if later in self._pictures):
                waiting.append(_Waiting(number, _half(past), since, _forth(link)))
            else:
                yield number, None if past is None else _faded(past, since)
        for entry in waiting:  # the film ends before a reference
            yield entry.number, None if entry.past is None else _faded(entry.past.astype(np.float32), entry.since)

    def _filled(
        self, waiting: Sequence[_Waiting], picture: np.ndarray, link: tuple[np.ndarray, np.ndarray] | None, number: int
    ) -> Iterator[Known]:
        """Carry a reference backwards over the frames that wait for it, and mix it with what they have."""
        future: np.ndarray | None = picture
        filled: list[Known] = []
        for entry in reversed(waiting):
            future = None if link is None or future is None else carried(future, *link)
            link = entry.link
            ahead = None if future is None else _faded(future, number - entry.number)
            behind = None if entry.past is None else _faded(entry.past.astype(np.float32), entry.since)
            filled.append((entry.number, _mixed(behind, ahead)))
        yield from reversed(filled)


def with_confidence(planes: np.ndarray) -> np.ndarray:
    """Add a confidence of 1 to planes that have none."""
    return planes if planes.shape[2] == 3 else np.concatenate([planes, np.ones_like(planes[..., :1])], axis=2)


def _forth(link: Link | None) -> tuple[np.ndarray, np.ndarray] | None:
    return None if link is None else (link.forth.astype(np.float16), link.goes_on.astype(np.float16))


def _faded(planes: np.ndarray, frames: int) -> np.ndarray:
    """Lower the confidence by the distance to the reference."""
    faded = planes.copy()
    faded[..., 2] *= max(0.0, 1 - frames / REACH)
    return faded


def _half(planes: np.ndarray | None) -> np.ndarray | None:
    return None if planes is None else planes.astype(np.float16)


def _mixed(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Mix two by their confidence, which has faded with distance."""
    if first is None or second is None:
        return first if second is None else second
    a, b = first[..., 2:], second[..., 2:]
    planes = (a * first[..., :2] + b * second[..., :2]) / np.maximum(a + b, 1e-6)
    return np.concatenate([planes, a + b - a * b], axis=2)


def small_lumas(frames: Iterable[Frame], facts: FilmFacts) -> Iterator[tuple[int, np.ndarray]]:
    """Make number and small luma of each frame."""
    return ((frame.number, small(facts.gray(frame.luma).astype(np.float32) / 255)) for frame in frames)


def referred(
    items: Iterable[Colored | SegmentEnd], known: Generator[Known, None, None], gray_rule: str
) -> Iterator[Colored | SegmentEnd]:
    """Draw the colours of frames to what references tell of them, as far as these are sure.

    Args:
        items: coloured frames.
        known: of the same frames and perhaps some before.
        gray_rule: of the colorizer.
    """
    with closing(known):
        for item in items:
            planes = None
            if isinstance(item, Colored):
                planes = next(planes for number, planes in known if number == item.frame.number)
            if planes is None or isinstance(item, SegmentEnd) or item.frame.rgb is not None:
                yield item
                continue
            own = chroma(small(item.rgb.astype(np.float32) / 255))
            change = planes[..., 2:] * (planes[..., :2] - own)
            yield Colored(item.frame, change_frame(item.rgb, change, gray_rule))
