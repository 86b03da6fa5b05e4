"""A discriminator made of patch discriminators that see the picture at several sizes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorgan.networks.discriminators import PatchDiscriminator
from colorgan.networks.unet import pad_to_multiple
from colorgan.ranges import Count, Share


class MultiScalePatchDiscriminator(nn.Module):
    """Patch discriminators of the picture, its half, its quarter and so on (Wang et al. 2018, pix2pixHD).

    A patch of the half covers four times the area: coarse ones judge the colours of whole things, fine ones those of
    edges.

    Args:
        num_scales: how many.
        width: of each, as all below; see `PatchDiscriminator`.
        num_blocks: blocks behind the first convolution.
        conditional: also show the gray picture.
        dropout: probability of `Dropout2d`.
        norm: weight normalization.
    """

    def __init__(
        self,
        *,
        num_scales: Count = 2,
        width: Count = 64,
        num_blocks: Count = 3,
        conditional: bool = False,
        dropout: Share = 0.15,
        norm: str = "spectral",
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(width=width, num_blocks=num_blocks, conditional=conditional, dropout=dropout, norm=norm)
            for _ in range(num_scales)
        )
        self.stride = 2 ** (num_blocks + num_scales)  # of the coarsest

    def forward(self, rgb: Tensor, gray: Tensor | None = None) -> Tensor:
        """Judge colour images.

        Args:
            rgb: (N, 3, H, W) in [0, 1].
            gray: (N, 1, H, W) in [0, 1]; needed if `conditional`, otherwise unused.

        Returns:
            Logits (N, 1, num_scales h, w), those of one scale below those of another, where h x w are the patches of
            the whole picture, padded. A coarse logit stands in the place of each of them that it covers: in a mean all
            scales weigh the same. Higher = more real.
        """
        return self.maps(rgb, gray)[-1]

    def maps(self, rgb: Tensor, gray: Tensor | None = None) -> list[Tensor]:
        """Judge as `forward` does; returns the maps of all scales, finest first, then the logits."""
        rgb = pad_to_multiple(rgb, self.stride)
        gray = None if gray is None else pad_to_multiple(gray, self.stride)
        found: list[Tensor] = []
        logits: list[Tensor] = []
        for index, scale in enumerate(self.scales):
            if index:
                rgb, gray = F.avg_pool2d(rgb, 2), None if gray is None else F.avg_pool2d(gray, 2)
            *inner, judged = scale.maps(rgb, gray)  # type: ignore[operator]
            found += inner
            logits.append(judged.repeat_interleave(2**index, dim=2).repeat_interleave(2**index, dim=3))
        return [*found, torch.cat(logits, dim=2)]
