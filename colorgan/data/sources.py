"""Where photos come from. A source lists photos cheaply and opens one at a time."""

import importlib.util
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import datasets
import numpy as np
from datasets.utils.file_utils import xopen
from PIL import Image

from colorgan.data.synthetic import draw_scene
from colorgan.media.photo import PHOTO_ENDINGS, UnreadablePhotoError, read_photo
from colorgan.ranges import Count, Seed

Row = Mapping[str, Any]


class Source(Protocol):
    """A set of photos.

    `listing` has a column `name` (unique) and may have two others:

    - `group`: photos of one group are no independent evidence; they always stay in the same split, unless
    - `held_out` (bool) says of each photo whether it is never trained on. Such a source decides the split itself,
      whatever the seed and the share, and its `describe` may say under `held_out` what these photos are.
    """

    def listing(self) -> datasets.Dataset:
        """One row a photo; made without decoding."""

    def open(self, row: Row) -> Image.Image:
        """The photo of a row.

        Raises:
            UnreadablePhotoError: it is damaged.
        """

    def describe(self) -> dict[str, Any]:
        """What identifies the set in a record."""


class FolderSource:
    """All photos in a folder and its subfolders, in the order of their paths.

    Args:
        path: the folder.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise FileNotFoundError(f"no folder {self.path} (data.path)")

    def listing(self) -> datasets.Dataset:
        """Every file with a photo's extension; size and time tell the cache when one changes."""
        found = sorted(_photo_files(str(self.path)), key=lambda row: row[0].split("/"))
        if not found:
            raise FileNotFoundError(
                f"no photos in {self.path}; looked for {' '.join(sorted(PHOTO_ENDINGS))} (data.path)"
            )
        return datasets.Dataset.from_dict(
            dict(zip(("name", "bytes", "modified_ns"), zip(*found, strict=True), strict=True))
        )

    def open(self, row: Row) -> Image.Image:
        """Read the file."""
        return read_photo(self.path / row["name"])

    def describe(self) -> dict[str, Any]:
        """Kind and path."""
        return {"kind": "folder", "path": str(self.path)}


