"""Where photos come from. A source lists photos cheaply and opens one at a time."""

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import datasets
import numpy as np
from PIL import Image

from colorgan.data.synthetic import draw_scene
from colorgan.media.photo import read_photo
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

    def open_reduced(self, row: Row, least_side: int) -> Image.Image:
        """The same, or smaller with at least so many pixels on the shorter side, where that is faster."""
        return self.open(row)

    def describe(self) -> dict[str, Any]:
        """What identifies the set in a record."""

    def left_out(self) -> dict[str, int]:
        """Count what lies beside the photos and is not listed, by reason."""
        return {}


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


class SamplesSource(Source):
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


class SyntheticSource(Source):
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
