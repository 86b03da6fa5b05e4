"""What `colorgan colorize` does with a film: check, show progress, and say how to go on where it was stopped."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import FrameType

import av
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from colorgan.checkpoint import find_checkpoint
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.film import FilmJob
from colorgan.files import file_hash
from colorgan.media.film_reader import FilmReader, FolderReader

_REPORT_EVERY_S = 30  # where no terminal shows a bar


class Terminated(KeyboardInterrupt):
    """SIGTERM, on the same way out as Ctrl-C."""


def colorize_film(
    source: Path,
    out: Path,
    load: Callable[[], Colorizer],
    *,
    checkpoint: str,
    batch: int,
    smooth: float,
    fps: float | None,
    compare: bool,
    resume: bool,
    overwrite: bool,
) -> None:
    """Colorize a film or a folder of frames; see `colorgan colorize --help` for the arguments.

    Raises:
        ValueError: something cannot be used; or the film is damaged, after what can be decoded was written.
        SystemExit: stopped by a signal: 130 or 143.
    """
    if batch < 1:
        raise ValueError(f"--batch must be at least 1, got {batch}")
    if not 0 <= smooth < 1:
        raise ValueError(f"--smooth must be in [0, 1), got {smooth}; 0.8 averages over about five frames")
    if source.is_dir():
        reader: FilmReader | FolderReader = FolderReader(source, Fraction(fps or 24).limit_denominator(1001))
    elif fps is not None:
        raise ValueError("--fps is for a folder of frames; a film has its own time stamps, which are kept")
    else:
        reader = FilmReader(source)
    if out.resolve() == source.resolve():
        raise ValueError(f"--out {out} would replace the original")
    colorizer = load()
    options = {
        "checkpoint": file_hash(find_checkpoint(checkpoint)),
        "--size": colorizer.working_size,
        "--squash": type(colorizer) is not Colorizer,
        "--batch": batch,
        "--smooth": smooth,
        "--compare": compare,
        "--device": colorizer.device,
    }
    job = FilmJob(reader, out, options)
    if resume and job.is_finished() and not job.parts_folder.exists():
        sys.stdout.write(f"{out} is finished already\n")
        return
    job.prepare(resume=resume, overwrite=overwrite)
    for name in job.left_out:
        sys.stderr.write(f"not in {out}: {name}\n")
    if colorizer.device == "cpu":
        leave_a_core()
    started, before = time.monotonic(), job.frames_done()
    with _stoppable(job), _progress(reader.facts.frames, before) as track:
        try:
            count = job.run(colorizer, batch_size=batch, smooth=smooth, compare=compare, track=track)
        except av.FFmpegError as error:  # a full disk, for one
            raise OSError(f"{out} cannot be written: {error.strerror}") from error
    seconds = time.monotonic() - started
    if reader.damage:
        raise ValueError(f"{source} is damaged: {reader.damage}; {count} frames could be decoded and are in {out}")
    speed = f"{(count - before) / seconds:.1f} frames/s" if count > before else "only joined"
    sys.stdout.write(f"{count} frames colorized ({speed}): {out}\n")


def leave_a_core() -> None:
    """Give the network all cores but one: decoder and encoder need it, and OpenMP's threads wait by spinning."""
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))


@contextmanager
def _stoppable(job: FilmJob) -> Iterator[None]:
    def terminate(_: int, __: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        done = job.frames_done()
        play = f" (to be seen: {job.playlist})" if done and not job.into_frames else ""
        sys.stderr.write(
            f"stopped; {done} frames are safe in {job.out if job.into_frames else job.parts_folder}{play}; "
            "the same command with --resume goes on\n"
        )
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
    finally:
        signal.signal(signal.SIGTERM, before)


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "")


@contextmanager
def _progress(total: int | None, before: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many frames are done: a bar in a terminal, else a line now and then."""
    console = Console(stderr=True)
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
