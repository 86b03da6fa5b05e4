"""Count the colours of pictures: histograms of hue and chroma."""

import torch
from torch import Tensor

from colorgan.color import rgb_to_lab

HUE_BINS, CHROMA_BINS, CHROMA_LIMIT = 36, 50, 100.0
LAW_HUES, LAW_CHROMAS = 24, 16
_STRIDE = 4  # every fourth pixel each way is plenty for a histogram


def hue_and_chroma(rgb: Tensor) -> Tensor:
    """Count hue and chroma in CIE Lab, over a batch of pictures (N, 3, H, W) in [0, 1].

    Returns:
        (HUE_BINS + CHROMA_BINS,) float64: hue from 0 to 360 degrees, each pixel weighted by its chroma, then chroma
        from 0 to CHROMA_LIMIT; more vivid pixels count in the last bin.
    """
    hue, chroma = _hues_and_chromas(rgb[..., ::_STRIDE, ::_STRIDE])
    hue_bin = (hue * HUE_BINS / 360).long().clamp(max=HUE_BINS - 1)
    chroma_bin = (chroma * CHROMA_BINS / CHROMA_LIMIT).long().clamp(max=CHROMA_BINS - 1)
    hues = torch.bincount(hue_bin, weights=chroma.double(), minlength=HUE_BINS)
    chromas = torch.bincount(chroma_bin, minlength=CHROMA_BINS).double()
    return torch.cat([hues, chromas])


def hue_by_chroma(rgb: Tensor) -> Tensor:
    """Count hue and chroma together, over pictures (N, 3, H, W) in [0, 1]: (LAW_HUES * LAW_CHROMAS,) float64, sum 1."""
    stride = max(1, min(rgb.shape[-2:]) // 64)
    hue, chroma = _hues_and_chromas(rgb[..., ::stride, ::stride])
    hue_bin = (hue * LAW_HUES / 360).long().clamp(max=LAW_HUES - 1)
    chroma_bin = (chroma * LAW_CHROMAS / CHROMA_LIMIT).long().clamp(max=LAW_CHROMAS - 1)
    counts = torch.bincount(hue_bin * LAW_CHROMAS + chroma_bin, minlength=LAW_HUES * LAW_CHROMAS).double()
    return counts / counts.sum()


def orange_share(rgb: Tensor) -> float:
    """Compute the share of pixels of vivid orange, hue 40 to 75 degrees and chroma above 35: skin that went wrong."""
    hue, chroma = _hues_and_chromas(rgb)
    return float(((hue > 40) & (hue < 75) & (chroma > 35)).double().mean())


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Compute the Jensen-Shannon divergence of shares along the last dimension, from 0 to ln 2."""
    middle = (first + second) / 2
    return (_kullback_leibler(first, middle) + _kullback_leibler(second, middle)) / 2


def _kullback_leibler(first: Tensor, second: Tensor) -> Tensor:
    return torch.where(first > 0, first * (first / second.clamp_min(1e-300)).log(), 0.0).sum(dim=-1)


def _hues_and_chromas(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """List hue in degrees and chroma in CIE Lab of all pixels."""
    _, a, b = rgb_to_lab(rgb).cpu().unbind(dim=1)
    return torch.rad2deg(torch.atan2(b, a)).flatten() % 360, (a.square() + b.square()).sqrt().flatten()
