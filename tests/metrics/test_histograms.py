import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from colorgan.metrics.histograms import CHROMA_BINS, HUE_BINS, hue_and_chroma


def flat(red, green, blue, size=16):
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, size, size)


@pytest.mark.parametrize("color", [(1.0, 0, 0), (0.2, 0.6, 0.3), (0.4, 0.4, 0.9), (0.9, 0.8, 0.5)])
def test_a_flat_picture_lies_in_the_bins_of_its_hue_and_chroma(color):
    _, a, b = rgb2lab(np.array(color).reshape(1, 1, 3)).ravel()
    hue, chroma = np.degrees(np.arctan2(b, a)) % 360, np.hypot(a, b)
    hues, chromas = hue_and_chroma(flat(*color)).split([HUE_BINS, CHROMA_BINS])
    assert hues.nonzero().flatten().tolist() == [int(hue // 10)]
    assert hues.sum().item() == pytest.approx(16 * chroma, rel=1e-3)  # every fourth pixel each way
    assert chromas.nonzero().flatten().tolist() == [min(int(chroma // 2), CHROMA_BINS - 1)]
    assert chromas.sum() == 16


def test_gray_has_no_hue_and_lies_in_the_first_bin_of_chroma():
    hues, chromas = hue_and_chroma(flat(0.5, 0.5, 0.5)).split([HUE_BINS, CHROMA_BINS])
    assert hues.sum() < 16 * 0.01  # white of the matrix and of Lab differ in digit 5
    assert chromas[0] == chromas.sum() == 16


def test_histograms_of_batches_add_up_to_that_of_all(photos):
    parts = sum(hue_and_chroma(batch) for batch in photos.split(3))
    torch.testing.assert_close(parts, hue_and_chroma(photos), rtol=1e-9, atol=1e-9)
