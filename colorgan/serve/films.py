"""Colorize films one after the other in the background; what is unfinished goes on after a restart."""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from colorgan.colorize.coloring import Coloring
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.film_job import FilmJob
from colorgan.errors import one_line
from colorgan.files import write_json
from colorgan.media.film_reader import FilmReader
from colorgan.serve.refusals import BusyError, RefusedError
from colorgan.serve.results import Results

logger = logging.getLogger(__name__)
FILM, _SOURCE, _STATE = "film.mp4", "source", "state.json"
_BATCH = 8
_REFUSED = (ValueError, OSError, av.FFmpegError)  # what readers and writers of films say of a film


class _StoppedError(Exception):
    """The server ends; the film's finished segments stay."""


class Films:
    """The films of a server.

    A film's state is `waiting`, `processing`, `succeeded` or `failed`; of the first two it goes on after a restart.

    Args:
        results: where films are kept.
        load: makes the colorizer of a checkpoint by its name.
        max_seconds: longer films are refused.
        max_waiting: films that may wait.
    """

    def __init__(
        self, results: Results, load: Callable[[str], Colorizer], *, max_seconds: float, max_waiting: int
    ) -> None:
        self.results, self.max_seconds = results, max_seconds
        self._load, self._max_waiting = load, max_waiting
        self._waiting = [name for name in results.unfinished() if (results.path(name) / _STATE).exists()]
        for name in set(results.unfinished()) - set(self._waiting):  # cut short before they were taken on
            results.drop(name)
        self._frames: dict[str, int] = {}
        self._arriving = 0  # films that are being written and looked at
        self._changed, self._closed = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="films", daemon=True)
        self._thread.start()

    def submit(self, write: Callable[[Path], object], checkpoint: str) -> str:
        """Take on a film.

        Args:
            write: puts the film's file at a path.
            checkpoint: by name.

        Returns:
            The name of the result.

        Raises:
            BusyError: too many wait.
            RefusedError: it is no film, or too long.
        """
        with self._changed:
            if len(self._waiting) + self._arriving >= self._max_waiting:
                raise BusyError(60)
            self._arriving += 1
        try:
            return self._take(write, checkpoint)
        finally:
            with self._changed:
                self._arriving -= 1

    def _take(self, write: Callable[[Path], object], checkpoint: str) -> str:
        name = self.results.begin()
        try:
            folder = self.results.path(name)
            write(folder / _SOURCE)
            frames = self._check(folder / _SOURCE)
            write_json(folder / _STATE, {"state": "waiting", "checkpoint": checkpoint, "frames": frames})
        except BaseException:
            self.results.drop(name)
            raise
        with self._changed:
            self._waiting.append(name)
            self._changed.notify()
        return name

    def state(self, name: str) -> dict[str, Any]:
        """Say how far a film is: `state`, `progress` in [0, 1], `error` if it failed.

        Raises:
            UnknownResultError: there is none, or no longer.
        """
        known = self._read(name)
        done, total = self._frames.get(name, 0), known["frames"] or 0
        progress = 1.0 if known["state"] == "succeeded" else min(0.99, done / total) if total else 0.0
        return {"id": name, "state": known["state"], "progress": round(progress, 3), "error": known.get("error")}

    def file(self, name: str) -> Path:
        """Find a finished film.

        Raises:
            UnknownResultError: there is none.
            RefusedError: it is not finished.
        """
        if self._read(name)["state"] != "succeeded":
            raise RefusedError("the film is not finished")
        return self.results.file(name, FILM)

    def close(self) -> None:
        """End after the segment that is being written; the rest waits for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _check(self, source: Path) -> int | None:
        try:
            facts = FilmReader(source).facts
        except _REFUSED as error:
            raise RefusedError(_without_path(error, source)) from error
        if facts.frames and facts.frames / facts.rate > self.max_seconds:
            raise RefusedError(
                f"the film has {float(facts.frames / facts.rate):.0f} s; allowed are {self.max_seconds:g} s"
            )
        return facts.frames

    def _read(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.results.file(name, _STATE).read_text()))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                name = self._waiting[0]
            try:
                self._colorize(name)
            except _StoppedError:
                return
            except OSError:  # not even the failure could be written: a full disk
                logger.exception("a film failed")
            with self._changed:
                self._waiting.remove(name)
                self._frames.pop(name, None)

    def _colorize(self, name: str) -> None:
        folder, known = self.results.path(name), self._read(name)
        source = folder / _SOURCE
        try:
            write_json(folder / _STATE, {**known, "state": "processing"})
            reader = FilmReader(source, keep_color=True)
            colorizer = self._load(known["checkpoint"])
            job = FilmJob(reader, folder / FILM, {"checkpoint": known["checkpoint"], "--engine": colorizer.engine})
            job.prepare(resume=True, overwrite=True)
            longest = self.max_seconds * reader.facts.rate

            def track(done: int) -> None:
                self._frames[name] = done
                if self._closed:
                    raise _StoppedError
                if done > longest + 1:
                    raise RefusedError(f"the film is longer than {self.max_seconds:g} s")

            job.run(Coloring(colorizer, _BATCH), compare=False, track=track)
            damage = {"error": f"the film is damaged: {reader.damage}"} if reader.damage else {}
            write_json(folder / _STATE, {**known, "state": "succeeded", **damage})
        except _StoppedError:
            raise
        except Exception as error:
            if not isinstance(error, _REFUSED):
                logger.exception("a film failed")
            why = _without_path(error, source)
            write_json(folder / _STATE, {**known, "state": "failed", "error": why})
        source.unlink(missing_ok=True)
        self.results.finish(name)


def _without_path(error: Exception, source: Path) -> str:
    """Word an error without the places of this machine."""
    return one_line(error).replace(str(source), "the film").replace(str(source.parent), "")
