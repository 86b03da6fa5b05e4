import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from colorgan.media.photo import UnreadablePhotoError, read_photo, read_reduced_photo


def jpeg(side, **options):
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).resize((2 * side, side), Image.Resampling.LANCZOS).save(
        buffer, "JPEG", quality=95, **options
    )
    return buffer.getvalue()


@pytest.mark.parametrize(("least", "expected"), [(500, 512), (257, 512), (256, 256), (100, 128), (64, 64), (10, 64)])
def test_a_jpeg_comes_at_the_smallest_of_its_sizes_that_is_large_enough(least, expected):
    assert read_reduced_photo(jpeg(512), least).size == (2 * expected, expected)


def test_a_reduced_photo_is_the_photo_averaged():
    whole = read_photo(jpeg(512)).reduce(4)
    difference = np.abs(np.asarray(read_reduced_photo(jpeg(512), 128), float) - np.asarray(whole, float))
    assert difference.mean() < 1.0


def test_orientation_and_what_is_no_jpeg_are_as_ever(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert read_reduced_photo(jpeg(512, exif=exif), 128).size == (128, 256)
    Image.open(io.BytesIO(jpeg(64))).save(tmp_path / "photo.png")
    assert read_reduced_photo(tmp_path / "photo.png", 16).size == (128, 64)


def test_a_damaged_jpeg_is_named(tmp_path):
    (tmp_path / "cut.jpg").write_bytes(jpeg(512)[:9000])
    with pytest.raises(UnreadablePhotoError, match="cut"):
        read_reduced_photo(tmp_path / "cut.jpg", 128)
