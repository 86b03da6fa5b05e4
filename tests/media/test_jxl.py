import imagecodecs
import numpy as np
import pytest

from benchmarks.photo_grid import SRGB_XY, _encoded, _to_xyz
from colorgan.media.jxl import read_jxl_header
from colorgan.media.samples import Samples, to_srgb


def stream(*fields):
    """Pack (value, bits) as a codestream does, from the lowest bit on."""
    value, place = 0, 16
    for number, bits in fields:
        value, place = value | number << place, place + bits
    return b"\xff\x0a" + value.to_bytes(64, "little")[2:]


SIZE = ((1, 1), (5, 5), (0, 3), (7, 5))  # 48 high, 64 wide
EIGHT_BITS = ((0, 1), (0, 2), (1, 1), (0, 2), (1, 1))  # integers, no extra channels, XYB


@pytest.mark.parametrize("shape", [(48, 64), (37, 53), (300, 1201), (480, 640)])
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u1", 5), ("u2", 10), ("u2", 12)])
def test_size_and_depth_are_those_that_were_written(shape, dtype, bits):
    content = imagecodecs.jpegxl_encode(np.zeros(shape, dtype), bitspersample=bits, lossless=True)
    header = read_jxl_header(bytes(content))
    assert (header.height, header.width, header.bits) == (*shape, bits)


def test_an_animation_is_told():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    assert read_jxl_header(bytes(imagecodecs.jpegxl_encode(frames, photometric="rgb"))).animated


def test_display_p3_becomes_srgb():
    color = ((0, 1), (0, 1), (0, 2), (1, 2), (2, 2), (9, 4), (0, 1), (2, 2), (11, 4), (1, 2))
    header = read_jxl_header(stream(*SIZE, (0, 1), (0, 1), *EIGHT_BITS, *color))
    assert (header.width, header.height, header.bits) == (64, 48, 8)
    p3_xy = [0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060]
    pixels = np.random.default_rng(0).integers(60, 200, (20, 20, 3), np.uint8)
    values = pixels / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    expected = _encoded((linear @ (np.linalg.inv(_to_xyz(SRGB_XY)) @ _to_xyz(p3_xy)).T).clip(0, 1)) * 255
    result = to_srgb(Samples(pixels, "rgb", profile=header.profile))[0]
    assert np.abs(result - expected).max() <= 1
