"""Colorize a film or a folder of frames, and say what comes of it."""

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import av
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from colorgan.colorize.coloring import Coloring
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.film_job import FilmJob
from colorgan.colorize.film_source import open_source
from colorgan.colorize.pipeline import leave_cores
from colorgan.colorize.reference_files import (
    export_references,
    missing_references,
    palettes_of,
    read_references,
    reference_hash,
)
from colorgan.colorize.shot_list import ShotList, read_shots
from colorgan.colorize.shot_sheet import save_sheet
from colorgan.console import make_console
from colorgan.files import file_hash
from colorgan.media.film_reader import FilmReader
from colorgan.media.film_writer import FilmWriter
from colorgan.media.frame_folder import FolderReader

_SHOWN_SHOTS = 8
_EXPORTED = (
    "{count} references are in {folder}: repair them in a paint program, or take their numbers out of the list; "
    "the same command again colorizes the film by them\n"
)
_REPORT_EVERY_S = 30  # where no terminal shows a bar


@dataclass(frozen=True)
class FilmOptions:
    """Choose how a film is colorized; `colorgan colorize` has a flag for each.

    Args:
        batch: frames that go through the network at once.
        smooth: weight of the next frame on either side, along the motion, in [0, 1); 0 colorizes frame by frame. None
            is 0.8, but for interlaced film 0.
        fps: frames a second of a folder of frames; None for 24, and for a film, which has its own time stamps.
        compare: write gray and colour side by side.
        resume: go on with what an interrupted run left.
        overwrite: replace what exists.
        deinterlace: make progressive pictures of interlaced ones.
        recolor: colorize shots that are in colour already, too.
        shots: list that says what to do with which shot.
        frames: do only these again, `from..to`, of a film whose parts are there.
        shot: do only this shot of the list again.
        references: folder of frames whose colours are known; what is missing there is exported.

    Raises:
        ValueError: a value is out of its range.
    """

    batch: int = 8
    smooth: float | None = None
    fps: float | None = None
    compare: bool = False
    resume: bool = False
    overwrite: bool = False
    deinterlace: bool = False
    recolor: bool = False
    shots: Path | None = None
    frames: str | None = None
    shot: str | None = None
    references: Path | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"--batch must be at least 1, got {self.batch}")
        if self.smooth is not None and not 0 <= self.smooth < 1:
            raise ValueError(f"--smooth must be in [0, 1), got {self.smooth}; 0.8 averages over about nine frames")
        if self.fps is not None and not 0.001 <= self.fps < math.inf:
            raise ValueError(f"--fps must be above 0 (0.001 or more), got {self.fps}")
        if self.shots is not None and self.recolor:
            raise ValueError("--recolor does not go with --shots, whose list says what to do with shots in colour")
        if self.references is not None and self.shots is None:
            raise ValueError("--references needs --shots, whose column reference says which frames it is to hold")
        if self.shot is not None and (self.shots is None or self.frames is not None):
            raise ValueError("--shot is of a list, which --shots names; it does not go with --frames")
        if self.frames is not None and self.shots is None:
            raise ValueError("--frames needs --shots: only a film that was colorized by a list has parts to do again")
        if self.part is not None and self.overwrite:
            raise ValueError("--overwrite does all anew; --frames and --shot do a part again")

    @property
    def part(self) -> str | None:
        """What is to be done again; None for all."""
        return self.shot if self.frames is None else self.frames


@dataclass(frozen=True)
class Network:
    """A checkpoint that colorizes.

    Attributes:
        load: makes the colorizer for about so many frames.
        checkpoint: the file that it reads.
    """

    load: Callable[[int], Colorizer]
    checkpoint: Path


def colorize_film(
    source: Path,
    out: Path,
    load: Callable[[int], Colorizer],
    checkpoint: Path,
    options: FilmOptions,
    *,
    blend: Network | None = None,
) -> None:
    """Colorize a film or a folder of frames; the progress is shown.

    Args:
        source: the film or the folder.
        out: the film to write, or a folder for numbered frames.
        load: makes the colorizer for about so many frames; called once source and options are known to be usable.
        checkpoint: the file that `load` reads; a run goes on with the same only.
        options: how.
        blend: another network, which has the rest of each shot's strength.

    Raises:
        ValueError: something cannot be used; or the film is damaged, after what can be decoded was written.
        SystemExit: stopped by a signal: 130 or 143.
    """
    shots = None if options.shots is None else read_shots(options.shots)
    _check_list(shots, options, blend)
    keep = not options.recolor if shots is None else shots.keeps
    reader = open_source(source, keep_color=keep, fps=options.fps, deinterlace=options.deinterlace)
    if out.resolve() == source.resolve():
        raise ValueError(f"--out {out} would replace the original")
    folder = options.references
    if folder is not None and (folder.is_file() or folder.resolve() in (source.resolve(), out.resolve())):
        raise ValueError(f"--references {folder} must be a folder of its own, neither the film's nor --out")
    part = None if options.part is None else _part(options, shots)
    pictures = reader.facts.frames or 1
    colorizer, other = load(pictures), blend.load(pictures) if blend else None
    coloring = Coloring(colorizer, options.batch, options.smooth, shots, other)
    if folder is not None and shots is not None:
        if missing := missing_references(folder, shots):
            export_references(folder, missing, reader, coloring.choose)
            sys.stdout.write(_EXPORTED.format(count=len(missing), folder=folder))
            return
        palettes = palettes_of(folder, shots, reader, coloring.choose)
        references = read_references(folder, shots, reader, last=part and part[1])
        coloring = replace(coloring, references=references, palettes=palettes)
    identity = _identity(checkpoint, coloring, options, blend)
    job = FilmJob(reader, out, {**identity, "--smooth": coloring.smoothing(reader.facts)}, keep_parts=shots is not None)
    if options.resume and job.is_finished():
        sys.stdout.write(f"{out} is finished already\n")
        return
    if part is not None and not options.resume:
        job.prepare_part(*part, same=["--compare", "--deinterlace", "--fps"])
    else:
        job.prepare(resume=options.resume, overwrite=options.overwrite)
    _say_before(reader, job)
    started, before = time.monotonic(), job.frames_done()
    engine = colorizer.hint_engine if coloring.tells(reader.facts) else colorizer.engine
    with leave_cores(engine), _stoppable(job), _progress(reader.facts.frames, before) as track:
        try:
            count = job.run(coloring, compare=options.compare, track=track)
        except av.FFmpegError as error:  # a full disk, for one
            raise OSError(f"{out} cannot be written: {error.strerror}") from error
    seconds = time.monotonic() - started
    _say_of_shots(reader, job)
    if shots is not None:
        _save_looks(job, shots, out, count)
    if reader.damage:
        raise ValueError(f"{source} is damaged: {reader.damage}; {count} frames could be decoded and are in {out}")
    speed = f"{(count - before) / seconds:.1f} frames/s" if count > before else "only joined"
    sys.stdout.write(f"{count} frames colorized ({speed}, {engine}): {out}\n")


