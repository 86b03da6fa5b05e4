"""Building blocks shared by generators and discriminators."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from colorgan.networks.spectral import spectral_norm

NORMS = ("spectral", "weight", "none")


def normalized(conv: nn.Conv2d, norm: str) -> nn.Module:
    """Wrap a convolution in a weight normalization.

    Args:
        conv: the convolution.
        norm: `spectral` (Miyato et al. 2018), `weight` (Salimans and Kingma 2016) or `none`.

    Raises:
        ValueError: for another name.
    """
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r} is unknown; allowed: {', '.join(NORMS)} (generator.norm, discriminator.norm)")
    if norm == "spectral":
        return spectral_norm(conv)
    return weight_norm(conv) if norm == "weight" else conv


def conv_block(in_channels: int, out_channels: int, *, norm: str, kernel_size: int = 3) -> nn.Sequential:
    """Convolution, ReLU, batch norm, in DeOldify's order.

    Borders are repeated: with zeros around, single pixels in the corners took colours far from all others.
    """
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, padding=kernel_size // 2, padding_mode="replicate", bias=False
    )
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(normalized(conv, norm), nn.ReLU(), nn.BatchNorm2d(out_channels))


@torch.no_grad()
def icnr_(weight: Tensor, scale: int = 2) -> Tensor:
    """Initialize a sub-pixel convolution so that it starts as nearest-neighbour upsampling (Aitken et al. 2017).

    Args:
        weight: (C scale^2, in, k, k), changed in place; each run of scale^2 filters becomes equal.
        scale: factor of the pixel shuffle that follows.
    """
    start = torch.empty(weight.shape[0] // scale**2, *weight.shape[1:])
    nn.init.kaiming_normal_(start)
    return weight.copy_(start.repeat_interleave(scale**2, dim=0))


class PixelShuffleUpsample(nn.Module):
    """Double height and width: 1x1 convolution to 4x the channels, ReLU, pixel shuffle, optional blur.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        norm: see `normalized`.
        blur: average over 2x2 pixels after the shuffle against its checkerboard (Sugawara et al. 2018).
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm: str, blur: bool) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, 4 * out_channels, 1)
        icnr_(conv.weight)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.conv = normalized(conv, norm)
        self.blur = blur

    def forward(self, features: Tensor) -> Tensor:
        """Upsample (N, in, H, W) to (N, out, 2H, 2W)."""
        features = F.pixel_shuffle(F.relu(self.conv(features)), 2)
        if self.blur:
            features = F.avg_pool2d(F.pad(features, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        return features


class SelfAttention(nn.Module):
    """Self-attention over all positions of a map (Zhang et al. 2019, SAGAN): gamma * attention(x) + x.

    Gamma starts at 0, so the layer starts as the identity. Queries and keys have an eighth of the channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 8:
            raise ValueError(f"self-attention needs at least 8 channels, got {channels}")
        self.query = spectral_norm(nn.Conv1d(channels, channels // 8, 1, bias=False))
        self.key = spectral_norm(nn.Conv1d(channels, channels // 8, 1, bias=False))
        self.value = spectral_norm(nn.Conv1d(channels, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Attend over the H W positions of (N, C, H, W); the shape stays."""
        flat = features.flatten(2)
        query, key, value = (layer(flat).transpose(1, 2) for layer in (self.query, self.key, self.value))
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # SAGAN: no 1/sqrt(d)
        return self.gamma * attended.transpose(1, 2).reshape(features.shape) + features
