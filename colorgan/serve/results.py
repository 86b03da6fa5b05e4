"""Keep results on disk under names that nobody can guess, for some time and up to some size."""

import re
import shutil
import time
import uuid
from pathlib import Path

from colorgan.files import write_text
from colorgan.serve.refusals import BusyError, UnknownResultError

_OPEN = "open"  # a file that marks a result in the making: it is not thrown away
_UNKNOWN = "there is no such result; it may have expired"


class Results:
    """A folder with a folder a result.

    Args:
        folder: made where it is missing.
        keep_seconds: how long a result is kept.
        max_bytes: when all together are larger, the oldest go first.
    """

    def __init__(self, folder: Path, *, keep_seconds: float, max_bytes: float) -> None:
        self.folder, self.keep_seconds, self.max_bytes = folder, keep_seconds, max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self.clean()

    def begin(self) -> str:
        """Make a result's folder, and room for it; `finish` ends it.

        Raises:
            BusyError: what is in the making fills the room.
        """
        if self._bytes > self.max_bytes:
            self.clean()
        if self._bytes > self.max_bytes:
            raise BusyError(60)
        name = str(uuid.uuid4())  # 122 random bits of the system's generator
        write_text(self.folder / name / _OPEN, "")
        return name

    def finish(self, name: str) -> None:
        """Let a result expire from now on."""
        folder = self.path(name)
        (folder / _OPEN).unlink(missing_ok=True)
        folder.touch()
        self._bytes += _size(folder)

    def drop(self, name: str) -> None:
        """Throw a result away."""
        shutil.rmtree(self.path(name), ignore_errors=True)

    def path(self, name: str) -> Path:
        """Find the folder of a result.

        Raises:
            UnknownResultError: there is none, or no longer.
        """
        folder = self.folder / name
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name) or not folder.is_dir():
            raise UnknownResultError(_UNKNOWN)
        if not (folder / _OPEN).exists() and time.time() - folder.stat().st_mtime > self.keep_seconds:
            raise UnknownResultError(_UNKNOWN)
        return folder

    def file(self, name: str, what: str) -> Path:
        """Find a file of a result; see `path`."""
        file = self.path(name) / what
        if not file.is_file():
            raise UnknownResultError(_UNKNOWN)
        return file

    def unfinished(self) -> list[str]:
        """List the results in the making, the oldest first: after a crash, those that it cut short."""
        return [folder.name for folder in self._folders() if (folder / _OPEN).exists()]

    def clean(self) -> None:
        """Throw away what is expired, and the oldest where all together are too large.

        To be called from time to time; what comes in between is added up.
        """
        sizes = {folder: _size(folder) for folder in self._folders()}
        self._bytes = sum(sizes.values())
        for folder, size in sizes.items():
            expired = time.time() - _age(folder) > self.keep_seconds
            if (expired or self._bytes > self.max_bytes) and not (folder / _OPEN).exists():
                shutil.rmtree(folder, ignore_errors=True)
                self._bytes -= size

    def _folders(self) -> list[Path]:
        return sorted((path for path in self.folder.iterdir() if path.is_dir()), key=_age)


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # thrown away by another request
        return 0.0


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