def _identity(checkpoint: Path, coloring: Coloring, options: FilmOptions, blend: Network | None) -> dict[str, object]:
    """Gather all that changes the result but the source and how steady it is: a run goes on with the same only."""
    folder, colorizer, shots = options.references, coloring.colorizer, coloring.shots
    return {
        "checkpoint": file_hash(checkpoint),
        "--size": colorizer.working_size,
        "--squash": type(colorizer) is not Colorizer,
        "--batch": options.batch,
        "--compare": options.compare,
        "--fps": options.fps,
        "--deinterlace": options.deinterlace,
        "--recolor": options.recolor,
        "--shots": None if options.shots is None else file_hash(options.shots),
        "--references": None if folder is None or shots is None else reference_hash(folder, shots),
        "--blend": None if blend is None else file_hash(blend.checkpoint),
        "--device": colorizer.device,
        "--engine": colorizer.engine,
    }


def _check_list(shots: ShotList | None, options: FilmOptions, blend: Network | None) -> None:
    """Refuse a list that needs another option, and an option that needs a list."""
    if blend is not None and shots is None:
        raise ValueError("--blend needs --shots, whose column strength says how much each shot has of which checkpoint")
    for shot in shots.shots if shots else ():
        if shot.palette is not None and options.references is None:
            raise ValueError(
                f"{options.shots}, row {shot.row}, column reference: got {shot.palette}, a photo, which is looked for "
                "in a folder that --references names"
            )
        if shot.look.strength < 1 and blend is None:
            raise ValueError(
                f"{options.shots}, row {shot.row}, column strength: got {shot.look.strength:g}; a value below 1 mixes "
                "in another checkpoint, which --blend names"
            )


def _part(options: FilmOptions, shots: ShotList | None) -> tuple[int, int | None]:
    """Read which frames are to be done again; the last is None for the end of the film, which the last shot reaches."""
    if options.shot is not None and shots is not None:
        shot = shots.named(options.shot)
        return shot.start, None if shot is shots.shots[-1] else shot.end
    first, dots, last = (options.frames or "").partition("..")
    last = last if dots else first
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"--frames must be a frame or FROM..TO, from 1 on, got {options.frames!r}")
    return int(first), int(last)


def _say_before(reader: FilmReader | FolderReader, job: FilmJob) -> None:
    """Say what of the source will be otherwise, or not at all, in the film."""
    lines = [f"not in {job.out}: {name}" for name in job.writer.left_out]
    lines += [f"in {job.out}: {change}" for change in job.writer.converted]
    if isinstance(reader, FolderReader) and reader.gaps:
        lines.append(f"{reader.path}: {reader.gaps}")
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _say_of_shots(reader: FilmReader | FolderReader, job: FilmJob) -> None:
    """Say which shots were left in their colours, and whether the film is telecined."""
    if job.in_color:
        unit = reader.facts.time_base
        shots = [f"{float(a * unit):.2f}-{float(b * unit):.2f} s" for a, b in job.in_color]
        places = ", ".join(shots[:_SHOWN_SHOTS]) + (f" and {len(shots) - _SHOWN_SHOTS} more" if shots[8:] else "")
        sys.stderr.write(f"in colour already and left as it is: {places}; --recolor colorizes that too\n")
    if reader.telecined:
        sys.stderr.write(
            f"{reader.path} looks telecined: 24 frames a second spread over the fields of 30 by 3:2 pulldown; it was "
            "colorized field by field as it is; undo the pulldown before (an inverse telecine) for true 24 frames\n"
        )


def _save_looks(job: FilmJob, shots: ShotList, out: Path, count: int) -> None:
    """Lay out gray and colour of each shot beside the film, and say where the list and the film do not end together."""
    sheet = out.with_name(f"{out.stem}.shots.jpg")
    if save_sheet(sheet, shots.shots, job.looks()):
        sys.stdout.write(f"each shot before and after: {sheet}\n")
    if shots.shots[-1].end != count:
        more = (
            "what is behind counts to the last shot"
            if shots.shots[-1].end < count
            else "the rest of the list is unused"
        )
        sys.stderr.write(f"the list ends at frame {shots.shots[-1].end}, the film at {count}: {more}\n")


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
