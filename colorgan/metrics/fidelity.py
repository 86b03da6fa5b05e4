"""How close a picture comes to the photo it was made from."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import peak_signal_noise_ratio

from colorgan.color import quantize


class PSNR(Metric):
    """Peak signal-to-noise ratio in dB of each 8-bit picture, averaged over pictures.

    Note: the untouched gray input scores about 22.8 dB on natural photos; PSNR cannot rank colorizations alone.
    A picture equal to its photo counts 100 dB, not infinity.
    """

    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and photos, (N, 3, H, W) in [0, 1]; both are rounded to 8 bits."""
        for fake, real in zip(quantize(fake_rgb), quantize(rgb), strict=True):
            self.total += peak_signal_noise_ratio(fake, real, data_range=1.0).clamp(max=100).double()
        self.count += rgb.shape[0]

    def compute(self) -> Tensor:
        """Mean over pictures."""
        return (self.total / self.count).float()
