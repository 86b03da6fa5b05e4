"""Share what metrics of pictures have in common: input, a value a picture, values of resampled sets for intervals."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, distributed
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from colorgan.color import quantize
from colorgan.networks.weights import FoundWeights

LEAST_FOR_INTERVALS = 10  # groups; a bootstrap over fewer gives intervals that are too narrow to be called 95 %
# Groups of photos that a distance between two sets needs: drawn anew from 600 photos, so many put gray, mean tint and
# another photo's colours in their right order in at least 95 of 100 draws, 20 do not (docs/evaluation.md).
LEAST_FOR_SETS = 30
_RANGE_ROUNDING = 1e-3  # of float pictures; a tenth of that would refuse honest half precision


class PictureMetric(Metric):
    """A metric with `update(fake_rgb, rgb)`: pictures and the photos they were made from, in the same order.

    Attributes:
        needs_truth: False if the photos are not looked at, so black-and-white photos can be measured too.
        least_photos: below so many photos the number is descriptive only.
        least_groups: below so many independent groups of photos the number means nothing, and tables leave it out.
        decimals: worth printing.
        packages: whose code decides the value; their versions are part of the protocol.
        weights: of the network that judges; None if there is none.
    """

    full_state_update = False
    version = 1  # raise it when the code gives other values
    packages: tuple[str, ...] = ()
    higher_is_better: bool | None = None
    needs_truth = True
    least_photos = 0
    least_groups = 0
    decimals = 2
    weights: FoundWeights | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dist_sync_fn": gather_from_processes, **kwargs})

    def describe(self) -> dict[str, Any]:
        """Say all that changes the value, for records."""
        versions = {package: version(package) for package in self.packages}
        return {"class": type(self).__name__, "version": self.version, **versions}

    def judge(self) -> str | None:
        """Name the network behind the number, as records of checkpoints do; None if there is none."""
        return None

    def over_groups(self, groups: Tensor) -> Tensor:
        """Compute the value where pictures come in groups that are no independent evidence, crops of one photo.

        Args:
            groups: (N,), the number of each picture's group.
        """
        value: Tensor = self.compute()
        return value

    def replicates(self, counts: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute the metric on resampled sets, for bootstrap intervals and paired tests.

        Args:
            counts: (R, G), how often each of the G groups is in each of R resampled sets; rows sum to G.
            groups: (N,), the number of each picture's group; None: each picture is one of its own.

        Returns:
            (R,) in double precision; metrics that are dear to compute may answer for the first rows only.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class MissingMetric:
    """A metric whose weights are not on this machine.

    Attributes:
        kind: its class.
        needs: which file it needs, and where to put it.
    """

    kind: type[PictureMetric]
    needs: str


class MeanOverPictures(PictureMetric):
    """Mean of a value of each picture, in double precision: it depends neither on batches nor on ranks."""

    per_picture: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("per_picture", [], dist_reduce_fx="cat")

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the value of each picture, (N,); both images are rounded to 8 bits already."""
        raise NotImplementedError

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and the photos they were made from, (N, 3, H, W) in [0, 1].

        Raises:
            ValueError: another range or shape.
        """
        check_pictures(fake_rgb, rgb)
        self.per_picture.append(self.values(quantize(fake_rgb), quantize(rgb)).double())

    def compute(self) -> Tensor:
        """Average over pictures."""
        return self.value_of_each().mean().float()

    def value_of_each(self) -> Tensor:
        """List the values of all pictures so far, (N,) in double precision."""
        values: Tensor = dim_zero_cat(self.per_picture)
        return values

    def replicates(self, counts: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute means over the pictures of the groups drawn."""
        return weighted_means(self.value_of_each(), counts, groups)


def gather_from_processes(state: Tensor, group: Any = None) -> list[Tensor]:
    """Gather the state of every process, in their order; a process without pictures may have none.

    torchmetrics gives such a process an empty float32 vector, which gloo and NCCL cannot gather beside matrices or
    doubles.
    """
    kinds: list[Any] = [None] * distributed.get_world_size(group)
    distributed.all_gather_object(kinds, (len(state) > 0, state.shape[1:], state.dtype), group)
    if not len(state):
        _, shape, dtype = max(kinds, key=lambda kind: kind[0])
        state = state.new_zeros((0, *shape), dtype=dtype)
    gathered: list[Tensor] = gather_all_tensors(state, group)
    return gathered


def check_pictures(fake_rgb: Tensor, rgb: Tensor) -> None:
    """Refuse what is no pair of float image batches in [0, 1]: a wrong range gives plausible wrong numbers."""
    if fake_rgb.shape != rgb.shape or fake_rgb.ndim != 4 or fake_rgb.shape[1] != 3:
        raise ValueError(
            f"metrics need pictures and photos (N, 3, H, W) alike, got {tuple(fake_rgb.shape)} and {tuple(rgb.shape)}"
        )
    for name, image in (("pictures", fake_rgb), ("photos", rgb)):
        low, high = (float(bound) for bound in image.aminmax()) if image.numel() else (0.0, 0.0)
        if not image.is_floating_point() or not (low >= -_RANGE_ROUNDING and high <= 1 + _RANGE_ROUNDING):
            raise ValueError(
                f"metrics need float {name} in [0, 1], got {str(image.dtype).removeprefix('torch.')} in "
                f"[{low:.4g}, {high:.4g}]"
            )


def too_few(metric: PictureMetric, num_groups: int) -> str:
    """Say why so many groups of photos cannot carry a metric; empty if they can."""
    if num_groups >= metric.least_groups:
        return ""
    return f"needs {metric.least_groups} independent groups of photos; here are {num_groups}"


def weighted_means(values: Tensor, counts: Tensor, groups: Tensor | None) -> Tensor:
    """Average values (N,) over the pictures of the groups that each row of `counts` (see `replicates`) draws."""
    counts = of_each_picture(counts.to(values), groups)
    return counts @ values / counts.sum(dim=1)


def of_each_picture(counts: Tensor, groups: Tensor | None) -> Tensor:
    """Turn counts of groups, (R, G), into counts of pictures, (R, N)."""
    return counts if groups is None else counts[:, groups.to(counts.device)]


def resampling_counts(num_groups: int, num_replicates: int, *, seed: int = 0) -> Tensor:
    """Count how often each group of pictures is drawn in each of a bootstrap's resampled sets.

    A pure function of its arguments: replicates of two checkpoints on the same photos are pairs.

    Returns:
        (num_replicates, num_groups) float64; rows sum to num_groups.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(num_groups, (num_replicates, num_groups), generator=generator)
    counts = torch.zeros(num_replicates, num_groups, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
