"""Losses on colour alone."""

from typing import ClassVar

from torch import Tensor

from colorgan.color import colorfulness
from colorgan.losses.base import Loss


class ColorfulnessLoss(Loss):
    """1 - M3 / 100, averaged over images, with the signed colorfulness M3 of Hasler and Süsstrunk (2003).

    Falls as pictures get more colourful. The idea is DDColor's (Kang et al. 2023), whose code takes absolute
    values of the opponent channels; its own ablation shows a saturation knob rather than a gain in quality.
    """

    inputs: ClassVar = ("fake_rgb",)

    def forward(self, fake_rgb: Tensor) -> Tensor:
        """Compute the scalar over (N, 3, H, W) in [0, 1]."""
        return 1 - colorfulness(fake_rgb).mean() / 100
