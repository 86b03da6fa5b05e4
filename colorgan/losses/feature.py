"""Perceptual losses: distances between feature maps of a frozen network."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from colorgan.losses.base import Loss
from colorgan.networks.encoders import Pyramid, fold_batch_norm
from colorgan.networks.perceptual import lpips_network


class FeatureLoss(Loss):
    """Weighted L1 between feature maps of two images (Johnson et al. 2016, with L1 as in DeOldify).

    Args:
        network: pyramid whose maps are compared; put in eval mode and frozen here.
        weights: one weight for each map of the network, finest first.
    """

    def __init__(self, network: Pyramid, weights: Sequence[float]) -> None:
        super().__init__()
        if len(weights) != len(network.channels):
            raise ValueError(
                f"weights needs {len(network.channels)} numbers, got {len(weights)} (loss.feature.weights)"
            )
        fold_batch_norm(network)
        self.network = network.eval().requires_grad_(False)
        self.weights = list(weights)

    def train(self, mode: bool = True) -> "FeatureLoss":
        """Stay in eval mode: the statistics of the feature network never move."""
        return super().train(False)

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Sum weight times mean absolute difference over the maps; images (N, 3, H, W) in [0, 1]."""
        with torch.no_grad():
            targets = self.network(rgb)
        maps = self.network(fake_rgb)
        distances = [(a.float() - b.float()).abs().mean() for a, b in zip(maps, targets, strict=True)]
        return torch.stack([w * d for w, d in zip(self.weights, distances, strict=True)]).sum()


class LPIPSLoss(Loss):
    """LPIPS distance (Zhang et al. 2018) by the authors' package; its linear heads come with the package.

    Args:
        network: `alex` or `vgg`.
        weights: `hub` (torchvision's ImageNet weights of the backbone), a path to them, or None for random ones.
    """

    def __init__(self, network: str = "vgg", *, weights: str | None = "hub") -> None:
        super().__init__()
        if network not in ("alex", "vgg"):
            raise ValueError(f"network={network!r} is unknown; allowed: alex, vgg (loss.lpips.network)")
        self.lpips = lpips_network(network, weights)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> "LPIPSLoss":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the scalar over images (N, 3, H, W) in [0, 1]; scaled inside to the [-1, 1] that LPIPS wants."""
        distance: Tensor = self.lpips(2 * fake_rgb - 1, 2 * rgb - 1)
        return distance.mean()


class FeatureMatchingLoss(Loss):
    """L1 between the discriminator's maps of a picture and of its photo, averaged over maps (Wang et al. 2018).

    What the discriminator has learned to look at, the generator is to hit, not only its verdict. The paper sums over
    maps and weighs by 10.
    """

    inputs: ClassVar = ("fake_maps", "real_maps")

    def forward(self, fake_maps: Sequence[Tensor], real_maps: Sequence[Tensor]) -> Tensor:
        """Compute the scalar over maps of any shapes."""
        distances = [(a.float() - b.float()).abs().mean() for a, b in zip(fake_maps, real_maps, strict=True)]
        return torch.stack(distances).mean()
