"""Colorize a film segment by segment, so that a run which was stopped can go on."""

import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from types import FrameType
from typing import Any

import av
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.pipeline import Colored, SegmentEnd, beside_gray, color_stream, leave_a_core
from colorgan.colorize.smoothing import ChromaSmoother
from colorgan.console import make_console
from colorgan.files import atomic, file_hash, write_json, write_text
from colorgan.media.film_reader import FilmReader, FolderReader
from colorgan.media.film_writer import FilmWriter, open_writer

_DEFAULT_RATE = 24
_REPORT_EVERY_S = 30  # where no terminal shows a bar


@dataclass(frozen=True)
class FilmOptions:
    """Choose how a film is colorized; `colorgan colorize` has a flag for each.

    Args:
        batch: frames that go through the network at once.
        smooth: weight of the frame before, along the motion, in [0, 1); 0 for none.
        fps: frames a second of a folder of frames; None for 24, and for a film, which has its own time stamps.
        compare: write gray and colour side by side.
        resume: go on with what an interrupted run left.
        overwrite: replace what exists.

    Raises:
        ValueError: a value is out of its range.
    """

    batch: int = 8
    smooth: float = 0.0
    fps: float | None = None
    compare: bool = False
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"--batch must be at least 1, got {self.batch}")
        if not 0 <= self.smooth < 1:
            raise ValueError(f"--smooth must be in [0, 1), got {self.smooth}; 0.8 averages over about five frames")
        if self.fps is not None and not 0.001 <= self.fps < math.inf:
            raise ValueError(f"--fps must be above 0 (0.001 or more), got {self.fps}")


def colorize_film(
    source: Path, out: Path, load: Callable[[], Colorizer], checkpoint: Path, options: FilmOptions
) -> None:
    """Colorize a film or a folder of frames; the progress is shown.

    Args:
        source: the film or the folder.
        out: the film to write, or a folder for numbered frames.
        load: makes the colorizer; called once source and options are known to be usable.
        checkpoint: the file that `load` reads; a run goes on with the same only.
        options: how.

    Raises:
        ValueError: something cannot be used; or the film is damaged, after what can be decoded was written.
        SystemExit: stopped by a signal: 130 or 143.
    """
    reader = _open_source(source, options.fps)
    if out.resolve() == source.resolve():
        raise ValueError(f"--out {out} would replace the original")
    colorizer = load()
    identity = {
        "checkpoint": file_hash(checkpoint),
        "--size": colorizer.working_size,
        "--squash": type(colorizer) is not Colorizer,
        "--batch": options.batch,
        "--smooth": options.smooth,
        "--compare": options.compare,
        "--device": colorizer.device,
    }
    job = FilmJob(reader, out, identity)
    if options.resume and job.writer.is_finished() and not job.folder.exists():
        sys.stdout.write(f"{out} is finished already\n")
        return
    job.prepare(resume=options.resume, overwrite=options.overwrite)
    for name in job.writer.left_out:
        sys.stderr.write(f"not in {out}: {name}\n")
    if colorizer.device == "cpu":
        leave_a_core()
    started, before = time.monotonic(), job.frames_done()
    with _stoppable(job), _progress(reader.facts.frames, before) as track:
        try:
            count = job.run(colorizer, options, track)
        except av.FFmpegError as error:  # a full disk, for one
            raise OSError(f"{out} cannot be written: {error.strerror}") from error
    seconds = time.monotonic() - started
    if reader.damage:
        raise ValueError(f"{source} is damaged: {reader.damage}; {count} frames could be decoded and are in {out}")
    speed = f"{(count - before) / seconds:.1f} frames/s" if count > before else "only joined"
    sys.stdout.write(f"{count} frames colorized ({speed}): {out}\n")


def _open_source(source: Path, fps: float | None) -> FilmReader | FolderReader:
    if source.is_dir():
        return FolderReader(source, Fraction(fps or _DEFAULT_RATE).limit_denominator(1001))
    if fps is not None:
        raise ValueError("--fps is for a folder of frames; a film has its own time stamps, which are kept")
    return FilmReader(source)


