import numpy as np
import pytest

from colorgan.networks.averages import KEPT_LENGTHS, decay, exponent, profile, solve


def test_the_exponents_are_the_papers():
    assert exponent(0.05) == pytest.approx(16.97, abs=0.01)  # EDM2, section 3.1
    assert exponent(0.10) == pytest.approx(6.94, abs=0.01)


@pytest.mark.parametrize("length", [0.05, 0.10, 0.2])
def test_length_is_the_spread_of_the_profile(length):
    steps = 20_000
    weights = profile(steps, exponent(length), steps)
    place = (np.arange(steps) + 0.5) / steps
    mean = (weights * place).sum()
    assert weights.sum() == pytest.approx(1)
    assert np.sqrt((weights * (place - mean) ** 2).sum()) == pytest.approx(length, rel=1e-4)


def test_updates_multiply_to_the_profile():
    power, average = exponent(0.1), np.zeros(30)
    for step in range(1, 31):
        average = decay(step, power) * average + (1 - decay(step, power)) * np.eye(30)[step - 1]
    np.testing.assert_allclose(average, profile(30, power, 30), atol=1e-12)


def walk(steps=300, size=50):
    """Weights as training makes them: noise around a way that slows down."""
    rng = np.random.default_rng(0)
    way = np.log1p(np.arange(1, steps + 1) / 40)[:, None] * rng.normal(size=size)
    return way + 0.3 * rng.normal(size=(steps, size))


@pytest.mark.parametrize(("length", "off"), [(0.07, 0.02), (0.15, 0.03), (0.20, 0.06)])
def test_another_length_is_solved_from_snapshots(length, off):
    networks = walk()
    kept = [(step, each) for step in range(30, 301, 30) for each in KEPT_LENGTHS]
    averages = np.stack([profile(step, exponent(each), 300) @ networks for step, each in kept])
    shares, error = solve(kept, (300, length))
    truly_kept = profile(300, exponent(length), 300) @ networks
    assert shares.sum() == pytest.approx(1)
    assert error < off
    mixed = np.abs(shares @ averages - truly_kept).max()
    raw = np.abs(networks[-1] - truly_kept).max()
    assert mixed < 0.02 * raw


def test_what_was_kept_is_itself():
    kept = [(step, each) for step in (10, 20) for each in KEPT_LENGTHS]
    shares, error = solve(kept, (20, 0.10))
    np.testing.assert_allclose(shares, [0, 0, 0, 1], atol=1e-9)
    assert error < 1e-9
