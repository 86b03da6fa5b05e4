"""DeOldify's geometry and its 8-bit YUV merge."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from colorgan.colorize.deoldify import SquashColorizer, merge_yuv


def rgb_to_yuv(rgb):
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV)


def test_yuv_has_the_values_of_its_definition():
    colors = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50]], np.uint8)
    expected = [[0, 128, 128], [255, 128, 128], [76, 91, 255], [150, 54, 0], [29, 239, 103], [124, 92, 195]]
    assert rgb_to_yuv(colors[None])[0].tolist() == expected  # OpenCV's, from its documentation's formula, cut to 0..255
    back = cv2.cvtColor(np.array([[[124, 92, 195], [128, 128, 128], [100, 148, 108]]], np.uint8), cv2.COLOR_YUV2RGB)
    assert back[0].tolist() == [[200, 99, 51], [128, 128, 128], [77, 104, 141]]


def test_yuv_is_bt601_to_within_its_rounding():
    rgb = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    exact = np.stack([y, 0.492 * (blue - y) + 128, 0.877 * (red - y) + 128], axis=-1).clip(0, 255)
    assert np.abs(rgb_to_yuv(rgb) - exact).max() < 1.01


def luma(rgb):
    return rgb_to_yuv(rgb)[..., 0].astype(int)


def test_luma_stays_without_chroma_and_within_a_level_in_gamut():
    gray = np.repeat(np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8), 3, axis=2)
    assert np.array_equal(merge_yuv(gray, gray), gray)
    photo = astronaut()[::4, ::4]
    mild = np.clip(110 + (photo.astype(int) - luma(photo)[..., None]) // 4, 0, 255).astype(np.uint8)
    middle = (photo // 2 + 64).astype(np.uint8)
    assert np.abs(luma(merge_yuv(middle, mild)) - luma(middle)).max() <= 1


def test_out_of_gamut_chroma_breaks_luma_as_in_deoldify():
    rng = np.random.default_rng(0)
    gray = np.repeat(rng.integers(0, 256, (100, 100, 1), dtype=np.uint8), 3, axis=2)
    difference = np.abs(luma(merge_yuv(gray, rng.integers(0, 256, (100, 100, 3), dtype=np.uint8))) - luma(gray))
    assert 4 < difference.mean() < 8  # measured on DeOldify: mean 6, largest 58
    assert difference.max() > 40


def test_pil_s_luma_is_the_integer_formula():
    rgb = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    pil = np.asarray(Image.fromarray(rgb).convert("L"))
    assert np.array_equal(pil, (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)
    assert np.abs(pil.astype(int) - luma(rgb)).max() <= 1


class Tint(torch.nn.Module):
    """A generator that reddens, and notes what it was given."""

    gray_rule = "luma601"

    def forward(self, gray):
        self.seen = gray
        return torch.cat([gray + 0.1, gray, gray - 0.4], dim=1)


def test_the_photo_is_squashed_to_a_square_and_comes_back_in_its_size():
    generator = Tint()
    colorizer = SquashColorizer(generator, working_size=16 * 6)
    photo = Image.fromarray(astronaut()[::4, ::8])
    result = colorizer.colorize(photo)
    assert generator.seen.shape == (1, 1, 96, 96)
    square = np.asarray(photo.resize((96, 96), Image.Resampling.BILINEAR).convert("L"))
    assert np.array_equal((255 * generator.seen[0, 0]).round().numpy(), square)
    assert result.size == photo.size
    levels = np.stack([square / 255 + 0.1, square / 255, square / 255 - 0.4], axis=-1).clip(0, 1).astype(np.float32)
    color = Image.fromarray((levels * np.float32(255)).astype(np.uint8)).resize(photo.size, Image.Resampling.BILINEAR)
    difference = np.abs(np.asarray(result).astype(int) - merge_yuv(np.asarray(photo), np.asarray(color)))
    assert (difference > 2).mean() < 0.01  # float rounding before the truncation moves single levels


def test_another_gray_rule_is_refused():
    generator = Tint()
    generator.gray_rule = "lightness"
    with pytest.raises(ValueError, match=r"BT\.601 luma, but the checkpoint was trained on lightness"):
        SquashColorizer(generator).colorize(Image.new("RGB", (20, 20)))
