"""Files of a run on disk: what a crash or a bad disk has damaged is told apart from what is whole."""

import json
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


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
