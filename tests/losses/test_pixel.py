"""Pixel losses against closed forms."""

import math

import pytest
import torch

from colorgan.losses import (
    CharbonnierLoss,
    L1Loss,
    NormalizedL1Loss,
)

MEAN, STD = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


def pictures(seed, size=16, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "loss", [L1Loss(), CharbonnierLoss(), NormalizedL1Loss()], ids=["l1", "charbonnier", "normalized"]
)
def test_losses_are_zero_for_equal_pictures_and_positive_for_others(loss):
    a, b = pictures(0), pictures(1)
    assert loss(a, a.clone()).item() == pytest.approx(0, abs=1e-7)
    assert loss(a, b).item() > 1e-3
    assert loss(a, b).shape == ()


def test_l1_is_the_mean_difference():
    assert L1Loss()(torch.full((2, 3, 4, 4), 0.75), torch.full((2, 3, 4, 4), 0.5)).item() == 0.25


def test_charbonnier_is_its_formula_and_close_to_l1_far_from_zero():
    zeros = torch.zeros(1, 3, 4, 4)
    assert CharbonnierLoss(0.3)(zeros + 0.4, zeros).item() == pytest.approx(0.5 - 0.3, abs=1e-6)
    assert CharbonnierLoss()(zeros + 0.5, zeros).item() == pytest.approx(0.5, abs=2e-3)


def test_random_normal_images_are_2_over_root_pi_apart_in_normalized_space():
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 3, 128, 128)
    assert abs(NormalizedL1Loss()(a * STD + MEAN, b * STD + MEAN) - 2 / math.sqrt(math.pi)) < 0.01
