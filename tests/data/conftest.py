import pytest
import skimage.data
from counting import CountingFolder
from PIL import Image

from colorgan.data.library import build_library


@pytest.fixture(autouse=True)
def _count_from_zero():
    CountingFolder.opened = 0


@pytest.fixture(scope="module")
def crops():
    """Twelve colourful photos of 32 x 40 pixels."""
    image = skimage.data.astronaut()
    return [image[y : y + 128 : 4, x : x + 160 : 4] for y in (0, 90, 200, 300) for x in (0, 150, 320)]


@pytest.fixture
def folder(tmp_path, crops):
    path = tmp_path / "photos"
    path.mkdir()
    for index, crop in enumerate(crops):
        Image.fromarray(crop).save(path / f"{index:02d}.png")
    return path


@pytest.fixture
def examine(tmp_path):
    def build(source, **options):
        defaults = {
            "min_size": 16,
            "store_size": None,
            "min_colorfulness": 5.0,
            "validation_share": 0.25,
            "max_validation": 100,
            "seed": 0,
            "cache_dir": tmp_path / "cache",
        }
        return build_library(source, **{**defaults, **options})

    return build