class FilmJob:
    """A film to colorize, and the folder `<out>.parts` in which it grows until it is whole.

    Each finished segment has a `.json` there, which is written last: what was stopped at any moment goes on behind it.

    Args:
        source: the film or the folder of frames.
        out: the film (its ending says the codec, see `film_writer`), or a folder for numbered PNG files.
        identity: all that changes the result, as JSON values; a job goes on with the same only.

    Raises:
        ValueError: the ending of `out`, or sound or subtitles that it cannot hold.
    """

    def __init__(self, source: FilmReader | FolderReader, out: Path, identity: Mapping[str, Any]) -> None:
        self.source, self.out = source, out
        self.folder = out.with_name(f"{out.name}.parts")
        self.playlist = self.folder / "play.m3u"
        self.identity = {"source": source.identity(), **identity}
        self.writer = open_writer(source, out, self.folder)

    def prepare(self, *, resume: bool, overwrite: bool) -> None:
        """Make the folder of parts, or check that the one which is there can be gone on with.

        Raises:
            ValueError: something is there already; or `resume` with other options than before, and which.
        """
        log = self.folder / "job.json"
        if resume and log.exists():
            before = json.loads(log.read_text())
            other = [key for key in self.identity if before.get(key) != self.identity[key]]
            if other:
                was = ", ".join(f"{key} was {before.get(key)}, is {self.identity[key]}" for key in other)
                raise ValueError(f"{self.folder} was begun otherwise: {was}; --overwrite starts anew")
            return
        if log.exists() and not overwrite:
            raise ValueError(f"{self.folder} holds an unfinished run; --resume goes on, --overwrite starts anew")
        if self.writer.is_finished() and not overwrite:
            raise ValueError(f"{self.out} exists; use --overwrite or another --out")
        shutil.rmtree(self.folder, ignore_errors=True)
        write_json(log, self.identity)

    def frames_done(self) -> int:
        """Count the frames of the finished segments."""
        return sum(segment["frames"] for segment in self._segments())

    def run(self, colorizer: Colorizer, options: FilmOptions, track: Callable[[int], None]) -> int:
        """Colorize what is not done yet, then join all segments; returns the number of frames of the whole film.

        Args:
            colorizer: the trained generator.
            options: how.
            track: called with the number of finished frames after each.
        """
        done, count = self.frames_done(), len(self._segments())
        smoother = ChromaSmoother(strength=options.smooth, gray_rule=colorizer.gray_rule) if options.smooth else None
        if smoother is not None and count:
            with np.load(self._path(count - 1, ".npz")) as state:
                smoother.load_state(dict(state))
        rest = islice(self.source.frames(), done, None)
        stream = color_stream(rest, colorizer, self.source.facts, batch_size=options.batch, smoother=smoother)
        with closing(stream):
            while (first := next(stream, None)) is not None:
                assert isinstance(first, Colored)
                items = chain([first], stream)
                frames = self._write_segment(count, done, items, compare=options.compare, track=track)
                write_json(self._path(count, ".json"), {"frames": frames, "first_time": first.frame.time})
                done, count = done + frames, count + 1
        self.writer.join([segment["first_time"] for segment in self._segments()])
        shutil.rmtree(self.folder)
        return done

    def _write_segment(
        self,
        number: int,
        before: int,
        items: Iterable[Colored | SegmentEnd],
        *,
        compare: bool,
        track: Callable[[int], None],
    ) -> int:
        """Write up to the next segment's end, and the state of the smoothing; returns the number of frames."""
        count, state = 0, {}
        with self.writer.segment(number, before):
            for item in items:
                if isinstance(item, SegmentEnd):
                    state = item.state
                    break
                self.writer.write(*(beside_gray(item, self.source.facts) if compare else item))
                count += 1
                track(before + count)
        if isinstance(self.writer, FilmWriter):
            names = [self.writer.segment_path(n).name for n in range(number + 1)]
            write_text(self.playlist, "".join(f"{name}\n" for name in names))
        if state:
            with atomic(self._path(number, ".npz")) as temporary, temporary.open("wb") as file:
                np.savez(file, **state)  # type: ignore[arg-type]
        return count

    def _segments(self) -> list[dict[str, int]]:
        return [json.loads(file.read_text()) for file in sorted(self.folder.glob("[0-9]*.json"))]

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"{number:05d}{suffix}"


class Terminated(KeyboardInterrupt):
    """SIGTERM, on the same way out as Ctrl-C."""


@contextmanager
def _stoppable(job: FilmJob) -> Iterator[None]:
    """Leave on Ctrl-C and SIGTERM with a line that says what is safe and how to go on."""

    def terminate(_: int, __: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        done, place = job.frames_done(), str(job.out)
        if isinstance(job.writer, FilmWriter):
            place = f"{job.folder} (to be seen: {job.playlist})" if done else str(job.folder)
        sys.stderr.write(f"stopped; {done} frames are safe in {place}; the same command with --resume goes on\n")
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
    finally:
        signal.signal(signal.SIGTERM, before)


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "")


@contextmanager
def _progress(total: int | None, before: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many frames are done: a bar in a terminal, else a line now and then."""
    console = make_console(stderr=True)
    columns = (TextColumn("colorizing"), BarColumn(), MofNCompleteColumn(), _SpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=before)
        started = reported = time.monotonic()

        def track(done: int) -> None:
            nonlocal reported
            bar.update(task, completed=done)
            now = time.monotonic()
            if not console.is_terminal and now - reported >= _REPORT_EVERY_S:
                reported, speed = now, (done - before) / (now - started)
                left = f" of about {total}, {max(0, total - done) / speed / 60:.0f} minutes left" if total else ""
                sys.stderr.write(f"{done} frames{left}, {speed:.1f} frames/s\n")

        yield track
