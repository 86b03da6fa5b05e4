"""LeCam's penalty where its averages are known."""

import pytest
import torch

from colorgan.losses import LeCamPenalty


def test_penalty_at_its_averages_is_twice_the_squared_gap():
    loss = LeCamPenalty()
    for _ in range(3):  # averages of constants are these, from the first step on
        value = loss(torch.full((2, 1, 2, 2), 1.5), torch.full((2, 1, 2, 2), -0.5))
        assert value.item() == pytest.approx(2 * 2.0**2, rel=1e-5)


def test_averages_follow_the_means_and_give_no_gradient():
    loss, real = LeCamPenalty(decay=0.5), torch.tensor([[1.0, 3.0]], requires_grad=True)
    loss(torch.zeros(1, 2), torch.zeros(1, 2))
    value = loss(real, torch.tensor([[0.0, 0.0]]))  # average of photos (0.5 * 0 + 1 * 2) / 1.5 by weights 1/4 and 1/2
    average = 0.5 * 2 / 0.75
    assert value.item() == pytest.approx((1 + 9) / 2 + average**2, rel=1e-5)
    (gradient,) = torch.autograd.grad(value, real)
    assert torch.allclose(gradient, real)


def test_photos_below_pictures_cost_nothing():
    assert LeCamPenalty()(torch.full((3,), -1.0), torch.full((3,), 1.0)).item() == 0
