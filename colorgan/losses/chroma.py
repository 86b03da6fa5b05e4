"""Losses on colour alone."""

from torch import Tensor, nn

from colorgan.color import colorfulness


class ColorfulnessLoss(nn.Module):
    """1 - M3 / 100, averaged over images, with the signed colorfulness M3 of Hasler and Süsstrunk (2003).

    Falls as pictures get more colourful. The idea is DDColor's (Kang et al. 2023), whose code takes absolute
    values of the opponent channels; its own ablation shows a saturation knob rather than a gain in quality.
    """

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Scalar over (N, 3, H, W) in [0, 1]; `rgb` is not looked at."""
        return 1 - colorfulness(fake_rgb).mean() / 100
