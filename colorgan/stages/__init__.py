"""Stages: the LightningModules that a schedule runs one after the other."""

from colorgan.stages.augment import AdaptiveDiffAugment, DiffAugment
from colorgan.stages.critic_pretrain import CriticPretrainStage
from colorgan.stages.gan import GANStage
from colorgan.stages.generator_pretrain import GeneratorPretrainStage
from colorgan.stages.rates import OneCycle
from colorgan.stages.turns import AdaptiveTurns, FixedTurns

__all__ = [
    "AdaptiveDiffAugment",
    "AdaptiveTurns",
    "CriticPretrainStage",
    "DiffAugment",
    "FixedTurns",
    "GANStage",
    "GeneratorPretrainStage",
    "OneCycle",
]
