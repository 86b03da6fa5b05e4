"""Files of a run on disk: written whole or not at all; what a bad disk has damaged is told apart from what is whole."""

import errno
import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a written file its name; after a power cut the name has the new content or the old one, whole.

    The content goes to the disk before the name does, and the name before anything that is written later.
    """
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


def read_json_lines(path: Path, needed: Mapping[str, type]) -> list[dict[str, Any]]:
    """The records of a file with a JSON object a line; damaged lines are left out, with one warning a file.

    Args:
        path: the file; none of it is no record.
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
