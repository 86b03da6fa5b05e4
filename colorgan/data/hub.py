"""Take photos from data sets of the Hugging Face hub, or local ones in one of its formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from colorgan.data.own_files import OwnFiles, check_card
from colorgan.data.sources import Row, Source
from colorgan.media.photo import UnreadablePhotoError, read_photo, read_reduced_photo


class HubSource(Source):
    """Take an image dataset of the Hugging Face hub, or a local folder in one of its formats.

    Args:
        path: dataset name such as `uoft-cs/cifar10`, or a local path that `datasets.load_dataset` reads.
        name: configuration of the dataset.
        split: split to take.
        image_column: column with the images; found by its type if None.
        hosts: names of hosts that image addresses in the data may lead to.
    """

    def __init__(
        self,
        path: str,
        *,
        name: str | None = None,
        split: str = "train",
        image_column: str | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        if odd := [host for host in hosts if not host or set(host) & set("/:@*")]:
            raise ValueError(f"{odd[0]!r} is no name of a host: give names such as images.example.org (data.hosts)")
        self.path, self.name, self.split = path, name, split
        self.image_column, self.hosts = image_column, list(hosts)
        self.files = OwnFiles(path, self.hosts)

    def listing(self) -> datasets.Dataset:
        """The dataset itself, images left undecoded."""
        dataset = self._load(streaming=False)
        return dataset.add_column("name", [f"{self.split}/{index:08d}" for index in range(len(dataset))])

    def stream(self) -> datasets.IterableDataset:
        """The photos one by one, undecoded, in the column `image`; nothing is downloaded beforehand."""
        return self._load(streaming=True)

    def version(self) -> str:
        """Tell one state of the data set's files from another: by their times, or by their revision on the hub."""
        builder = self._builder()
        return f"{builder.config_id} {builder.hash}"

    def _builder(self) -> datasets.DatasetBuilder:
        check_card(self.path)
        try:
            return datasets.load_dataset_builder(self.path, name=self.name)
        except Exception as error:  # the library raises its own, huggingface_hub's and requests' errors
            raise self._not_loaded(error) from error

    def _not_loaded(self, error: Exception) -> FileNotFoundError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return FileNotFoundError(f"dataset {self.path!r} cannot be loaded: {reason} (data.path)")

    def _load(self, *, streaming: bool) -> Any:
        builder = self._builder()
        self.files.belongs_to(builder)
        try:
            if streaming:
                dataset = builder.as_streaming_dataset(self.split)
            else:
                builder.download_and_prepare()
                dataset = builder.as_dataset(self.split)
            features = dataset.features or dataset._resolve_features().features
        except Exception as error:
            raise self._not_loaded(error) from error
        images = [column for column, kind in features.items() if isinstance(kind, datasets.Image)]
        column = self.image_column or next(iter(images), None)
        if column not in images:
            raise ValueError(f"{self.path} has image columns {images}, not {column!r} (data.image_column)")
        dataset = dataset.select_columns([column])
        if column != "image":
            dataset = dataset.rename_column(column, "image")
        return dataset.cast_column("image", datasets.Image(decode=False))

    def open(self, row: Row) -> Image.Image:
        """Decode the image."""
        return read_photo(self._content(row))

    def open_reduced(self, row: Row, least_side: int) -> Image.Image:
        """Decode the image, a JPEG no larger than needed."""
        return read_reduced_photo(self._content(row), least_side)

    def _content(self, row: Row) -> Path | bytes:
        image = row["image"]
        if image is None or (image["bytes"] is None and image["path"] is None):
            raise UnreadablePhotoError(f"{row['name']} has no image")
        return self.files.content(image)

    def describe(self) -> dict[str, Any]:
        """Kind, name, configuration, split, and hosts if any are allowed: more photos can be read then."""
        facts = {"kind": "hub", "path": self.path, "name": self.name, "split": self.split}
        return {**facts, "hosts": self.hosts} if self.hosts else facts
