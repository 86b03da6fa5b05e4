"""Metrics that are a mean over pictures."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from colorgan.color import quantize


class MeanOverPictures(Metric):
    """Sums a value of each picture in double precision, so the mean does not depend on batches or ranks."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """The value of each picture, (N,); both images are rounded to 8 bits already."""
        raise NotImplementedError

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and the photos they were made from, (N, 3, H, W) in [0, 1]."""
        values = self.values(quantize(fake_rgb), quantize(rgb))
        self.total += values.double().sum()
        self.count += len(values)

    def compute(self) -> Tensor:
        """Mean over pictures."""
        return (self.total / self.count).float()
