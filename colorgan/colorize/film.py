"""Colorize a film as a stream: decode, colorize and encode at once, segment by segment, so that it can go on."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np
import torch

from colorgan.colorize.colorizer import Colorizer, to_array
from colorgan.colorize.smoothing import ChromaSmoother
from colorgan.files import write_text
from colorgan.media.film_reader import FilmFacts, FilmReader, FolderReader, Frame, film_stream
from colorgan.media.film_writer import (
    FILM_OUTPUTS,
    PART_SUFFIX,
    FilmPartWriter,
    FrameFolderWriter,
    Part,
    join,
    plan_streams,
)

SEGMENT_FRAMES = 120  # 5 s: what an interruption costs at most; batches and encoder start anew at each

T = TypeVar("T")


class Colored(NamedTuple):
    """A picture on its way to the encoder: its frame, and (H, W, 3) uint8."""

    frame: Frame
    rgb: np.ndarray


class SegmentEnd(NamedTuple):
    """Follows the last picture of a segment: the state that the smoothing of the next one starts from."""

    state: dict[str, np.ndarray]


class FilmJob:
    """A film to colorize, and the folder `<out>.parts` in which it grows until it is whole.

    Args:
        source: the film or the folder of frames.
        out: the film (its ending says the codec, see `encode`), or a folder for numbered PNG files.
        options: all that changes the result, as JSON values; a job goes on with the same only.

    Raises:
        ValueError: the ending of `out`, or sound or subtitles that it cannot hold.
    """

    def __init__(self, source: FilmReader | FolderReader, out: Path, options: Mapping[str, Any]) -> None:
        self.source, self.out = source, out
        self.parts_folder = out.with_name(f"{out.name}.parts")
        self.playlist = self.parts_folder / "play.m3u"
        self.into_frames = not out.suffix
        self.options = {"source": source.identity(), **options}
        self.left_out: list[str] = []
        if not self.into_frames and out.suffix not in FILM_OUTPUTS:
            allowed = ", ".join(FILM_OUTPUTS)
            raise ValueError(f"--out must end in {allowed}, or be a folder for numbered frames, got {out}")
        if isinstance(source, FilmReader):
            with av.open(str(source.path)) as container:
                others = [f"{stream.type} stream {stream.index}" for stream in container.streams]
                others.remove(f"video stream {film_stream(container, out).index}")
                self.left_out = others if self.into_frames else plan_streams(container, out)[1]

    def prepare(self, *, resume: bool, overwrite: bool) -> None:
        """Make the folder of parts, or check that the one which is there can be gone on with.

        Raises:
            ValueError: something is there already; or `resume` with other options than before, and which.
        """
        log = self.parts_folder / "job.json"
        if resume and log.exists():
            before = json.loads(log.read_text())
            other = [key for key in self.options if before.get(key) != self.options[key]]
            if other:
                was = ", ".join(f"{key} was {before.get(key)}, is {self.options[key]}" for key in other)
                raise ValueError(f"{self.parts_folder} was begun otherwise: {was}; --overwrite starts anew")
            return
        if log.exists() and not overwrite:
            raise ValueError(f"{self.parts_folder} holds an unfinished run; --resume goes on, --overwrite starts anew")
        if self.is_finished() and not overwrite:
            raise ValueError(f"{self.out} exists; use --overwrite or another --out")
        shutil.rmtree(self.parts_folder, ignore_errors=True)
        self.parts_folder.mkdir(parents=True)
        write_text(log, json.dumps(self.options, indent=1))

    def is_finished(self) -> bool:
        """Whether the film or the frames are there."""
        return any(self.out.glob("*.png")) if self.into_frames else self.out.exists()

    def frames_done(self) -> int:
        """How many frames the finished segments hold."""
        return sum(segment["frames"] for segment in self._segments())

    def run(
        self, colorizer: Colorizer, *, batch_size: int, smooth: float, compare: bool, track: Callable[[int], None]
    ) -> int:
        """Colorize what is not done yet, then join all segments.

        Args:
            colorizer: the trained generator.
            batch_size: frames that go through the network at once.
            smooth: strength of the smoothing over time, in [0, 1); 0 for none.
            compare: gray and colour side by side.
            track: called with the number of finished frames after each.

        Returns:
            The number of frames of the whole film.
        """
        done, count = self.frames_done(), len(self._segments())
        smoother = ChromaSmoother(strength=smooth, gray_rule=colorizer.gray_rule) if smooth else None
        if smoother is not None and count:
            with np.load(self._path(count - 1, ".npz")) as state:
                smoother.load_state(dict(state))
        facts = self.source.facts
        frames = ahead(islice(self.source.frames(), done, None), count=batch_size)
        colored = ahead(colorize_segments(frames, colorizer, facts, batch_size=batch_size), count=batch_size)
        steady = ahead(smoothed(colored, smoother), count=batch_size) if smoother is not None else colored
        with closing(steady):
            while (first := next(steady, None)) is not None:
                assert isinstance(first, Colored)
                done = self._write_segment(count, done, chain([first], steady), compare=compare, track=track)
                count += 1
        if not self.into_frames:
            parts = [Part(self._path(n, PART_SUFFIX), s["first_time"]) for n, s in enumerate(self._segments())]
            join(parts, self.source.path if isinstance(self.source, FilmReader) else None, self.out, facts)
        shutil.rmtree(self.parts_folder)
        return done

    def _write_segment(
        self,
        number: int,
        done: int,
        items: Iterable[Colored | SegmentEnd],
        *,
        compare: bool,
        track: Callable[[int], None],
    ) -> int:
        """Encode up to the next segment's end; the `.json` comes last and says that it is whole."""
        facts, temporary, start = self.source.facts, self._path(number, f".unfinished{PART_SUFFIX}"), done
        writer: FilmPartWriter | FrameFolderWriter
        if self.into_frames:
            writer = FrameFolderWriter(self.out, done + 1)
        else:
            writer = FilmPartWriter(temporary, facts, self.out.suffix)
        state: dict[str, np.ndarray] = {}
        with closing(writer):
            for item in items:
                if isinstance(item, SegmentEnd):
                    state = item.state
                    break
                writer.write(*(beside_gray(item, facts) if compare else item))
                done += 1
                track(done)
        if not self.into_frames:
            temporary.replace(self._path(number, PART_SUFFIX))
            write_text(self.playlist, "".join(f"{n:05d}{PART_SUFFIX}\n" for n in range(number + 1)))
        if state:
            np.savez(self._path(number, ".npz"), **state)  # type: ignore[arg-type]
        facts_of_segment = {"frames": done - start, "first_time": writer.first_time}
        write_text(self._path(number, ".json"), json.dumps(facts_of_segment))
        return done

    def _segments(self) -> list[dict[str, int]]:
        files = sorted(self.parts_folder.glob("[0-9]*.json"))
        return [json.loads(file.read_text()) for file in files]

    def _path(self, number: int, suffix: str) -> Path:
        return self.parts_folder / f"{number:05d}{suffix}"


