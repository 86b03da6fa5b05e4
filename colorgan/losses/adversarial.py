"""Adversarial losses on logits, in pairs: one for the discriminator, one for the generator.

All are computed in float32, whatever the logits: in bfloat16 a loss near 0.65 moves in steps of 1/256, and turns are
decided by it.
"""

import math
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from colorgan.losses.base import Loss


class BCEDiscriminatorLoss(Loss):
    """Mean of binary cross-entropy on real and on fake (Goodfellow et al. 2014); ln 2 = 0.693 at chance.

    DeOldify's switch threshold of 0.65 is on this scale.
    """

    trains: ClassVar = "discriminator"
    inputs: ClassVar = ("real_logits", "fake_logits")
    chance: ClassVar = math.log(2)

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return (
            F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()
        ) / 2  # softplus(-x) = -log sigmoid(x)


class BCEGeneratorLoss(Loss):
    """Binary cross-entropy of fakes against "real": the non-saturating loss (Goodfellow et al. 2014)."""

    inputs: ClassVar = ("fake_logits",)

    def forward(self, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return F.softplus(-fake_logits.float()).mean()


class HingeDiscriminatorLoss(Loss):
    """Hinge loss (Lim and Ye 2017), halved like the others; 1 at chance."""

    trains: ClassVar = "discriminator"
    inputs: ClassVar = ("real_logits", "fake_logits")
    chance: ClassVar = 1.0

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return (F.relu(1 - real_logits.float()).mean() + F.relu(1 + fake_logits.float()).mean()) / 2


class HingeGeneratorLoss(Loss):
    """Negative mean of the logits on fakes."""

    inputs: ClassVar = ("fake_logits",)

    def forward(self, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return -fake_logits.float().mean()


class LeastSquaresDiscriminatorLoss(Loss):
    """Least squares with targets 1 and 0 (Mao et al. 2017), halved; 0.25 at logits 0.5."""

    trains: ClassVar = "discriminator"
    inputs: ClassVar = ("real_logits", "fake_logits")
    chance: ClassVar = 0.25

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return ((real_logits.float() - 1).square().mean() + fake_logits.float().square().mean()) / 2


class LeastSquaresGeneratorLoss(Loss):
    """Squared distance of the logits on fakes from 1."""

    inputs: ClassVar = ("fake_logits",)

    def forward(self, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return (fake_logits.float() - 1).square().mean()
