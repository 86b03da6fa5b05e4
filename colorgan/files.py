"""Write files whole or not at all, hash them, and read back what a bad disk may have damaged."""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a file its name only when it is complete and on the disk.

    Yields a temporary path in the same folder, which is made where it is missing. After a crash or a power cut `path`
    has the new content or the old one, whole; after an exception the old one, and the temporary file is gone. The
    temporary name has another ending, so that no pattern for finished files finds it: writers must be told the format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # of a crash, by somebody else perhaps
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers make files that only their owner may read
        _put_in_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename a written file: its content goes to the disk before the name does, the name before what follows."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot do it to a folder
            raise
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, keys sorted."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file atomically."""
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


class Writer:
    """Write files in one thread, in the order in which they are given, while the program goes on.

    What is written must be a copy, or it changes meanwhile. After a failure nothing more is written, so that a later
    file never stands there without those that belong before it.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=_compute_alone)
        self._begun: list[Future[None]] = []
        self._failed = False

    def submit(self, write: Callable[[], None]) -> None:
        """Begin to write behind what is being written; of more than that, waits for the end.

        Raises:
            OSError: what was given before could not be written.
        """
        while len(self._begun) > 1:
            self._begun.pop(0).result()
        self._begun.append(self._thread.submit(self._run, write))

    def _run(self, write: Callable[[], None]) -> None:
        if not self._failed:
            self._failed = True
            write()
            self._failed = False

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: something could not be written.
        """
        begun, self._begun = self._begun, []
        for file in begun:
            file.result()


def _compute_alone() -> None:
    """Keep torch in this thread to one core.

    A second thread with helpers of its own makes more threads than cores, and then OpenMP no longer lets them wait
    actively: the many short operations of a training step take half as long again, until the process ends.
    """
    import torch

    torch.set_num_threads(1)


def file_hash(path: Path) -> str:
    """Compute the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Make a sort key that puts frame10 behind frame9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.as_posix())]


def read_json_lines(path: Path, needed: Mapping[str, type]) -> list[dict[str, Any]]:
    """Read a file with a JSON object a line; damaged lines are left out, with one warning a file.

    Args:
        path: the file; a missing one has no records.
        needed: type by key of what a whole record has.
    """
    records, damaged = [], 0
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            record = json.loads(line.decode()) if line.strip() else None
        except (ValueError, RecursionError):
            damaged += 1
            continue
        if isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in needed.items()):
            records.append(record)
        else:
            damaged += bool(line.strip())
    if damaged:
        _warn_of(path, damaged)
    return records


@cache
def _warn_of(path: Path, damaged: int) -> None:
    logger.warning("%s: %d damaged lines are left out", path, damaged)
