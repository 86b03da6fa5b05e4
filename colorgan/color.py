"""Gray, chroma and RGB: the colour rules that every other part of the package shares.

All functions take float tensors; images are sRGB in [0, 1] unless a name says otherwise.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

GrayRule = Literal["luma601", "lightness"]
GRAY_RULES: tuple[str, ...] = get_args(GrayRule)

_LUMA601 = (0.299, 0.587, 0.114)  # ITU-R BT.601, the luma of JPEG, PIL's "L" and DeOldify
_BISECTIONS = 16  # halvings of the chroma scale: 2^-16 is far below one 8-bit level
_LAB_SCALE = 128  # a and b reach about 100
_LAB_ROUNDING = 5e-5  # colours on the border of the gamut leave it by up to 6e-6 on their way through Lab


def check_gray_rule(rule: str) -> None:
    """Raise `ValueError` unless `rule` names one of `GRAY_RULES`."""
    if rule not in GRAY_RULES:
        raise ValueError(f"gray_rule={rule!r} is unknown; allowed: {', '.join(GRAY_RULES)} (generator.gray_rule)")


def rgb_to_gray(rgb: Tensor, rule: str = "luma601") -> Tensor:
    """Gray of a colour image, by the rule that later recombination must share.

    Args:
        rgb: (N, 3, H, W) in [0, 1].
        rule: `luma601` (BT.601 luma of the gamma-encoded values) or `lightness` (CIE L* / 100).

    Returns:
        (N, 1, H, W) in [0, 1].
    """
    check_gray_rule(rule)
    if rule == "lightness":
        return rgb_to_lab(rgb)[:, :1] / 100
    weights = rgb.new_tensor(_LUMA601).view(1, 3, 1, 1)
    return (rgb * weights).sum(dim=1, keepdim=True)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE Lab (D65) of sRGB, (N, 3, H, W): L in 0..100, a in about -86..98, b in about -108..94."""
    from kornia.color import rgb_to_lab as kornia_rgb_to_lab

    with torch.autocast(rgb.device.type, enabled=False):
        return kornia_rgb_to_lab(rgb.float())


def lab_to_rgb(lab: Tensor) -> Tensor:
    """SRGB of CIE Lab, (N, 3, H, W), unclipped: colours out of gamut leave [0, 1]."""
    from kornia.color import lab_to_rgb as kornia_lab_to_rgb

    with torch.autocast(lab.device.type, enabled=False):
        return kornia_lab_to_rgb(lab.float(), clip=False)


def chroma_to_rgb(gray: Tensor, chroma: Tensor) -> Tensor:
    """Add two chroma planes to a luma601 gray; the luma does not change, the gamut is not looked at.

    Args:
        gray: (N, 1, H, W) luma Y.
        chroma: (N, 2, H, W) the differences B - Y and R - Y, as in BT.601 before its scale factors.

    Returns:
        (N, 3, H, W), unclipped.
    """
    blue_difference, red_difference = chroma.float()[:, :1], chroma.float()[:, 1:]
    # Y = 0.299 R + 0.587 G + 0.114 B solved for G - Y
    green_difference = -(_LUMA601[0] * red_difference + _LUMA601[2] * blue_difference) / _LUMA601[1]
    return gray.float() + torch.cat([red_difference, green_difference, blue_difference], dim=1)


def rgb_to_chroma(rgb: Tensor) -> Tensor:
    """The two chroma planes B - Y and R - Y of `chroma_to_rgb`, (N, 2, H, W)."""
    gray = rgb_to_gray(rgb)
    return torch.cat([rgb[:, 2:] - gray, rgb[:, :1] - gray], dim=1)


def color_planes(rgb: Tensor, rule: str = "luma601") -> Tensor:
    """Two planes of colour that go with a gray rule, as hints hold them.

    Args:
        rgb: (N, 3, H, W) in [0, 1].
        rule: `luma601` gives B - Y and R - Y, `lightness` gives a / 128 and b / 128.

    Returns:
        (N, 2, H, W), within [-1, 1]; 0 is gray.
    """
    check_gray_rule(rule)
    return rgb_to_chroma(rgb) if rule == "luma601" else rgb_to_lab(rgb)[:, 1:] / _LAB_SCALE


