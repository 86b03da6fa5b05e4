"""Keep a film that is being colorized in segments, so that a run which was stopped can go on."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from copy import copy
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colorgan.colorize import pipeline
from colorgan.colorize.coloring import Coloring
from colorgan.colorize.pipeline import Colored, SegmentEnd, beside_gray
from colorgan.colorize.shot_list import ShotList
from colorgan.colorize.shot_sheet import SIDE
from colorgan.files import atomic, write_json, write_text
from colorgan.media.film_reader import FilmReader
from colorgan.media.film_writer import FilmWriter, open_writer
from colorgan.media.frame_folder import FolderReader, FrameFolderWriter
from colorgan.media.photo import read_photo, save_photo
from colorgan.media.sheet import fitted


class FilmJob:
    """A film to colorize, and the folder `<out>.parts` in which it grows until it is whole.

    Each finished segment has a `.json` there, which is written last: what was stopped at any moment goes on behind it.
    Where the parts are kept, some of them can be done again and put into the film.

    Args:
        source: the film or the folder of frames.
        out: the film (its ending says the codec, see `film_writer`), or a folder for numbered PNG files.
        identity: all that changes the result, as JSON values; a job goes on with the same only.
        keep_parts: leave the parts there when the film is whole.

    Raises:
        ValueError: the ending of `out`, or sound or subtitles that it cannot hold.
    """

    def __init__(
        self, source: FilmReader | FolderReader, out: Path, identity: Mapping[str, Any], *, keep_parts: bool = False
    ) -> None:
        self.source, self.out, self.keep_parts = source, out, keep_parts
        self.folder = out.with_name(f"{out.name}.parts")
        self.playlist = self.folder / "play.m3u"
        self.identity = {"source": source.identity(), **identity}
        self.writer = open_writer(source, out, self.folder)
        self._step = max(1, round(1 / (source.facts.rate * source.facts.time_base)))  # of a frame
        self._log, self._whole, self._joined = (
            self.folder / name for name in ("job.json", "whole.json", "joined.json")
        )
        self.in_color: list[tuple[int, int]] = []  # after `run`: from, to, in the source's units

    def is_finished(self) -> bool:
        """Whether the film is there, with all that its parts hold.

        Raises:
            ValueError: its parts were made otherwise.
        """
        if not self.writer.is_finished() or (self.folder.exists() and not self._joined.exists()):
            return False
        if self._log.exists():
            self._compare(list(self.identity), "without --resume, --shot and --frames do a part again, --overwrite all")
        return True

    def prepare(self, *, resume: bool, overwrite: bool) -> None:
        """Make the folder of parts, or check that the one which is there can be gone on with.

        Raises:
            ValueError: something is there already; or `resume` with other options than before, and which.
        """
        unfinished = self._log.exists() and not self._joined.exists()
        if resume and self._log.exists():
            self._compare(list(self.identity), "--overwrite starts anew")
            return
        if unfinished and not overwrite:
            raise ValueError(f"{self.folder} holds an unfinished run; --resume goes on, --overwrite starts anew")
        if self.writer.is_finished() and not overwrite:
            raise ValueError(f"{self.out} exists; use --overwrite or another --out")
        shutil.rmtree(self.folder, ignore_errors=True)
        write_json(self._log, self.identity)

    def prepare_part(self, first: int, last: int | None, *, same: Sequence[str]) -> None:
        """Drop the segments of some frames of a finished film, so that `run` does them again.

        Args:
            first: frame, from 1 on.
            last: frame; None for the last of the film.
            same: keys of the identity that must be as before.

        Raises:
            ValueError: there are no parts of a whole film, or no such frames.
        """
        if not self._whole.exists():
            raise ValueError(
                f"no parts of a whole film in {self.folder}: a film that was colorized with --shots has them"
            )
        self._compare(["source", *same], "it must be the same in all parts")
        frames = _read(self._whole)["frames"]
        last = frames if last is None else last
        if not 1 <= first <= last <= frames:
            raise ValueError(f"frames {first} to {last} cannot be done again; the film has frames 1 to {frames}")
        self._joined.unlink(missing_ok=True)
        for number in range((first - 1) // pipeline.SEGMENT_FRAMES, (last - 1) // pipeline.SEGMENT_FRAMES + 1):
            self._path(number, ".json").unlink(missing_ok=True)
            self._path(number, ".npz").unlink(missing_ok=True)  # what follows must not go on from it
        write_json(self._log, self.identity)  # last: what is resumed as this run has none of these segments

    def _compare(self, keys: Sequence[str], hint: str) -> None:
        before = _read(self._log)
        other = [key for key in keys if before.get(key) != self.identity[key]]
        if other:
            was = ", ".join(f"{key} was {before.get(key)}, is {self.identity[key]}" for key in other)
            raise ValueError(f"{self.folder} was begun otherwise: {was}; {hint}")

    def frames_done(self) -> int:
        """Count the frames of the finished segments."""
        return sum(segment["frames"] for segment in self._segments().values())

    def run(self, coloring: Coloring, *, compare: bool, track: Callable[[int], None]) -> int:
        """Colorize what is not done yet, then join all segments; returns the number of frames of the whole film.

        Args:
            coloring: how.
            compare: write gray and colour side by side.
            track: called with the number of finished frames after each.
        """
        while (number := self._next()) is not None:
            self._run_from(number, coloring, compare=compare, track=track)
        segments = [*self._segments().values()]
        self.writer.join([segment["first_time"] for segment in segments])
        done = self.frames_done()
        if isinstance(self.writer, FrameFolderWriter):
            self.writer.cut(done)
        self.in_color = _merged((shot for segment in segments for shot in segment["in_color"]), self._step)
        if self.keep_parts:
            write_json(self._joined, {"frames": done})
        else:
            shutil.rmtree(self.folder)
        return done

    def _next(self) -> int | None:
        """Find the first segment that is missing; None if all are there."""
        there = self._segments()
        number = _read(self._whole)["segments"] if self._whole.exists() else len(there) + 1
        return next((place for place in range(number) if place not in there), None)

    def _run_from(self, number: int, coloring: Coloring, *, compare: bool, track: Callable[[int], None]) -> None:
        """Colorize from a segment on, to the next that is there or to the end of the film."""
        before, state = number * pipeline.SEGMENT_FRAMES, {}
        if number and self._path(number - 1, ".npz").exists():
            with np.load(self._path(number - 1, ".npz")) as stored:
                state = dict(stored)
        sources = chain([self.source], (copy(self.source) for _ in count()))  # each tells its own damage
        stream = coloring.stream(lambda: next(sources).frames(), self.source.facts, state, before=before)
        with closing(stream):
            while number not in self._segments():
                if (first := next(stream, None)) is None:
                    write_json(self._whole, {"segments": number, "frames": before})
                    break
                assert isinstance(first, Colored)
                segment = self._write_segment(
                    number, before, chain([first], stream), coloring.shots, compare=compare, track=track
                )
                write_json(self._path(number, ".json"), segment)
                before, number = before + segment["frames"], number + 1

    def _write_segment(
        self,
        number: int,
        before: int,
        items: Iterable[Colored | SegmentEnd],
        shots: ShotList | None,
        *,
        compare: bool,
        track: Callable[[int], None],
    ) -> dict[str, Any]:
        """Write up to the next segment's end, and the state of the smoothing; returns what to remember of it."""
        times, in_color, state, done = [], [], {}, self.frames_done()
        with self.writer.segment(number, before):
            for item in items:
                if isinstance(item, SegmentEnd):
                    state = item.state
                    break
                self.writer.write(*(beside_gray(item, self.source.facts) if compare else item))
                times.append(item.frame.time)
                if shots is not None and item.frame.number == shots.at(item.frame.number).middle:
                    both = Image.fromarray(beside_gray(item, self.source.facts).rgb)
                    save_photo(fitted(both, 2 * SIDE), self.folder / f"look-{item.frame.number}.png")
                if item.frame.rgb is not None and shots is None:
                    in_color.append((item.frame.time, item.frame.time + (item.frame.duration or self._step)))
                track(done + len(times))
        if isinstance(self.writer, FilmWriter):
            names = [self.writer.segment_path(n).name for n in sorted({*self._segments(), number})]
            write_text(self.playlist, "".join(f"{name}\n" for name in names))
        if state:
            with atomic(self._path(number, ".npz")) as temporary, temporary.open("wb") as file:
                np.savez(file, **state)  # type: ignore[arg-type]
        return {"frames": len(times), "first_time": times[0], "in_color": _merged(in_color, self._step)}

    def looks(self) -> dict[int, Image.Image]:
        """Read the pictures that stand for shots, gray beside colour, by their frames."""
        files = {int(file.stem.removeprefix("look-")): file for file in self.folder.glob("look-*.png")}
        return {number: read_photo(file) for number, file in files.items()}

    def _segments(self) -> dict[int, dict[str, Any]]:
        return {int(file.stem): _read(file) for file in sorted(self.folder.glob("[0-9]*.json"))}

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"{number:05d}{suffix}"


def _read(file: Path) -> dict[str, Any]:
    """Read what an interrupted run left.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return dict(json.loads(file.read_text()))
    except ValueError as error:
        raise ValueError(f"{file} is damaged, so --resume cannot go on; --overwrite starts anew") from error


def _merged(shots: Iterable[Sequence[int]], step: int) -> list[tuple[int, int]]:
    """Join spans of time that are less than a frame apart."""
    merged: list[tuple[int, int]] = []
    for start, end in shots:
        if merged and start < merged[-1][1] + step:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged
