"""Pixel losses against closed forms."""

import math

import pytest
import torch
from torch import nn

from colorgan.losses import (
    CharbonnierLoss,
    L1Loss,
    NormalizedL1Loss,
)
from colorgan.networks.encoders import Pyramid

MEAN, STD = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


class TinyPyramid(Pyramid):
    """Two convolutions with a batch norm and dropout, so that modes matter."""

    def __init__(self):
        super().__init__((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.channels, self.strides = [4, 5], [2, 4]
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.second = nn.Conv2d(4, 5, 3, 2, 1)

    def features(self, normalized_rgb):
        first = self.first(normalized_rgb)
        return [first, self.second(first)]


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
