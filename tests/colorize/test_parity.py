"""How far two networks are apart, in levels."""

import pytest
import torch

from colorgan.colorize.parity import check_pictures, compare


def tint(by):
    return lambda gray: gray + by * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)


def test_differences_are_in_levels():
    found = compare(tint(0.1), tint(0.1 + 3 / 255), check_pictures(32))
    assert found.mean == pytest.approx(2, abs=0.01)  # 3, 0 and 3
    assert found.worst == pytest.approx(3, abs=0.01)
    assert "the mean difference in levels is 2, at most" in found.beyond()
    assert compare(tint(0.1), tint(0.1), check_pictures(32)).beyond() is None


def test_what_is_no_number_is_beyond_the_limits():
    assert compare(tint(float("nan")), tint(0.1), check_pictures(32)).beyond() is not None


def test_the_pictures_have_odd_sizes_and_come_in_several():
    shapes = [tuple(gray.shape) for gray in check_pictures(64)]
    assert (1, 1, 1, 1) in shapes
    assert shapes[-1][0] == 2
