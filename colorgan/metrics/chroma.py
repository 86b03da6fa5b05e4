"""Measure how far the colours of pictures are from those of photos, without a network."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from colorgan.color import quantize, rgb_to_lab
from colorgan.metrics.base import LEAST_FOR_SETS, PictureMetric, check_pictures
from colorgan.ranges import NotNegative

_SIZE, _GRID = 64, 8  # pixels and places a side
_SCALES, _DIRECTIONS = (60, 30, 15), 6  # of the waves over the a, b plane of CIE Lab
_AT_ONCE = 64  # pictures: 40 MB


class ChromaDistance(PictureMetric):
    """Distance between the colours of pictures and of photos, as sets and place by place, times 1000.

    A squared maximum mean discrepancy (Gretton et al. 2012) between the a and b of CIE Lab of pixels of both sets. The
    kernel of two pixels is the mean of cos(w . (c - c')) over waves w of three lengths and six directions; pixels of
    different photos count as they are, pixels of one photo only within the same of its 8x8 places, `place_weight`
    times. Two parts result:

    - the distance of the sets, an unbiased estimate over pairs of photos. It does not ask which photo has a colour: so
      a guess that is wrong but plausible costs nothing, and pale pictures cost much. Alone it gives the chroma of
      other photos 0.
    - the mean distance of each place from the same place of its photo. Alone it prefers gray to such a guess.

    On 500 photos it rises with each step of chroma and of hue away from the truth (benchmarks/judge_curves.py): gray
    scores 111, mean tint 65, the chroma of other photos 39, half the chroma 33, double 57, inverted hue 181, the photos
    exactly 0.

    Note: lightness is not looked at, nor detail of chroma finer than 1/64 of a side, and little of where a colour is
    within its place: chroma blurred to 8x8 pixels scores 2, so a feature distance belongs beside it. No object is
    recognised. On 100 photos the standard error of half the chroma is 4; on the seven built-in ones turns of hue beyond
    120 degrees are no longer told apart.

    Args:
        place_weight: of the second part; a tenth keeps the chroma of other photos well below gray and mean tint.
    """

    higher_is_better = False
    least_groups = LEAST_FOR_SETS
    packages = ("kornia", "torchmetrics")
    of_picture: list[Tensor]
    of_places: list[Tensor]

    def __init__(self, place_weight: NotNegative = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= place_weight < math.inf:
            raise ValueError(f"place_weight={place_weight} must be 0 or more (metrics.*.place_weight)")
        self.place_weight = place_weight
        self.add_state("of_picture", [], dist_reduce_fx="cat")
        self.add_state("of_places", [], dist_reduce_fx="cat")

    def describe(self) -> dict[str, Any]:
        """Also say how much places count."""
        return {**super().describe(), "place_weight": self.place_weight}

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and the photos they were made from, (N, 3, H, W) in [0, 1], in the same order."""
        check_pictures(fake_rgb, rgb)
        for start in range(0, len(rgb), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            difference = _mean_waves(fake_rgb[part]) - _mean_waves(rgb[part])
            self.of_picture.append(difference.mean(dim=2).double())
            self.of_places.append(difference.square().sum(dim=1).mean(dim=1).double())

    def compute(self) -> Tensor:
        """Compute the distance; NaN for fewer than two photos."""
        places = dim_zero_cat(self.of_places)
        if len(places) < 2:
            return torch.tensor(float("nan"))
        return self.over_groups(torch.arange(len(places), device=places.device)).float()

    def over_groups(self, groups: Tensor) -> Tensor:
        """Compute the distance over pairs of different groups; NaN for fewer than two."""
        return self.replicates(torch.ones(1, int(groups.max()) + 1), groups)[0]

    def replicates(self, counts: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute distances of resampled sets; pictures of one group, and copies of a picture, are no pair."""
        picture, places = dim_zero_cat(self.of_picture), dim_zero_cat(self.of_places).unsqueeze(1)
        counts = counts.to(picture)
        groups = torch.arange(len(picture)) if groups is None else groups
        sums = [
            values.new_zeros(counts.shape[1], values.shape[1]).index_add_(0, groups.to(values.device), values)
            for values in (picture, places, torch.ones_like(places))
        ]
        picture, places, sizes = sums
        total, squares = (counts @ sizes).squeeze(1), counts.square()
        same = squares @ picture.square().sum(dim=1)
        pairs = total.square() - squares @ sizes.square().squeeze(1)
        of_sets = ((counts @ picture).square().sum(dim=1) - same) / pairs
        return 1000 * (of_sets + self.place_weight * (counts @ places).squeeze(1) / total)


def _mean_waves(rgb: Tensor) -> Tensor:
    """Average cos and sin of all waves at the a and b of pixels, over each place: (N, 2 * waves, places)."""
    small = F.interpolate(quantize(rgb), (_SIZE, _SIZE), mode="bilinear", antialias=True, align_corners=False)
    angles = torch.arange(_DIRECTIONS, device=rgb.device) * (math.pi / _DIRECTIONS)
    directions = torch.stack([angles.cos(), angles.sin()], dim=1)
    waves = torch.cat([directions / scale for scale in _SCALES])
    phases = torch.einsum("fc,nchw->nfhw", waves, rgb_to_lab(small)[:, 1:])
    values = torch.cat([phases.cos(), phases.sin()], dim=1) / math.sqrt(len(waves))
    return F.adaptive_avg_pool2d(values, _GRID).flatten(2)
