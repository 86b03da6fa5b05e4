"""Count the colours of pictures: histograms of hue and chroma."""

import torch
from torch import Tensor

from colorgan.color import rgb_to_lab

HUE_BINS, CHROMA_BINS, CHROMA_LIMIT = 36, 50, 100.0
_STRIDE = 4  # every fourth pixel each way is plenty for a histogram


def hue_and_chroma(rgb: Tensor) -> Tensor:
    """Count hue and chroma in CIE Lab, over a batch of pictures (N, 3, H, W) in [0, 1].

    Returns:
        (HUE_BINS + CHROMA_BINS,) float64: hue from 0 to 360 degrees, each pixel weighted by its chroma, then chroma
        from 0 to CHROMA_LIMIT; more vivid pixels count in the last bin.
    """
    _, a, b = rgb_to_lab(rgb[..., ::_STRIDE, ::_STRIDE]).cpu().unbind(dim=1)
    chroma = (a.square() + b.square()).sqrt().flatten()
    hue = torch.rad2deg(torch.atan2(b, a)).flatten() % 360
    hue_bin = (hue * HUE_BINS / 360).long().clamp(max=HUE_BINS - 1)
    chroma_bin = (chroma * CHROMA_BINS / CHROMA_LIMIT).long().clamp(max=CHROMA_BINS - 1)
    hues = torch.bincount(hue_bin, weights=chroma.double(), minlength=HUE_BINS)
    chromas = torch.bincount(chroma_bin, minlength=CHROMA_BINS).double()
    return torch.cat([hues, chromas])