def planes_to_rgb(gray: Tensor, planes: Tensor, rule: str = "luma601") -> Tensor:
    """Put the planes of `color_planes` on a gray by the same rule, (N, 3, H, W), unclipped; see `recombine`."""
    check_gray_rule(rule)
    if rule == "luma601":
        return chroma_to_rgb(gray, planes)
    return lab_to_rgb(torch.cat([100 * gray.float(), _LAB_SCALE * planes.float()], dim=1))


def recombine(gray: Tensor, rgb: Tensor, rule: str = "luma601") -> Tensor:
    """Give a colour image the gray of another: the chroma of `rgb` on `gray`, always inside the gamut.

    Where the sum would leave [0, 1], chroma is scaled toward gray, per pixel, just enough. For `luma601` the
    scale has a closed form: with d = chroma offset of a channel, s = min over channels of (1 - Y)/d (d > 0)
    or Y/(-d) (d < 0), at most 1. For `lightness` the scale of (a, b) is found by bisection.

    Args:
        gray: (N, 1, H, W) in [0, 1], made by `rule`.
        rgb: (N, 3, H, W), any range; only its chroma is used.
        rule: the gray rule of both.

    Returns:
        (N, 3, H, W) in [0, 1] whose gray by `rule` equals `gray` up to float rounding.
    """
    check_gray_rule(rule)
    gray, rgb = gray.float(), rgb.float()
    if rule == "lightness":
        return _recombine_lightness(gray, rgb)
    offset = rgb - rgb_to_gray(rgb)
    room = torch.where(offset > 0, 1 - gray, gray)
    scale = (room / offset.abs().clamp_min(1e-6)).amin(dim=1, keepdim=True).clamp(max=1)
    return (gray + scale * offset).clamp(0, 1)  # the clamp only removes float rounding


def _recombine_lightness(gray: Tensor, rgb: Tensor) -> Tensor:
    ab = rgb_to_lab(rgb)[:, 1:]
    lightness = gray * 100

    def at(scale: Tensor) -> Tensor:
        return lab_to_rgb(torch.cat([lightness, scale * ab], dim=1))

    with torch.no_grad():  # the scale is treated as a constant, as in a projection
        low, high = torch.zeros_like(gray), torch.ones_like(gray)
        scale = high
        for _ in range(_BISECTIONS):
            candidate = at(scale)
            inside = ((candidate - 0.5).abs() <= 0.5 + _LAB_ROUNDING).all(dim=1, keepdim=True)
            low, high = torch.where(inside, scale, low), torch.where(inside, high, scale)
            scale = (low + high) / 2
    return at(low).clamp(0, 1)


def quantize(rgb: Tensor) -> Tensor:
    """Round to the 8-bit levels that a saved picture has; values stay floats in [0, 1]."""
    return (rgb.float().clamp(0, 1) * 255).round_().div_(255)  # in place: metrics do this to every picture


def to_uint8(rgb: Tensor) -> Tensor:
    """8-bit levels, rounded to nearest (truncation would darken by half a level)."""
    return (rgb.float().clamp(0, 1) * 255).round().to(torch.uint8)


def colorfulness(rgb: Tensor, *, absolute: bool = False) -> Tensor:
    """Colorfulness M3 of each sRGB image (Hasler and Süsstrunk 2003).

    Args:
        rgb: (N, 3, H, W) in [0, 1]; scaled to 0..255 inside, as in the paper.
        absolute: the variant that takes absolute values of the opponent channels first.

    Returns:
        (N,): sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2); 0 for gray, about 40 for photos.

    Note:
        The opponent channels rg = R - G and yb = (R + G)/2 - B are signed; several public versions take
        absolute values and report other numbers.
    """
    red, green, blue = (255 * rgb.float()).unbind(dim=1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1).flatten(2)
    if absolute:
        opponents = opponents.abs()
    spread = opponents.var(dim=2, correction=0).sum(dim=1)
    center = opponents.mean(dim=2).square().sum(dim=1)
    epsilon = 1e-12  # keeps the gradient of a gray picture finite
    return (spread + epsilon).sqrt() + 0.3 * (center + epsilon).sqrt()
