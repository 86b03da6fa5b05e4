"""List the photos of folders as their owner sees them: links are followed, and what is left out is counted."""

import logging
import os
import stat
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from colorgan.data.sources import Row, Source
from colorgan.media.photo import PHOTO_ENDINGS, read_photo, read_reduced_photo

logger = logging.getLogger(__name__)


class FolderSource(Source):
    """Take all photos in a folder and its subfolders, in the order of their paths.

    Args:
        path: the folder, a photo, or a list of these. Photos are named by their path inside the folder; with several,
            inside the deepest folder that holds all of them.
    """

    def __init__(self, path: str | Sequence[str]) -> None:
        self.places = open_places(path, "photo")
        if others := [place for place in self.places if place.is_file() and _ending(place.name) not in PHOTO_ENDINGS]:
            raise ValueError(f"{others[0]} is no photo; allowed are {' '.join(sorted(PHOTO_ENDINGS))} (data.path)")
        self.path = common_folder(self.places)
        self._left_out: dict[str, int] = {}

    def listing(self) -> datasets.Dataset:
        """Every file with a photo's extension; size and time tell the cache when one changes."""
        search = Search(self.path, PHOTO_ENDINGS)
        search.look_into(self.places)
        self._left_out = dict(search.left_out)
        if not search.files:
            left_out = f"; left out: {counted(self._left_out)}" if self._left_out else ""
            raise FileNotFoundError(
                f"no photos in {shown(self.places)}; looked for {' '.join(sorted(PHOTO_ENDINGS))}{left_out} (data.path)"
            )
        found = sorted(search.files, key=lambda row: row[0].split("/"))
        return datasets.Dataset.from_dict(
            dict(zip(("name", "bytes", "modified_ns"), zip(*found, strict=True), strict=True))
        )

    def open(self, row: Row) -> Image.Image:
        """Read the file."""
        return read_photo(self.path / row["name"])

    def open_reduced(self, row: Row, least_side: int) -> Image.Image:
        """Read the file, a JPEG no larger than needed."""
        return read_reduced_photo(self.path / row["name"], least_side)

    def describe(self) -> dict[str, Any]:
        """Kind and path."""
        return {"kind": "folder", "path": shown(self.places)}

    def left_out(self) -> dict[str, int]:
        """Count what lay in the folders, when they were listed, and is no photo or was not reached."""
        return self._left_out


class ReferencesSource(FolderSource):
    """Take the repaired references of a film: pictures of its own, which runs on photos have not seen."""

    def describe(self) -> dict[str, Any]:
        """Kind and path."""
        return {**super().describe(), "kind": "references"}


def open_places(path: str | Sequence[str], kind: str) -> list[Path]:
    """Find the folders and files of a `data.path`; `kind` says what files are, in messages.

    Raises:
        FileNotFoundError: one does not exist.
        ValueError: there are none.
    """
    places = [Path(one).expanduser() for one in ([path] if isinstance(path, str) else path)]
    if not places:
        raise ValueError("data.path is an empty list: give a folder, or several as [a,b]")
    if missing := [place for place in places if not place.exists()]:
        raise FileNotFoundError(f"no folder or {kind} {missing[0]} (data.path)")
    return places


def common_folder(places: Sequence[Path]) -> Path:
    """Find the folder that names begin in: the one given, or the deepest that holds several."""
    folders = [place if place.is_dir() else place.parent for place in places]
    return folders[0] if len(folders) == 1 else Path(os.path.commonpath(map(_absolute, folders)))


def shown(places: Iterable[Path]) -> str:
    """Name places in a message or a record."""
    return ", ".join(map(str, places))


def counted(left_out: Counter[str] | dict[str, int]) -> str:
    """Say how many were left out, by reason."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())


class Search:
    """Search folders for files. Each folder is read once, and each file listed once, however many links lead there.

    Plain strings, as paths take ten times as long.

    Args:
        root: folder that names begin in.
        endings: of the files to list, in lower case.

    Attributes:
        files: name, size and time of each.
        left_out: how many files, links and folders were not listed or read, by reason.
    """

    def __init__(self, root: Path, endings: Collection[str]) -> None:
        self.files: list[tuple[str, int, int]] = []
        self.left_out: Counter[str] = Counter()
        self._root, self._endings = root, endings
        self._read: set[str] = set()  # folders and linked files, by their real paths
        self._linked_folders: deque[str] = deque()
        self._linked_files: list[str] = []

    def look_into(self, places: Sequence[Path]) -> None:
        """List what is in some folders, and single files; links last, so that names go without them where they can."""
        files = []
        for place in places:
            path = str(place) if place == self._root else _absolute(place)
            name = "" if place == self._root else os.path.relpath(path, _absolute(self._root)).replace(os.sep, "/")
            if place.is_file():
                files.append(name)
            else:
                self._look_into(path, "" if name in ("", ".") else f"{name}/")
        while self._linked_folders:
            name = self._linked_folders.popleft()
            if not self._look_into(self._path(name), f"{name}/"):
                self.left_out["linked twice"] += 1
        for name in files:
            self._add_once(name)
        for name in sorted(self._linked_files):
            if not self._add_once(name):
                self.left_out["linked twice"] += 1

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)  # noqa: PTH118

    def _look_into(self, path: str, inside: str) -> bool:
        """List what is in a folder and below; tell whether this is the first time."""
        waiting = [(path, inside, os.path.realpath(path))]
        if waiting[0][2] in self._read:
            return False
        while waiting:
            path, inside, real = waiting.pop()
            if real in self._read:
                continue
            self._read.add(real)
            try:
                with os.scandir(path) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._leave_out("unreadable folders", path, error.strerror)
                continue
            for entry in found:
                if self._add(entry, f"{inside}{entry.name}"):
                    waiting.append((entry.path, f"{inside}{entry.name}/", os.path.join(real, entry.name)))  # noqa: PTH118
        return True

    def _add(self, entry: os.DirEntry[str], name: str) -> bool:
        """List a file or keep a link for later; tell whether it is a folder to look into."""
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name.startswith("."):
            self.left_out["hidden folders" if is_folder else "hidden files"] += 1
            return False
        if is_folder:
            return True
        try:
            facts = entry.stat()
        except OSError as error:
            self._leave_out("dangling links" if entry.is_symlink() else "unreadable files", entry.path, error.strerror)
            return False
        if entry.is_symlink() and stat.S_ISDIR(facts.st_mode):
            self._linked_folders.append(name)
        elif entry.is_symlink() and _ending(name) in self._endings:
            self._linked_files.append(name)
        else:
            self._add_file(name, facts)
        return False

    def _add_file(self, name: str, facts: os.stat_result) -> None:
        ending = _ending(name)
        if not stat.S_ISREG(facts.st_mode):
            self.left_out["special files"] += 1
        elif ending not in self._endings:
            self.left_out[ending or "files without ending"] += 1
        else:
            self.files.append((name, facts.st_size, facts.st_mtime_ns))

    def _add_once(self, name: str) -> bool:
        """List a file that is given or linked, unless it is listed under another name; tell whether it was."""
        real = os.path.realpath(self._path(name))
        folder, file = os.path.split(real)
        listed_there = folder in self._read and not file.startswith(".") and _ending(file) in self._endings
        if listed_there or real in self._read:
            return False
        self._read.add(real)
        self._add_file(name, os.stat(real))  # noqa: PTH116
        return True

    def _leave_out(self, reason: str, path: str, why: str | None) -> None:
        self.left_out[reason] += 1
        logger.warning("left out: %s: %s", path, why)


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links stay, as names are what the owner sees


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122
