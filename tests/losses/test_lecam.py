"""LeCam's penalty where its averages are known."""

import pytest
import torch

from colorgan.losses import LeCamPenalty


def test_penalty_at_its_averages_is_twice_the_squared_gap():
    loss = LeCamPenalty()
    for _ in range(3):  # averages of constants are these, from the first step on
        value = loss(torch.full((2, 1, 2, 2), 1.5), torch.full((2, 1, 2, 2), -0.5), 2)
        assert value.item() == pytest.approx(2 * 2.0**2, rel=1e-5)


def test_averages_follow_the_means_and_give_no_gradient():
    loss, real = LeCamPenalty(decay=0.5), torch.tensor([[1.0, 3.0]], requires_grad=True)
    loss(torch.zeros(1, 2), torch.zeros(1, 2), 1)
    value = loss(real, torch.tensor([[0.0, 0.0]]), 1)  # average of photos: 0 and 2 by weights 1/4 and 1/2
    average = 0.5 * 2 / 0.75
    assert value.item() == pytest.approx((1 + 9) / 2 + average**2, rel=1e-5)
    (gradient,) = torch.autograd.grad(value, real)
    assert torch.allclose(gradient, real)


def test_photos_below_pictures_cost_nothing():
    assert LeCamPenalty()(torch.full((3,), -1.0), torch.full((3,), 1.0), 3).item() == 0


def test_a_step_in_parts_moves_the_averages_as_far_as_a_whole_one():
    whole, parts, before, after = LeCamPenalty(decay=0.6), LeCamPenalty(decay=0.6), torch.zeros(4, 1), torch.ones(4, 1)
    for logits in (before, after):
        whole(logits, -logits, 4)
        for part in logits.split(1):
            parts(part, -part, 4)
    torch.testing.assert_close(parts.state_dict(), whole.state_dict())
