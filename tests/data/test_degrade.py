import numpy as np
import pytest

from colorgan.data import PixelNoise


@pytest.fixture
def gray():
    return np.full((64, 64), 0.5, dtype=np.float32)


def test_noise_hits_a_share_of_the_pixels_with_bounded_offsets(gray):
    noise = PixelNoise(probability=1, max_share=0.4, amplitude=0.1)
    shares = []
    for seed in range(40):
        damaged = noise(gray, np.random.default_rng(seed))
        assert damaged.dtype == np.float32
        assert damaged.shape == gray.shape
        assert abs(damaged - gray).max() <= 0.1
        shares.append((damaged != gray).mean())
    assert 0 < min(shares) < 0.1 < 0.3 < max(shares) < 0.45
    assert np.mean(shares) == pytest.approx(0.2, abs=0.06)  # uniform in 0.001..0.4: 0.2 +- 3.3 standard errors


def test_noise_offsets_go_both_ways_and_differ_from_pixel_to_pixel(gray):
    offsets = PixelNoise(probability=1)(gray, np.random.default_rng(1)) - gray
    offsets = offsets[offsets != 0]
    assert abs(offsets.mean()) < 0.2 * offsets.std()
    assert len(np.unique(offsets)) > 0.9 * len(offsets)


def test_share_of_the_pictures_stays_clean(gray):
    clean = [np.array_equal(PixelNoise(0.8)(gray, np.random.default_rng(seed)), gray) for seed in range(200)]
    assert 0.1 < np.mean(clean) < 0.3


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_noise_stays_in_range(level):
    damaged = PixelNoise(1, 1.0, 0.5)(np.full((32, 32), level, dtype=np.float32), np.random.default_rng(0))
    assert damaged.min() >= 0
    assert damaged.max() <= 1
    assert (damaged != level).any()


def test_noise_is_a_pure_function_of_the_random_state_and_leaves_its_input_alone(gray):
    noise = PixelNoise(probability=1)
    first, second = (noise(gray, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, noise(gray, np.random.default_rng(8)))
    assert (gray == 0.5).all()
