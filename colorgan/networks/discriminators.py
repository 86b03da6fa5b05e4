"""Discriminators: tell photos from colorized pictures, patch by patch."""

import torch
from torch import Tensor, nn

from colorgan.networks.hints import PLANES
from colorgan.networks.layers import SelfAttention, normalized
from colorgan.networks.unet import pad_to_multiple
from colorgan.ranges import Count, Share


class PatchDiscriminator(nn.Module):
    """Fully convolutional patch discriminator in the manner of DeOldify's critic, small and padded.

    Args:
        width: channels after the first convolution; doubled by each block.
        num_blocks: blocks behind the first convolution; each halves height and width.
        conditional: also show the gray picture, so that colour is judged together with what it lies on.
        hints: also show the hints that the generator was given, so that a picture is judged together with them.
        dropout: probability of `Dropout2d` in the blocks; half of it after the first convolution.
        attention: self-attention after the first block.
        norm: weight normalization: `spectral`, `weight` or `none`.
    """

    def __init__(
        self,
        *,
        width: Count = 64,
        num_blocks: Count = 3,
        conditional: bool = False,
        hints: bool = False,
        dropout: Share = 0.15,
        attention: bool = False,
        norm: str = "spectral",
    ) -> None:
        super().__init__()
        self.conditional, self.takes_hints = conditional, hints
        self.stride = 2 ** (num_blocks + 1)

        def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Module:
            layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=1)
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            return normalized(layer, norm)

        layers: list[nn.Module] = [
            conv(3 + conditional + (PLANES if hints else 0), width, 4, 2),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(dropout / 2),
        ]
        for index in range(num_blocks):
            layers += [conv(width, width, 3, 1), nn.LeakyReLU(0.2), nn.Dropout2d(dropout)]
            layers += [conv(width, 2 * width, 4, 2), nn.LeakyReLU(0.2)]
            width *= 2
            if attention and index == 0:
                layers.append(SelfAttention(width))
        layers.append(conv(width, 1, 3, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, rgb: Tensor, gray: Tensor | None = None, hints: Tensor | None = None) -> Tensor:
        """Judge colour images.

        Args:
            rgb: (N, 3, H, W) in [0, 1].
            gray: (N, 1, H, W) in [0, 1]; needed if `conditional`, otherwise unused.
            hints: (N, 3, H, W), what the generator was given; None if that was nothing. Unused without `hints`.

        Returns:
            Logits (N, 1, ceil(H / stride), ceil(W / stride)); higher = more real.
        """
        image = rgb
        if self.conditional:
            if gray is None:
                raise ValueError("a conditional discriminator needs the gray picture too (discriminator.conditional)")
            image = torch.cat([rgb, gray], dim=1)
        if self.takes_hints:
            given = torch.zeros_like(rgb) if hints is None else hints.to(rgb.dtype)
            image = torch.cat([image, (given + 1) / 2], dim=1)  # below, 0 where nothing is known
        logits: Tensor = self.layers(2 * pad_to_multiple(image, self.stride) - 1)
        return logits
