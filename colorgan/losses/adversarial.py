"""Adversarial losses on logits, in pairs: one for the discriminator, one for the generator."""

import torch.nn.functional as F
from torch import Tensor, nn


class BCEDiscriminatorLoss(nn.Module):
    """Mean of binary cross-entropy on real and on fake (Goodfellow et al. 2014); ln 2 = 0.693 at chance.

    DeOldify's switch threshold of 0.65 is on this scale.
    """

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Scalar over logits of any shape."""
        return (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()) / 2  # softplus(-x) = -log sigmoid(x)


class BCEGeneratorLoss(nn.Module):
    """Binary cross-entropy of fakes against "real": the non-saturating loss (Goodfellow et al. 2014)."""

    def forward(self, fake_logits: Tensor) -> Tensor:
        """Scalar over logits of any shape."""
        return F.softplus(-fake_logits).mean()


class HingeDiscriminatorLoss(nn.Module):
    """Hinge loss (Lim and Ye 2017), halved like the others; 1 at chance."""

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Scalar over logits of any shape."""
        return (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()) / 2


class HingeGeneratorLoss(nn.Module):
    """Negative mean of the logits on fakes."""

    def forward(self, fake_logits: Tensor) -> Tensor:
        """Scalar over logits of any shape."""
        return -fake_logits.mean()


class LeastSquaresDiscriminatorLoss(nn.Module):
    """Least squares with targets 1 and 0 (Mao et al. 2017), halved; 0.25 at logits 0.5."""

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Scalar over logits of any shape."""
        return ((real_logits - 1).square().mean() + fake_logits.square().mean()) / 2


class LeastSquaresGeneratorLoss(nn.Module):
    """Squared distance of the logits on fakes from 1."""

    def forward(self, fake_logits: Tensor) -> Tensor:
        """Scalar over logits of any shape."""
        return (fake_logits - 1).square().mean()