def colorize_segments(
    frames: Iterator[Frame], colorizer: Colorizer, facts: FilmFacts, *, batch_size: int
) -> Iterator[Colored | SegmentEnd]:
    """Colorize frames, batch by batch, and mark the end of each segment; no batch reaches over it."""
    for first in frames:
        waiting: deque[Frame] = deque()

        def grays(segment: Iterable[Frame], waiting: deque[Frame] = waiting) -> Iterator[np.ndarray]:
            for frame in segment:
                waiting.append(frame)
                yield facts.gray(frame.luma)

        segment = grays(chain([first], islice(frames, SEGMENT_FRAMES - 1)))
        for rgb in colorizer.colorize_frames(segment, batch_size=batch_size):
            yield Colored(waiting.popleft(), rgb)
        yield SegmentEnd({})


def smoothed(items: Iterable[Colored | SegmentEnd], smoother: ChromaSmoother) -> Iterator[Colored | SegmentEnd]:
    """Steady the colours; the end of a segment carries the state of the smoother."""
    for item in items:
        if isinstance(item, SegmentEnd):
            yield SegmentEnd(smoother.state())
        else:
            rgb = torch.from_numpy(np.ascontiguousarray(item.rgb)).permute(2, 0, 1)[None].float() / 255
            yield Colored(item.frame, to_array(smoother.smooth(rgb)))


def beside_gray(item: Colored, facts: FilmFacts) -> Colored:
    """The gray picture to the left of the coloured one."""
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
