"""Keep a film that is being colorized in segments, so that a run which was stopped can go on."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.pipeline import Colored, SegmentEnd, beside_gray, color_stream
from colorgan.colorize.smoothing import ChromaSmoother
from colorgan.files import atomic, write_json, write_text
from colorgan.media.film_reader import FilmReader
from colorgan.media.film_writer import FilmWriter, open_writer
from colorgan.media.frame_folder import FolderReader, FrameFolderWriter


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
        self._step = max(1, round(1 / (source.facts.rate * source.facts.time_base)))  # of a frame
        self.in_color: list[tuple[int, int]] = []  # after `run`: from, to, in the source's units

    def prepare(self, *, resume: bool, overwrite: bool) -> None:
        """Make the folder of parts, or check that the one which is there can be gone on with.

        Raises:
            ValueError: something is there already; or `resume` with other options than before, and which.
        """
        log = self.folder / "job.json"
        if resume and log.exists():
            before = _read(log)
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

    def run(
        self, colorizer: Colorizer, *, batch: int, smooth: float, compare: bool, track: Callable[[int], None]
    ) -> int:
        """Colorize what is not done yet, then join all segments; returns the number of frames of the whole film.

        Args:
            colorizer: the trained generator.
            batch: frames that go through the network at once.
            smooth: weight of the frame before, 0 for none.
            compare: write gray and colour side by side.
            track: called with the number of finished frames after each.
        """
        done, count = self.frames_done(), len(self._segments())
        smoother = ChromaSmoother(strength=smooth, gray_rule=colorizer.gray_rule) if smooth else None
        if smoother is not None and count:
            with np.load(self._path(count - 1, ".npz")) as state:
                smoother.load_state(dict(state))
        rest = islice(self.source.frames(), done, None)
        stream = color_stream(rest, colorizer, self.source.facts, batch_size=batch, smoother=smoother)
        with closing(stream):
            while (first := next(stream, None)) is not None:
                assert isinstance(first, Colored)
                segment = self._write_segment(count, done, chain([first], stream), compare=compare, track=track)
                write_json(self._path(count, ".json"), segment)
                done, count = done + segment["frames"], count + 1
        segments = self._segments()
        self.writer.join([segment["first_time"] for segment in segments])
        if isinstance(self.writer, FrameFolderWriter):
            self.writer.cut(done)
        self.in_color = _merged((shot for segment in segments for shot in segment["in_color"]), self._step)
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
    ) -> dict[str, Any]:
        """Write up to the next segment's end, and the state of the smoothing; returns what to remember of it."""
        times, in_color, state = [], [], {}
        with self.writer.segment(number, before):
            for item in items:
                if isinstance(item, SegmentEnd):
                    state = item.state
                    break
                self.writer.write(*(beside_gray(item, self.source.facts) if compare else item))
                times.append(item.frame.time)
                if item.frame.rgb is not None:
                    in_color.append((item.frame.time, item.frame.time + (item.frame.duration or self._step)))
                track(before + len(times))
        if isinstance(self.writer, FilmWriter):
            names = [self.writer.segment_path(n).name for n in range(number + 1)]
            write_text(self.playlist, "".join(f"{name}\n" for name in names))
        if state:
            with atomic(self._path(number, ".npz")) as temporary, temporary.open("wb") as file:
                np.savez(file, **state)  # type: ignore[arg-type]
        return {"frames": len(times), "first_time": times[0], "in_color": _merged(in_color, self._step)}

    def _segments(self) -> list[dict[str, Any]]:
        return [_read(file) for file in sorted(self.folder.glob("[0-9]*.json"))]

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
