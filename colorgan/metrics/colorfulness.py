"""Colorfulness of pictures, against that of the photos."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from colorgan.color import colorfulness, quantize


class Colorfulness(Metric):
    """Mean colorfulness M3 of 8-bit pictures (Hasler and Süsstrunk 2003, signed; see `color.colorfulness`).

    Neither direction is better: the photos' own value, reported beside it, is the aim.
    """

    higher_is_better = None
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures, (N, 3, H, W) in [0, 1]; the photos are not looked at."""
        self.total += colorfulness(quantize(fake_rgb)).double().sum()
        self.count += fake_rgb.shape[0]

    def compute(self) -> Tensor:
        """Mean over pictures."""
        return (self.total / self.count).float()
