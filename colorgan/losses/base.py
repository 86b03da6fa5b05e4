"""The base of all losses: a loss declares the network it trains and the inputs it wants."""

from typing import ClassVar

from torch import nn


class Loss(nn.Module):
    """Compute a scalar from what a training step has; its weight stands in the stage's yaml.

    A stage looks `inputs` up by name in what a step of that network has, and hands them to `forward` in this order:

    - `rgb`: the photos, (N, 3, H, W) in [0, 1];
    - `gray`: what the generator was given, (N, 1, H, W) in [0, 1];
    - `fake_rgb`: its pictures of them, (N, 3, H, W);
    - `colorize`: the generator itself, as a function of other grays and hints (steps of the generator only);
    - `hints`: what the generator was given beside the gray, (N, 3, H, W), or None (steps of the generator only);
    - `fake_logits`: the discriminator's logits of `fake_rgb` (where there is a discriminator);
    - `real_logits`: of `rgb`; in steps of the generator they are computed only if a loss asks;
    - `fake_maps`, `real_maps`: what the discriminator's layers make of both, lists of (N, C, h, w) (steps of the
      generator only);
    - `discriminate`: the discriminator as a function of (N, 3, H, W) pictures of the step's grays, to logits, which
      may be differentiated twice (steps of the discriminator only);
    - `batch_size`: photos of the whole step, in all its parts and processes (steps of the discriminator only).

    Attributes:
        trains: the network whose steps it is part of.
        inputs: names of the arguments of `forward`.
        chance: its value where a discriminator tells nothing; None if there is no such value.
        neutral: the logit that takes a picture neither for a photo nor for the generator's.
        paired: it knows the logits of a photo only against those of its picture.
        remembers: its state dict goes from step to step, and so into the file from which a stopped stage goes on.
        every: it is part of one in so many steps of its network, with so many times its weight.
    """

    trains: ClassVar[str] = "generator"
    inputs: ClassVar[tuple[str, ...]] = ("fake_rgb", "rgb")
    chance: float | None = None
    neutral: float = 0.0
    paired: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    every: int = 1
