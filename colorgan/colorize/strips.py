"""Resize pictures strip by strip, so that memory does not grow with them: the same values as all at once."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def shrink(gray: Callable[[slice], Tensor], rows: Iterable[slice], size: tuple[int, int]) -> Tensor:
    """Shrink a picture, antialiased: each strip across, then all of it down.

    Args:
        gray: gives a strip of rows, (1, 1, rows, W).
        rows: the strips, in order.
        size: height and width.

    Returns:
        (1, 1, height, width).
    """

    def resized(picture: Tensor, to: tuple[int, int]) -> Tensor:
        return F.interpolate(picture, size=to, mode="bilinear", antialias=True, align_corners=False)

    narrow = torch.cat([resized(gray(strip), (strip.stop - strip.start, size[1])) for strip in rows], dim=2)
    return resized(narrow, size).clamp(0, 1)


class Enlarged:
    """Enlarge a picture bicubically, of which strips are asked for.

    Args:
        small: (1, C, h, w).
        size: height and width of the large picture.
    """

    def __init__(self, small: Tensor, size: tuple[int, int]) -> None:
        height, width = size
        self._wide = F.interpolate(small, size=(small.shape[2], width), mode="bicubic", align_corners=False)
        unit = torch.eye(small.shape[2], device=small.device)[None, None]
        weights = F.interpolate(unit, size=(height, small.shape[2]), mode="bicubic", align_corners=False)
        self._weights = weights[0, 0]  # what each row of the large picture takes from each of the small one

    def strip(self, rows: slice) -> Tensor:
        """Make rows of the large picture, (1, C, rows, width)."""
        weights = self._weights[rows]
        used = weights.abs().amax(dim=0).nonzero()
        near = slice(int(used[0]), int(used[-1]) + 1)
        return torch.einsum("ry,ncyx->ncrx", weights[:, near], self._wide[:, :, near])
