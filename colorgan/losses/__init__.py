"""Losses that stages train on; each declares the network it trains and the inputs it wants (see `base.Loss`)."""

from colorgan.losses.adversarial import (
    BCEDiscriminatorLoss,
    BCEGeneratorLoss,
    HingeDiscriminatorLoss,
    HingeGeneratorLoss,
    LeastSquaresDiscriminatorLoss,
    LeastSquaresGeneratorLoss,
    RelativisticDiscriminatorLoss,
    RelativisticGeneratorLoss,
)
from colorgan.losses.base import Loss
from colorgan.losses.chroma import ColorfulnessLoss
from colorgan.losses.feature import FeatureLoss, FeatureMatchingLoss, LPIPSLoss
from colorgan.losses.lecam import LeCamPenalty
from colorgan.losses.penalty import R1Penalty, R2Penalty
from colorgan.losses.pixel import CharbonnierLoss, L1Loss, NormalizedL1Loss
from colorgan.losses.temporal import TemporalLoss

__all__ = [
    "BCEDiscriminatorLoss",
    "BCEGeneratorLoss",
    "CharbonnierLoss",
    "ColorfulnessLoss",
    "FeatureLoss",
    "FeatureMatchingLoss",
    "HingeDiscriminatorLoss",
    "HingeGeneratorLoss",
    "L1Loss",
    "LPIPSLoss",
    "LeCamPenalty",
    "LeastSquaresDiscriminatorLoss",
    "LeastSquaresGeneratorLoss",
    "Loss",
    "NormalizedL1Loss",
    "R1Penalty",
    "R2Penalty",
    "RelativisticDiscriminatorLoss",
    "RelativisticGeneratorLoss",
    "TemporalLoss",
]
