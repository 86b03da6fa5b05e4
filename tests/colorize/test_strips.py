"""Pictures that are gone through in strips come out as all at once."""

import numpy as np
import pytest
import torch

from colorgan.colorize import Colorizer
from colorgan.media import samples
from colorgan.media.scan import Scan


class Tint(torch.nn.Module):
    """A generator of strong colours."""

    gray_rule = "luma601"

    def forward(self, gray):
        return torch.cat([gray + 0.3, 0.8 * gray, gray - 0.4], dim=1)


@pytest.mark.parametrize("pixels_a_strip", [1, 10 * 257, 1 << 20])
@pytest.mark.parametrize("size", [(333, 257), (100, 257), (257, 61)])
def test_strips_give_what_whole_frames_give(monkeypatch, pixels_a_strip, size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    colorizer = Colorizer(Tint(), working_size=48)
    whole = next(colorizer.colorize_frames([rgb]))
    monkeypatch.setattr(samples, "_STRIP_PIXELS", pixels_a_strip)
    assert np.abs(colorizer.colorize_scan(Scan(rgb)).pixels.astype(int) - whole).max() <= 1  # other order of float sums


def test_gray_scans_keep_sixteen_bits_of_luma():
    gray = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    colored = Colorizer(Tint(), working_size=48).colorize_scan(Scan(gray)).pixels
    assert colored.dtype == np.uint16
    assert (colored[..., 0] != colored[..., 2]).mean() > 0.99
    luma = colored @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - gray).max() <= 0.5 + 0.02  # float32 has 24 bits
    assert np.array_equal(Colorizer(Tint()).gray_scan(Scan(gray)).pixels, gray)
