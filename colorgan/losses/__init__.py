"""Losses: one class, one scalar, no weight inside; weights stand in the stage's yaml."""

from colorgan.losses.adversarial import (
    BCEDiscriminatorLoss,
    BCEGeneratorLoss,
    HingeDiscriminatorLoss,
    HingeGeneratorLoss,
    LeastSquaresDiscriminatorLoss,
    LeastSquaresGeneratorLoss,
)
from colorgan.losses.chroma import ColorfulnessLoss
from colorgan.losses.feature import FeatureLoss, LPIPSLoss
from colorgan.losses.pixel import CharbonnierLoss, L1Loss, NormalizedL1Loss
from colorgan.losses.temporal import TemporalLoss

__all__ = [
    "BCEDiscriminatorLoss",
    "BCEGeneratorLoss",
    "CharbonnierLoss",
    "ColorfulnessLoss",
    "FeatureLoss",
    "HingeDiscriminatorLoss",
    "HingeGeneratorLoss",
    "L1Loss",
    "LPIPSLoss",
    "LeastSquaresDiscriminatorLoss",
    "LeastSquaresGeneratorLoss",
    "NormalizedL1Loss",
    "TemporalLoss",
]
