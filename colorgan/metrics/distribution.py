"""Measure how far a set of pictures is from the set of photos, in the features of a network: FID and KID."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from colorgan.metrics.base import LEAST_FOR_SETS, PictureMetric, check_pictures, of_each_picture
from colorgan.metrics.judges import load_judge

_KERNEL_ROWS = 1024  # of the kernel matrix at once: 50,000 photos need 0.4 GB
_FRECHET_REPLICATES = (100, 20)  # below and above the number of features in photos: seconds each, above


class FeatureDistance(PictureMetric):
    """A distance between two sets of features.

    Args:
        feature_network: name for `judges.load_judge`.
        weights: see there.
    """

    higher_is_better = False
    least_groups = LEAST_FOR_SETS
    packages = ("timm", "torchvision", "torchmetrics")
    fake_features: list[Tensor]
    real_features: list[Tensor]

    def __init__(
        self, feature_network: str = "efficientnet_lite2", *, weights: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.features = load_judge(feature_network, weights)
        self.weights = self.features.weights
        self.add_state("fake_features", [], dist_reduce_fx="cat")
        self.add_state("real_features", [], dist_reduce_fx="cat")

    def describe(self) -> dict[str, Any]:
        """Also name the network, its weights and its preparation of pictures."""
        return {**super().describe(), **self.features.describe()}

    def judge(self) -> str:
        """Name the feature network."""
        return self.features.name

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and the photos they were made from, (N, 3, H, W) in [0, 1], in the same order."""
        check_pictures(fake_rgb, rgb)
        self.fake_features.append(self.features.of_pictures(fake_rgb))
        self.real_features.append(self.features.of_photos(rgb))

    def sets(self) -> tuple[Tensor, Tensor]:
        """List the features of all pictures and of all photos so far, (N, C) in double precision."""
        return dim_zero_cat(self.fake_features).double(), dim_zero_cat(self.real_features).double()

    def distances(self, counts: Tensor, groups: Tensor) -> Tensor:
        """Compute the distance with pictures counted as a row of `counts` (R, N) says, given the group of each."""
        raise NotImplementedError

    def compute(self) -> Tensor:
        """Compute the distance; NaN for fewer than two photos."""
        fake, _ = self.sets()
        if len(fake) < 2:
            return torch.tensor(float("nan"))
        return self.over_groups(torch.arange(len(fake), device=fake.device)).float()

    def over_groups(self, groups: Tensor) -> Tensor:
        """Compute the distance of groups of pictures."""
        return self.distances(self.sets()[0].new_ones(1, len(groups)), groups)[0]

    def replicates(self, counts: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute the distances of resampled sets."""
        fake, _ = self.sets()
        groups = torch.arange(len(fake)) if groups is None else groups
        groups = groups.to(fake.device)
        return self.distances(of_each_picture(counts.to(fake), groups), groups)


class KernelDistance(FeatureDistance):
    """Kernel distance (Binkowski et al. 2018), times 1000: squared maximum mean discrepancy, (x.y / d + 1)^3.

    Estimated without bias over all pairs of items, not over random subsets: it serves where a few hundred photos
    would make FID meaningless, and is not random. On Inception features it is KID; on others it must be reported under
    the network's name, for example `kid_efficientnet_lite2`.

    Args:
        feature_network: name for `judges.load_judge`.
        weights: see there.
        paired: leave out the pair of a picture with the photo it was made from (Gretton et al. 2012, Lemma 6 with
            m = n): the photos themselves then score exactly 0. False is the published estimate, which suits unpaired
            sets and gives the photos themselves less than 0 (-23 on 60 photos with Lite2).
    """

    def __init__(
        self,
        feature_network: str = "efficientnet_lite2",
        *,
        weights: str | None = None,
        paired: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_network, weights=weights, **kwargs)
        self.paired = paired

    def describe(self) -> dict[str, Any]:
        """Also say which pairs count."""
        return {**super().describe(), "paired": self.paired}

    def distances(self, counts: Tensor, groups: Tensor) -> Tensor:
        """Compute 1000 times the estimate; items of one group, and copies of an item, are no pair either."""
        fake, real = self.sets()
        size, count = fake.shape[1], fake.shape[0]
        same, cross = counts.new_zeros(len(counts)), counts.new_zeros(len(counts))
        for start in range(0, count, _KERNEL_ROWS):
            rows = slice(start, start + _KERNEL_ROWS)
            weight = counts[:, rows]
            kernels = [(a[rows] @ b.T / size + 1) ** 3 for a, b in ((fake, fake), (real, real), (fake, real))]
            related = groups[rows].unsqueeze(1) == groups
            for kernel in kernels if self.paired else kernels[:2]:
                kernel.masked_fill_(related, 0)
            same += (weight @ (kernels[0] + kernels[1]) * counts).sum(dim=1)
            cross += (weight @ kernels[2] * counts).sum(dim=1)
        total = counts.sum(dim=1).square()
        of_groups = counts.new_zeros(len(counts), int(groups.max()) + 1).index_add_(1, groups, counts)
        different = total - of_groups.square().sum(dim=1)
        return 1000 * (same / different - 2 * cross / (different if self.paired else total))


class FrechetDistance(FeatureDistance):
    """Frechet distance between Gaussians fitted to both sets (Heusel et al. 2017): on Inception features it is FID.

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2). With A, B the centred features over sqrt(n - 1), S1 = A'A and
    S2 = B'B, the last trace is the sum of the singular values of A B': no matrix root, exact for few photos.

    Note: biased upward by a term in 1/N; below 2,048 photos it is descriptive only, and tables flag it.
    """

    least_photos = 2048  # fewer leave the covariance of 2,048 features singular

    def distances(self, counts: Tensor, groups: Tensor) -> Tensor:
        """Compute the distance of each resampled set; the fit knows of no groups."""
        fake, real = self.sets()
        return torch.stack([_frechet(fake, real, row) for row in counts])

    def replicates(self, counts: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute distances of the first resampled sets, shifted to the value of the whole set.

        A resampled set has fewer distinct photos, which lifts the biased distance; its spread is what counts.
        """
        fake, _ = self.sets()
        few, many = _FRECHET_REPLICATES
        resampled = super().replicates(counts[: few if len(fake) <= fake.shape[1] else many], groups)
        return resampled - resampled.mean() + self.compute()


def _frechet(fake: Tensor, real: Tensor, counts: Tensor) -> Tensor:
    drawn = counts > 0
    counts, total = counts[drawn].unsqueeze(1), counts.sum()
    means, centred = [], []
    for features in (fake[drawn], real[drawn]):
        means.append((counts * features).sum(dim=0) / total)
        centred.append((counts / (total - 1)).sqrt() * (features - means[-1]))
    a, b = centred
    if len(a) <= a.shape[1]:
        cross = torch.linalg.svdvals(a @ b.T).sum()
    else:  # the same singular values, from matrices of the size of the features
        _, upper_a = torch.linalg.qr(a, mode="r")
        _, upper_b = torch.linalg.qr(b, mode="r")
        cross = torch.linalg.svdvals(upper_a @ upper_b.T).sum()
    distance: Tensor = (means[0] - means[1]).square().sum() + a.square().sum() + b.square().sum() - 2 * cross
    return distance.clamp_min(0)  # equal sets end a rounding error below
