"""A penalty that holds a discriminator's logits near their own averages over time."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from colorgan.losses.base import Loss
from colorgan.ranges import ProperShare


class LeCamPenalty(Loss):
    """E relu(D(x) - a_fake)^2 + E relu(a_real - D(G))^2, a being averages of mean logits over time (Tseng et al. 2021).

    For few photos: the further the discriminator drives photos from pictures, the more it costs. Weights: 0.3 in the
    paper's code beside a hinge loss that is not halved, so half of that beside ours. Where only differences of logits
    are bound, averages mean nothing: stages refuse it beside such a loss.

    Args:
        decay: share of the old average that stays at each step; averages are free of their start.
    """

    trains: ClassVar = "discriminator"
    inputs: ClassVar = ("real_logits", "fake_logits", "batch_size")
    remembers: ClassVar = True
    sums: Tensor
    weight: Tensor

    def __init__(self, *, decay: ProperShare = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("sums", torch.zeros(2))
        self.register_buffer("weight", torch.zeros(()))

    def forward(self, real_logits: Tensor, fake_logits: Tensor, batch_size: int) -> Tensor:
        """Follow the means, those of a part of a step by its share; then compute the scalar.

        Args:
            real_logits: (N, ...), of photos.
            fake_logits: likewise, of pictures.
            batch_size: photos of the whole step.
        """
        real_logits, fake_logits = real_logits.float(), fake_logits.float()
        means = torch.stack([real_logits.detach().mean(), fake_logits.detach().mean()])
        self._follow(means, len(real_logits) / batch_size)
        real, fake = (self.sums / self.weight).unbind()
        return F.relu(real_logits - fake).square().mean() + F.relu(real - fake_logits).square().mean()

    @torch.no_grad()
    def _follow(self, means: Tensor, share: float) -> None:
        if distributed.is_initialized():  # all processes keep the same averages
            distributed.all_reduce(means)
            means, share = means / distributed.get_world_size(), share * distributed.get_world_size()
        new = 1 - self.decay**share
        self.sums.lerp_(means, new)
        self.weight.lerp_(torch.ones_like(self.weight), new)
