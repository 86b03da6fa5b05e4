"""Find where a GAN has put colour contrast that its generator did not have before."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from colorgan.color import quantize, rgb_to_lab

_WINDOW, _SIGMA = 11, 1.5  # of SSIM, which DeSRA takes them from
_CONSTANT = (0.03 * 200) ** 2  # DeSRA: (.03 range)^2; a and b of CIE Lab span about 200
_THRESHOLD = 0.7  # DeSRA's: below, the contrasts count as different
_LEAST_SHARE = 4000 / 512**2  # of the picture, that a connected area covers: DeSRA's 4,000 pixels


@torch.no_grad()
def artefact_areas(fake_rgb: Tensor, twin_rgb: Tensor) -> Tensor:
    """Compute the share of each picture in which local contrast of colour is far above that of a twin.

    DeSRA (Xie et al. 2023, eq. 7) on chroma. With s the local standard deviation of a and b in CIE Lab, a pixel is
    suspicious where C = (2 s_twin s + c) / (s_twin^2 + s^2 + c) < .7 and s > s_twin; then the mask is eroded, dilated
    three times, its holes are filled and small areas dropped.

    Args:
        fake_rgb: (N, 3, H, W) in [0, 1], by a generator after adversarial training.
        twin_rgb: the same photos by the generator as it was before. (DeSRA has to train one.)

    Returns:
        (N,) shares.

    Note: DeSRA erodes and dilates by 5 pixels in pictures of some 500; here by 3 where the shorter side is below 256.
        Where the twin is pale, rightful colour counts too.
    """
    twin, fake = _contrast(twin_rgb), _contrast(fake_rgb)
    similarity = (2 * twin * fake + _CONSTANT) / (twin.square() + fake.square() + _CONSTANT)
    suspicious = ((similarity < _THRESHOLD) & (fake > twin)).cpu().numpy()
    side = 5 if min(fake_rgb.shape[-2:]) >= 256 else 3
    return torch.tensor([_cleaned_share(mask, side) for mask in suspicious], dtype=torch.float64)


def _contrast(rgb: Tensor) -> Tensor:
    """Compute the local standard deviation of a and b together, (N, H, W)."""
    ab = rgb_to_lab(quantize(rgb))[:, 1:]
    offsets = torch.arange(_WINDOW, device=ab.device) - _WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window = (window / window.sum()).to(ab)

    def blurred(planes: Tensor) -> Tensor:
        margin = _WINDOW // 2
        padded = F.pad(planes, (margin,) * 4, mode="reflect").flatten(0, 1).unsqueeze(1)
        rows = F.conv2d(padded, window.view(1, 1, 1, -1))
        return F.conv2d(rows, window.view(1, 1, -1, 1)).view_as(planes)

    variance = (blurred(ab.square()) - blurred(ab).square()).clamp_min(0)
    return variance.sum(dim=1).sqrt()


def _cleaned_share(mask: np.ndarray, side: int) -> float:
    """Compute the share of a picture that a mask covers once it is free of specks and holes."""
    square = ndimage.generate_binary_structure(2, 2)
    mask = ndimage.binary_erosion(mask, square, iterations=side // 2)
    mask = ndimage.binary_dilation(mask, square, iterations=3 * (side // 2))
    labels, count = ndimage.label(ndimage.binary_fill_holes(mask), square)
    sizes = ndimage.sum_labels(labels > 0, labels, range(1, count + 1)) if count else []
    return float(sum(size for size in sizes if size >= _LEAST_SHARE * mask.size)) / mask.size
