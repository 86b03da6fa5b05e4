"""Keep the page's files in a folder of this process, for some time and up to some size."""

import atexit
import os
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path


@cache
def page_folder() -> Path:
    """Make the folder, which ends with the process, and have Gradio use it, whose own choice all users share."""
    folder = Path(tempfile.mkdtemp(prefix="colorgan-page-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def new_file(name: str) -> Path:
    """Name a file in a folder of its own."""
    return Path(tempfile.mkdtemp(dir=page_folder())) / name


def clean(*, keep_seconds: float, max_bytes: float, keep: set[Path]) -> None:
    """Throw away what is old, and the oldest where all together are too large.

    Gradio's own cleaning knows neither a size nor files that it was not shown.
    """
    files = []
    for path in set(page_folder().rglob("*")) - keep:
        try:
            facts = path.stat()
            if not path.is_dir():
                files.append((facts.st_mtime, facts.st_size, path))
            elif time.time() - facts.st_mtime > keep_seconds and not any(path.iterdir()):
                path.rmdir()
        except OSError:  # thrown away, or filled, meanwhile
            continue
    size = sum(size for _, size, _ in files)
    for modified, bytes_, path in sorted(files):
        if time.time() - modified > keep_seconds or size > max_bytes:
            path.unlink(missing_ok=True)
            size -= bytes_
