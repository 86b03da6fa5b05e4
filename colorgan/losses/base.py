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
    - `real_logits`: of `rgb` (steps of the discriminator only).

    Attributes:
        trains: the network whose steps it is part of.
        inputs: names of the arguments of `forward`.
        chance: its value where a discriminator tells nothing; None if there is no such value.
    """

    trains: ClassVar[str] = "generator"
    inputs: ClassVar[tuple[str, ...]] = ("fake_rgb", "rgb")
    chance: ClassVar[float | None] = None
