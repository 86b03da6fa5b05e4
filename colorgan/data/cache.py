"""Seal the cache of examined photos with hashes, as a disk may cut off its files or damage what is in them."""

import hashlib
import json
import logging
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow

from colorgan.files import file_hash, write_text

logger = logging.getLogger(__name__)


def checksum(pixels: bytes | pyarrow.Buffer) -> int:
    """Compute the CRC-32 of a photo's pixels, checked when they are used: to read them all would slow every start."""
    return zlib.crc32(pixels)


def seal_arrow(file: Path) -> None:
    """Write the hash of all columns but `pixels` beside an Arrow file that has none."""
    seal = _seal_of(file)
    if not seal.exists():
        write_text(seal, _facts_hash(file))


def drop_damaged_arrow(file: Path) -> None:
    """Remove an Arrow file that cannot be read, or does not fit the hash beside it."""
    seal, found = _seal_of(file), _facts_hash(file)
    if not found or (seal.exists() and seal.read_text() != found):
        _drop(file)


def seal_file(file: Path) -> None:
    """Write the hash of a whole file beside it."""
    write_text(_seal_of(file), file_hash(file))


def drop_damaged_file(file: Path) -> None:
    """Remove a file that does not fit the hash beside it."""
    seal = _seal_of(file)
    if file.exists() and seal.exists() and seal.read_text() != file_hash(file):
        _drop(file)


def content_hash(files: Sequence[Path], cache_dir: Path) -> str:
    """Compute the hash of files in order, once: it is kept under their paths, sizes and times.

    Args:
        files: whose bytes count, and not their names.
        cache_dir: folder of the cache.
    """
    facts = [[str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    kept = cache_dir / "contents" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    if kept.is_file() and re.fullmatch(r"[0-9a-f]{64}", text := kept.read_text(errors="replace")):
        return text
    content = hashlib.sha256("".join(file_hash(file) for file in files).encode()).hexdigest()
    write_text(kept, content)
    return content


def _drop(file: Path) -> None:
    logger.warning("%s is damaged; its photos are examined again", file)
    _seal_of(file).unlink(missing_ok=True)
    file.unlink()


def _seal_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _facts_hash(file: Path) -> str:
    """Compute the hash of an Arrow file without its pixels; empty if it cannot be read."""
    try:
        table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all()
        table.validate(full=True)
        facts = [table.drop_columns("pixels").to_pydict(), sorted(map(repr, (table.schema.metadata or {}).items()))]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    except Exception:  # Arrow stumbles over damage in many ways
        return ""