def _photo_files(root: str) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of every photo below a folder; with plain strings, as paths take ten times as long."""
    for folder, _, files in os.walk(root):
        inside = os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        for file in files:
            if os.path.splitext(file)[1].lower() in PHOTO_ENDINGS:  # noqa: PTH122
                with suppress(FileNotFoundError):  # a broken link
                    facts = os.stat(f"{folder}/{file}")  # noqa: PTH116
                    if stat.S_ISREG(facts.st_mode):
                        yield f"{inside}{file}".removeprefix("./"), facts.st_size, facts.st_mtime_ns


# Colour photos inside the wheels of scikit-image and scikit-learn, by file. Left out: pictures through telescope
# and microscope, and motorcycle_right, which is nearly motorcycle_left.
_BUILT_IN_PHOTOS = {
    "astronaut.png": ("skimage", "data"),  # public domain
    "chelsea.png": ("skimage", "data"),  # CC0
    "coffee.png": ("skimage", "data"),  # CC0
    "motorcycle_left.png": ("skimage", "data"),  # Middlebury stereo data set
    "rocket.jpg": ("skimage", "data"),  # public domain
    "china.jpg": ("sklearn", "datasets", "images"),  # CC BY 2.0, Dan Tsai
    "flower.jpg": ("sklearn", "datasets", "images"),  # CC BY 2.0, Dan Gezelter
}
_LEAST_SIDE = 0.7  # of a view, as a share of the largest square that fits


class SamplesSource:
    """Photos that installed packages carry, each cut into overlapping square views of several sizes.

    Seven photos are enough to see every stage work, not for a claim about quality. So they are split by region: the
    lower right quarter of each is held out, views of its left half and of its upper half are trained on, and no pixel
    is in both. The photo is the group.

    Args:
        views_per_photo: views to train on.
        held_out_per_photo: views of the quarter that is held out.
    """

    def __init__(self, views_per_photo: Count = 24, held_out_per_photo: Count = 6) -> None:
        self.views_per_photo, self.held_out_per_photo = views_per_photo, held_out_per_photo
        self.files = {name: _inside_package(name, *place) for name, place in _BUILT_IN_PHOTOS.items()}

    def listing(self) -> datasets.Dataset:
        """Boxes of views, drawn once from a fixed seed."""
        rows: list[dict[str, Any]] = []
        for number, (photo, file) in enumerate(self.files.items()):
            with Image.open(file) as image:
                width, height = image.size
            halves = [(0, 0, width // 2, height), (0, 0, width, height // 2)]
            quarter = (width // 2, height // 2, width, height)
            rng = np.random.default_rng(number)
            trained = _squares(halves, self.views_per_photo, rng)
            held_out = _squares([quarter], self.held_out_per_photo, rng)
            for part, boxes in (("trained", trained), ("held-out", held_out)):
                facts = {"group": photo, "held_out": part == "held-out"}
                names = [f"{file.stem}/{part}-{view:02d}" for view in range(len(boxes))]
                rows += [{"name": name, "box": box, **facts} for name, box in zip(names, boxes, strict=True)]
        return datasets.Dataset.from_list(rows)

    def open(self, row: Row) -> Image.Image:
        """Cut the view."""
        return _read_cached(self.files[row["group"]]).crop(tuple(row["box"]))

    def describe(self) -> dict[str, Any]:
        """Kind, number of views, and what those are that it holds out."""
        facts = {"kind": "samples", "photos": list(self.files), "views_per_photo": self.views_per_photo}
        held_out = "parts of the same seven photos that were not trained on"
        return {**facts, "held_out_per_photo": self.held_out_per_photo, "held_out": held_out}


def _squares(regions: list[tuple[int, int, int, int]], count: int, rng: np.random.Generator) -> list[list[int]]:
    """Draw squares inside regions (left, top, right, bottom) in turn; first of each the largest, in its centre."""
    boxes = []
    for view in range(count):
        left, top, right, bottom = regions[view % len(regions)]
        fits, first = min(right - left, bottom - top), view < len(regions)
        side = fits if first else int(fits * rng.uniform(_LEAST_SIDE, 1))
        shift = (0.5, 0.5) if first else rng.random(2)
        x, y = left + int(shift[0] * (right - left - side)), top + int(shift[1] * (bottom - top - side))
        boxes.append([x, y, x + side, y + side])
    return boxes


def _inside_package(name: str, package: str, *folders: str) -> Path:
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).parent.joinpath(*folders, name) if spec and spec.origin else None
    if file is None or not file.is_file():
        raise FileNotFoundError(f"data=samples needs {name} from {package}: pip install scikit-image scikit-learn")
    return file


@lru_cache(maxsize=4)
def _read_cached(path: Path) -> Image.Image:
    return read_photo(path).convert("RGB")


def content_of(image: Mapping[str, Any]) -> bytes | Path:
    """The bytes of an undecoded image of `datasets`, or its file; one inside an archive or far away is read.

    Args:
        image: `bytes`, or None and a `path`, which may be an address such as `zip://00.png::/photos.zip`.

    Raises:
        FileNotFoundError: there is no such archive, or no such file in it.
        UnreadablePhotoError: the archive is damaged, or cannot be reached.
    """
    if image["bytes"] is not None:
        return bytes(image["bytes"])
    if "://" not in image["path"]:
        return Path(image["path"])
    try:
        with xopen(image["path"], "rb") as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadablePhotoError(f"{image['path']} cannot be read: {error}") from error


class HubSource:
    """An image dataset of the Hugging Face hub, or a local folder in one of its formats.

    Args:
        path: dataset name such as `uoft-cs/cifar10`, or a local path that `datasets.load_dataset` reads.
        name: configuration of the dataset.
        split: split to take.
        image_column: column with the images; found by its type if None.
    """

    def __init__(
        self, path: str, *, name: str | None = None, split: str = "train", image_column: str | None = None
    ) -> None:
        self.path, self.name, self.split = path, name, split
        self.image_column = image_column

    def listing(self) -> datasets.Dataset:
        """The dataset itself, images left undecoded."""
        dataset = self._load(streaming=False)
        return dataset.add_column("name", [f"{self.split}/{index:08d}" for index in range(len(dataset))])

    def stream(self) -> datasets.IterableDataset:
        """The photos one by one, undecoded, in the column `image`; nothing is downloaded beforehand."""
        return self._load(streaming=True)

    def _load(self, *, streaming: bool) -> Any:
        try:
            dataset = datasets.load_dataset(self.path, name=self.name, split=self.split, streaming=streaming)
            features = dataset.features or dataset._resolve_features().features
        except Exception as error:  # the library raises its own, huggingface_hub's and requests' errors
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FileNotFoundError(f"dataset {self.path!r} cannot be loaded: {reason} (data.path)") from error
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
        image = row["image"]
        if image is None:
            raise UnreadablePhotoError(f"{row['name']} has no image")
        return read_photo(content_of(image))

    def describe(self) -> dict[str, Any]:
        """Kind, name, configuration and split."""
        return {"kind": "hub", "path": self.path, "name": self.name, "split": self.split}


class SyntheticSource:
    """Drawn scenes with one object of ambiguous and one of determined hue (`synthetic.draw_scene`).

    Args:
        num_images: scenes in the set.
        size: height and width in pixels.
        seed: scenes are a pure function of (seed, index).
    """

    def __init__(self, num_images: Count = 2000, size: Count = 64, seed: Seed = 0) -> None:
        self.num_images, self.size, self.seed = num_images, size, seed

    def listing(self) -> datasets.Dataset:
        """Indices."""
        names = [f"scene{index:06d}" for index in range(self.num_images)]
        return datasets.Dataset.from_dict({"name": names, "index": list(range(self.num_images))})

    def open(self, row: Row) -> Image.Image:
        """Draw the scene."""
        return Image.fromarray(draw_scene(self.seed, row["index"], self.size))

    def describe(self) -> dict[str, Any]:
        """Kind, number, size and seed."""
        return {"kind": "synthetic", "num_images": self.num_images, "size": self.size, "seed": self.seed}
