"""Pixel-wise losses."""

from torch import Tensor, nn


class L1Loss(nn.Module):
    """Mean absolute difference of two images in [0, 1]."""

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Scalar over (N, 3, H, W)."""
        return (fake_rgb - rgb).abs().mean()


class CharbonnierLoss(nn.Module):
    """Smooth L1: mean of sqrt(d^2 + epsilon^2) - epsilon (Charbonnier et al. 1994), 0 for equal images."""

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Scalar over (N, 3, H, W)."""
        return ((fake_rgb - rgb).square() + self.epsilon**2).sqrt().mean() - self.epsilon
