"""Pictures in colour, gray and toned."""

import av
import numpy as np
import pytest
from skimage.data import astronaut, chelsea, coffee

from colorgan.media.shots import ColorDetector, color_spread


def picture(rgb):
    return av.VideoFrame.from_ndarray(np.rint(rgb).clip(0, 255).astype(np.uint8), format="rgb24").reformat(
        format="yuv420p"
    )


@pytest.mark.parametrize("photo", [astronaut, chelsea, coffee])
def test_photos_are_in_colour_and_toned_or_noisy_gray_is_not(photo):
    rgb = photo()[: photo().shape[0] // 2 * 2, : photo().shape[1] // 2 * 2].astype(float)
    gray = rgb.mean(axis=2, keepdims=True)
    noise = np.random.default_rng(0).normal(0, 12, rgb.shape)
    sepia = 255 * (gray / 255) ** np.array([0.8, 1.0, 1.3])
    assert ColorDetector().is_colored(picture(rgb))
    for plain in (gray.repeat(3, axis=2), gray + noise, sepia, sepia + noise, gray * [0.7, 0.9, 1.1] + [0, 10, 30]):
        assert not ColorDetector().is_colored(picture(plain))


def test_a_shot_does_not_change_where_its_colours_grow_faint():
    rgb = astronaut().astype(float)
    gray = rgb.mean(axis=2, keepdims=True)
    faint = next(
        p for share in np.arange(0.05, 1, 0.02) if color_spread(p := picture(gray + share * (rgb - gray))) > 1.7
    )
    detector = ColorDetector()
    assert not detector.is_colored(faint)
    assert detector.is_colored(picture(rgb))
    assert detector.is_colored(faint)
    assert not detector.is_colored(picture(gray.repeat(3, axis=2)))
