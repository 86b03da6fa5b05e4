"""Colorize the frames of a film as a stream, its steps side by side in threads of their own."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby, islice
from queue import Full, Queue
from threading import Event, Thread
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from colorgan.media.fields import PROGRESSIVE, bob, weave
from colorgan.media.film_facts import FilmFacts, Frame

SEGMENT_FRAMES = 120  # 5 s: what an interruption costs at most; batches and encoder start anew at each

T = TypeVar("T")


class FrameColorizer(Protocol):
    """Colorize frames, as `Colorizer` does."""

    def colorize_frames(self, frames: Iterable[np.ndarray], *, batch_size: int = 8) -> Iterator[np.ndarray]:
        """Colorize frames in order."""
        ...


class Colored(NamedTuple):
    """A picture on its way to the encoder: its frame, and (H, W, 3) uint8."""

    frame: Frame
    rgb: np.ndarray


class SegmentEnd(NamedTuple):
    """The end of a segment, with the state that the smoothing of the next one starts from."""

    state: dict[str, np.ndarray]


def color_stream(
    frames: Iterator[Frame],
    choose: Callable[[Frame], FrameColorizer],
    facts: FilmFacts,
    *,
    batch_size: int,
) -> Generator[Colored | SegmentEnd, None, None]:
    """Decode and colorize frames, each in a thread; close the generator to end the threads.

    Args:
        frames: what is decoded.
        choose: the colorizer of a frame; frames of the same one share a batch.
        facts: of the film.
        batch_size: frames that go through the network at once.
    """
    decoded = ahead(frames, count=batch_size)
    return ahead(colorize_segments(decoded, choose, facts, batch_size=batch_size), count=batch_size)


def colorize_segments(
    frames: Iterator[Frame], choose: Callable[[Frame], FrameColorizer], facts: FilmFacts, *, batch_size: int
) -> Iterator[Colored | SegmentEnd]:
    """Colorize frames, batch by batch, and mark the end of each segment; no batch reaches over it.

    Frames that have colours already keep them.
    """
    for first in frames:
        segment = chain([first], islice(frames, SEGMENT_FRAMES - 1))
        for colorizer, shot in groupby(segment, key=lambda frame: choose(frame) if frame.rgb is None else None):
            if colorizer is None:
                yield from (Colored(frame, frame.rgb) for frame in shot if frame.rgb is not None)
            else:
                yield from _colorize(shot, colorizer, facts, batch_size=batch_size)
        yield SegmentEnd({})


def _colorize(
    frames: Iterable[Frame], colorizer: FrameColorizer, facts: FilmFacts, *, batch_size: int
) -> Iterator[Colored]:
    """Colorize frames; of interlaced ones both fields, each as a picture of its own."""
    waiting: deque[Frame] = deque()

    def grays() -> Iterator[np.ndarray]:
        for frame in frames:
            waiting.append(frame)
            gray = facts.gray(frame.luma)
            yield from (gray,) if frame.scan == PROGRESSIVE else bob(gray)

    pictures = colorizer.colorize_frames(grays(), batch_size=batch_size)
    for rgb in pictures:
        frame = waiting.popleft()
        yield Colored(frame, rgb if frame.scan == PROGRESSIVE else weave(rgb, next(pictures)))


def beside_gray(item: Colored, facts: FilmFacts) -> Colored:
    """Put the gray picture to the left of the coloured one."""
    frame, rgb = item
    gray = np.broadcast_to(facts.gray(frame.luma)[..., None], rgb.shape)
    luma = np.concatenate([frame.luma, frame.luma], axis=1)
    return Colored(frame._replace(luma=luma), np.concatenate([gray, rgb], axis=1))


def ahead(items: Iterator[T], *, count: int) -> Generator[T, None, None]:
    """Iterate in a thread of its own, at most `count` items ahead; what fails there is raised here.

    Decoders, encoders and networks leave Python's lock while they work, so that such stages overlap.
    """
    queue: Queue[tuple[T] | BaseException | None] = Queue(count)
    stopped = Event()

    def put(entry: tuple[T] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return queue.put(entry, timeout=0.1)
            except Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item,))
                if stopped.is_set():
                    break
            put(None)
        except BaseException as error:  # not only Exception: whatever it is, the main thread must know
            put(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    worker = Thread(target=work, daemon=True)
    worker.start()
    try:
        while (entry := queue.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        stopped.set()
        worker.join()


@contextmanager
def leave_cores(engine: str) -> Iterator[None]:
    """Give torch one thread beside an engine that has its own: what is left for it is small, and its threads spin.

    Behind it the process has its threads back: what trains there next rounds as it would have done.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if engine.startswith("torch") else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
