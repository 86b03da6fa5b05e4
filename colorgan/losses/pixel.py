"""Losses that compare pixel with pixel."""

import torch
from torch import Tensor

from colorgan.losses.base import Loss
from colorgan.networks.encoders import IMAGENET_STD
from colorgan.ranges import Positive


class L1Loss(Loss):
    """Mean absolute difference of two images in [0, 1]."""

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the scalar over (N, 3, H, W)."""
        return (fake_rgb - rgb).abs().mean()


class CharbonnierLoss(Loss):
    """Smooth L1: mean of sqrt(d^2 + epsilon^2) - epsilon (Charbonnier et al. 1994), 0 for equal images."""

    def __init__(self, epsilon: Positive = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the scalar over (N, 3, H, W)."""
        return ((fake_rgb - rgb).square() + self.epsilon**2).sqrt().mean() - self.epsilon


class NormalizedL1Loss(Loss):
    """Mean absolute difference in ImageNet-normalized space, the pixel part of DeOldify's FeatureLoss.

    The same as L1 in [0, 1] with each channel divided by its deviation: 4.4 times as large.
    """

    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the scalar over (N, 3, H, W)."""
        return ((fake_rgb - rgb) / self.std).abs().mean()
