"""A discriminator that looks through a frozen, pretrained network, and at colour with eyes of its own."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorgan.color import rgb_to_chroma
from colorgan.networks.discriminators import activations
from colorgan.networks.encoders import Pyramid, fold_batch_norm
from colorgan.networks.layers import normalized
from colorgan.networks.spectral import iterate_together, spectral_layers
from colorgan.networks.unet import pad_to_multiple
from colorgan.ranges import Count, Share

_EPSILON = 1e-8


class ProjectedDiscriminator(nn.Module):
    """Judge frozen features of a picture beside trained ones of its colour (after Sauer et al. 2021, Projected GAN).

    As there, maps of a pretrained network are mixed across channels and, from coarse to fine, across scales by random
    1x1 convolutions that never change, and each scale has a small head. Otherwise than there, pictures keep their
    size; a mixed map has unit mean square over channels at every place (LPIPS normalizes so), for heads have no batch
    norm; and each head also gets a map of a shallow trained stem, which sees chroma and gray, the condition. For a
    pretrained network has learned to overlook saturation: half of it moves the mixed maps by 5 to 6 % of their
    variance between photos, the stem's, before any training, by 14 to 22 % (16 photos, 64 px).

    What is frozen consists of buffers: it is saved, and no optimizer knows of it.

    Args:
        backbone: the frozen network; strides of its maps must be powers of two, finest first.
        width: channels of each mixed map and of the heads; the stem begins with a quarter of them.
        dropout: probability of `Dropout2d` in the heads.
        norm: of stem and heads: `spectral`, `weight` or `none`.
    """

    def __init__(self, *, backbone: Pyramid, width: Count = 64, dropout: Share = 0.15, norm: str = "spectral") -> None:
        super().__init__()
        self.strides = list(backbone.strides)
        self.stride = self.strides[-1]
        levels = [int(math.log2(stride)) for stride in self.strides]
        if [2**level for level in levels] != self.strides or levels != sorted(levels) or levels[0] < 1:
            raise ValueError(
                f"the strides of the maps must be powers of two, finest first, got {self.strides} "
                "(discriminator.backbone.layers)"
            )
        fold_batch_norm(backbone)
        self.backbone = frozen(backbone)
        self.mixers = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in backbone.channels)
        self.fusers = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in self.strides)
        for network in (self.mixers, self.fusers):
            frozen(network)

        def conv(inputs: int, outputs: int, kernel_size: int, stride: int) -> nn.Module:
            layer = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=1)
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            return normalized(layer, norm)

        channels = [3] + [max(1, width // 4) * min(2**level, 4) for level in range(levels[-1])]
        self.stem = nn.ModuleList(
            nn.Sequential(conv(channels[level], channels[level + 1], 4, 2), nn.LeakyReLU(0.2))
            for level in range(levels[-1])
        )
        self.heads = nn.ModuleList()
        for level in levels:
            inputs, layers = width + channels[level], []
            for _ in range(max(1, levels[-1] - level)):  # all heads end at the coarsest stride
                down = level < levels[-1]
                layers += [conv(inputs, width, 4 if down else 3, 2 if down else 1), nn.LeakyReLU(0.2)]
                layers.append(nn.Dropout2d(dropout))
                inputs = width
            self.heads.append(nn.Sequential(*layers, conv(width, 1, 3, 1)))
        self._spectral = spectral_layers(self)

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        """Set the mode of all but the frozen network."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, rgb: Tensor, gray: Tensor | None = None) -> Tensor:
        """Judge colour images.

        Args:
            rgb: (N, 3, H, W) in [0, 1].
            gray: (N, 1, H, W) in [0, 1].

        Returns:
            Logits (N, 1, heads ceil(H / stride), ceil(W / stride)), those of one head below those of another; higher =
            more real.
        """
        return self.maps(rgb, gray)[-1]

    def maps(self, rgb: Tensor, gray: Tensor | None = None) -> list[Tensor]:
        """Judge as `forward` does; returns the trained maps, stem first, then the logits."""
        if gray is None:
            raise ValueError("a projected discriminator needs the gray picture too")
        if self.training:
            iterate_together(self._spectral)
        rgb, gray = pad_to_multiple(rgb, self.stride), pad_to_multiple(gray, self.stride)
        colour = torch.cat([2 * rgb_to_chroma(rgb), 2 * gray - 1], dim=1)
        stem: list[Tensor] = []
        for layer in self.stem:
            stem.append(layer(stem[-1] if stem else colour))
        found, logits = list(stem), []
        for head, stride, mixed in zip(self.heads, self.strides, self._mixed(rgb), strict=True):
            seen = torch.cat([mixed, stem[int(math.log2(stride)) - 1].to(mixed.dtype)], dim=1)
            *inner, judged = activations(head, seen)  # type: ignore[arg-type]
            found += inner
            logits.append(judged)
        return [*found, torch.cat(logits, dim=2)]

    def _mixed(self, rgb: Tensor) -> list[Tensor]:
        """Mix the frozen maps across channels and from coarse to fine, finest first."""
        mixed: list[Tensor] = []
        taps: list[Tensor] = self.backbone(rgb)
        for tap, mix, fuse in reversed(list(zip(taps, self.mixers, self.fusers, strict=True))):
            own = mix(tap)
            if mixed:
                own = own + F.interpolate(mixed[-1], size=own.shape[-2:], mode="bilinear", align_corners=False)
            own = fuse(own)
            mixed.append(own * (own.square().mean(dim=1, keepdim=True) + _EPSILON).rsqrt())
        return mixed[::-1]


def frozen(network: nn.Module) -> nn.Module:
    """Turn all parameters of a network into buffers, in place: they are saved, and no stage can train them."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    return network.eval()
