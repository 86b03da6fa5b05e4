"""Open what a data set names: files of its own, and addresses on hosts that were allowed."""

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import yaml
from datasets.utils.file_utils import xopen
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.repocard import metadata_load

from colorgan.data.fetch import fetch, read_bounded
from colorgan.media.photo import UnreadablePhotoError

_CARDS = ("README.md", ".huggingface.yaml")


class OwnFiles:
    """Open the files that belong to a data set. What it names may come from a stranger.

    Args:
        path: folder of the data set, or its name on the hub.
        hosts: that image addresses may lead to.

    Attributes:
        folders: where its files may lie on this machine.
    """

    def __init__(self, path: str, hosts: Sequence[str]) -> None:
        self.path, self.hosts = path, list(hosts)
        self.folders = [_with_blobs(Path(path).resolve())] if Path(path).is_dir() else []
        self._repositories = [path]

    def belongs_to(self, builder: datasets.DatasetBuilder) -> None:
        """Take up where the data set's own files are downloaded to."""
        if builder.repo_id and builder.repo_id not in self._repositories[1:]:
            self._repositories.append(builder.repo_id)
            name = f"datasets--{builder.repo_id.replace('/', '--')}"
            self.folders.append((Path(constants.HF_HUB_CACHE) / name).resolve())

    def content(self, image: Mapping[str, Any]) -> bytes | Path:
        """Find the bytes of an undecoded image of `datasets`, or its file.

        Args:
            image: `bytes`, or None and a `path`, which may be an address such as `zip://00.png::/photos.zip`.

        Raises:
            FileNotFoundError: there is no such archive, or no such file in it.
            UnreadablePhotoError: the file is not the data set's own, is damaged, too large, or cannot be reached.
        """
        if image["bytes"] is not None:
            return bytes(image["bytes"])
        path = str(image["path"])
        if path.startswith(("http://", "https://")):
            return fetch(path, self.hosts)
        member, archive, place = path.rpartition("::")
        if member and not re.match(r"zip://(?!.*::)", member):
            raise UnreadablePhotoError(f"{path} is not opened: only zip archives are")
        if "://" not in place:
            file = self._own_file(place, path)
            if not archive:
                return file
            place = str(file)
        elif not self._is_own_address(place):
            raise UnreadablePhotoError(f"{path} is not opened, as it is no file of {self.path} (data.path)")
        return _read(f"{member}{archive}{place}", path)

    def _own_file(self, place: str, shown: str) -> Path:
        """Find a local file, links followed; relative names are inside the data set."""
        for folder in self.folders:
            file = (folder / place).resolve()
            if file.is_relative_to(folder):
                if file.exists() and not file.is_file():
                    raise UnreadablePhotoError(f"{shown} is no file")
                return file
        raise UnreadablePhotoError(
            f"{shown} is not opened, as it lies outside the data set {self.path}; photos of your own may be linked "
            "with data=folder (data.path)"
        )

    def _is_own_address(self, place: str) -> bool:
        own = "|".join(map(re.escape, self._repositories))
        return re.match(rf"hf://datasets/({own})(@[^/]+)?/", place) is not None and ".." not in place.split("/")


def _read(address: str, shown: str) -> bytes:
    try:
        with xopen(address, "rb") as file:
            return read_bounded(file, shown)
    except (FileNotFoundError, UnreadablePhotoError):
        raise
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise UnreadablePhotoError(f"{shown} cannot be read: {error}") from error


def _with_blobs(folder: Path) -> Path:
    """Widen a snapshot in the cache of the hub to its repository: the files of a snapshot are links beside it."""
    repository = folder.parent.parent
    return repository if folder.parent.name == "snapshots" and (repository / "blobs").is_dir() else folder


def check_card(path: str) -> None:
    """Refuse a data set whose card names files that are not its own, before anything is resolved.

    Raises:
        ValueError: names the file.
    """
    for name in _CARDS:
        file = _card_file(path, name)
        if file is None:
            continue
        card = metadata_load(file) if file.suffix == ".md" else yaml.safe_load(file.read_text())
        configs = card.get("configs") if isinstance(card, dict) else None
        for config in configs if isinstance(configs, list) else []:
            for place in _strings(
                [config.get("data_files"), config.get("data_dir")] if isinstance(config, dict) else []
            ):
                if (
                    "://" in place
                    or "::" in place
                    or place.startswith(("/", "~"))
                    or ".." in PurePosixPath(place).parts
                ):
                    raise ValueError(f"{name} of {path} names {place}, which is no file of its own (data.path)")


def _card_file(path: str, name: str) -> Path | None:
    if Path(path).is_dir():
        file = Path(path) / name
        return file if file.is_file() else None
    try:
        return Path(hf_hub_download(path, name, repo_type="dataset"))
    except Exception:  # no card, no such data set, no network: loading says which
        return None


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
