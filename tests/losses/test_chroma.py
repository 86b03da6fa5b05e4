"""The colorfulness loss against the metric's closed form."""

import math

import pytest
import torch

from colorgan.losses import (
    ColorfulnessLoss,
)


def pictures(seed, size=16, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_colorfulness_loss_falls_as_saturation_grows():
    rgb = pictures(0)
    gray = rgb.mean(dim=1, keepdim=True)
    values = [ColorfulnessLoss()(gray + s * (rgb - gray)).item() for s in (0, 0.25, 0.5, 1)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values[0] - values[3] > 0.3


def test_colorfulness_loss_is_one_hundredth_of_the_metric():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    # flat red: M3 = 0.3 sqrt(255^2 + 127.5^2)
    assert ColorfulnessLoss()(red).item() == pytest.approx(1 - 0.003 * math.hypot(255, 127.5), abs=1e-6)
