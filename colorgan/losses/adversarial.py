"""Adversarial losses on logits, in pairs: one for the discriminator, one for the generator.

All are computed in float32, whatever the logits: in bfloat16 a loss near 0.65 moves in steps of 1/256, and turns are
decided by it.
"""

import math
from typing import Annotated, ClassVar

import torch.nn.functional as F
from torch import Tensor

from colorgan.losses.base import Loss
from colorgan.ranges import Range


class BCEDiscriminatorLoss(Loss):
    """Mean of binary cross-entropy on real and on fake (Goodfellow et al. 2014); ln 2 = 0.693 at chance.

    DeOldify's switch threshold of 0.65 is on this scale.

    Args:
        smoothing: the target of photos is 1 less this, that of pictures stays 0: one-sided label smoothing (Salimans
            et al. 2016, with 0.1). It bounds the logits of photos. A discriminator that tells nothing then does best
            by saying p = (1 - smoothing) / 2, so that chance is the entropy of p.
    """

    trains: ClassVar = "discriminator"
    inputs: ClassVar = ("real_logits", "fake_logits")

    def __init__(self, smoothing: Annotated[float, Range(0, 0.5, below=True)] = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing
        p = (1 - smoothing) / 2
        self.chance = -p * math.log(p) - (1 - p) * math.log(1 - p) if smoothing else math.log(2)
        self.neutral = math.log(p / (1 - p))

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        real = F.softplus(-real_logits.float()).mean()  # softplus(-x) = -log sigmoid(x)
        if self.smoothing:
            real = real + self.smoothing * real_logits.float().mean()  # softplus(x) = softplus(-x) + x
        return (real + F.softplus(fake_logits.float()).mean()) / 2


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
    chance = 1.0

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
    chance = 0.25
    neutral = 0.5

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return ((real_logits.float() - 1).square().mean() + fake_logits.float().square().mean()) / 2


class LeastSquaresGeneratorLoss(Loss):
    """Squared distance of the logits on fakes from 1."""

    inputs: ClassVar = ("fake_logits",)

    def forward(self, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape."""
        return (fake_logits.float() - 1).square().mean()


class RelativisticDiscriminatorLoss(Loss):
    """Softplus of how much realer a picture looks than its own photo; ln 2 at chance (R3GAN, Huang et al. 2024).

    The relativistic pairing of Jolicoeur-Martineau 2018. There real and fake are strangers; here they are one photo,
    in its own colours and in the generator's, patch by patch, so that what both show cancels, and only colour counts.
    Only the difference of logits is bound: R1 and R2 keep it from growing.
    """

    trains: ClassVar = "discriminator"
    inputs: ClassVar = ("real_logits", "fake_logits")
    paired: ClassVar = True
    chance = math.log(2)

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape, those of one photo at the same place."""
        return F.softplus(fake_logits.float() - real_logits.float()).mean()


class RelativisticGeneratorLoss(Loss):
    """Softplus of how much realer the photo looks than its picture: the other side of the same."""

    inputs: ClassVar = ("real_logits", "fake_logits")

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Compute the scalar over logits of any shape, those of one photo at the same place."""
        return F.softplus(real_logits.float() - fake_logits.float()).mean()
