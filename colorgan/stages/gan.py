"""Train generator and discriminator against each other, the third step of NoGAN."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler

from colorgan.ranges import Count
from colorgan.stages.adversarial import AdversarialStage
from colorgan.stages.base import Batch
from colorgan.stages.rates import OptimizerFactory, trainable
from colorgan.stages.turns import Turns


class GANStage(AdversarialStage):
    """Train generator and discriminator in turns: each batch is one step of one of them, and `turns` says of which.

    The idle network is in eval mode and gets no gradient (DeOldify, `switch_eval`).

    Args:
        optimizer_generator: makes the generator's optimizer from parameters.
        optimizer_discriminator: the same for the discriminator; DeOldify's rate is five times the generator's.
        turns: whose turn it is.
        warm_up: steps of each network over which its rate rises to its own. Adam's first steps are as long as any,
            whatever the gradient, and its two networks arrive well trained.
        common: see `Stage`.

    Attributes:
        discriminator_loss: of the last step, unweighted, the mean over processes; None if it was the generator's.
        chance: its value where the discriminator tells nothing; None if the loss does not say.
    """

    trains: ClassVar = ("generator", "discriminator")
    offers: ClassVar = {
        "generator": (
            "rgb",
            "gray",
            "fake_rgb",
            "colorize",
            "hints",
            "fake_logits",
            "real_logits",
            "fake_maps",
            "real_maps",
        ),
        "discriminator": ("rgb", "gray", "fake_rgb", "real_logits", "fake_logits", "discriminate", "batch_size"),
    }

    def __init__(
        self,
        *,
        optimizer_generator: OptimizerFactory,
        optimizer_discriminator: OptimizerFactory,
        turns: Turns,
        warm_up: Count = 1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._optimizer_generator, self._optimizer_discriminator = (
            optimizer_generator,
            optimizer_discriminator,
        )
        self.turns, self.warm_up = turns, warm_up
        self.discriminator_loss: float | None = None
        self.chance = self._losses["discriminator"].chance

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Make the generator's optimizer and scheduler, then the discriminator's."""
        assert self.discriminator is not None
        optimizers = [
            self._optimizer_generator(trainable(self.generator)),
            self._optimizer_discriminator(trainable(self.discriminator)),
        ]
        rises = [LinearLR(one, start_factor=1 / self.warm_up, total_iters=self.warm_up - 1) for one in optimizers]
        return optimizers, list(rises)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a step of the network whose turn it is."""
        optimizer_generator, optimizer_discriminator = self.optimizers()  # type: ignore[attr-defined]
        rise_generator, rise_discriminator = self.lr_schedulers()  # type: ignore[misc]
        player, self.discriminator_loss = self.turns.player, None
        self.set_modes((player,))
        if player == "generator":
            with self.toggled_optimizer(optimizer_generator):
                self.take_step(optimizer_generator, batch, self._generator_loss)
            self.generator_steps += 1
            rise_generator.step()
            self.turns.advance(None)
        else:
            with self.toggled_optimizer(optimizer_discriminator):
                self.take_step(optimizer_discriminator, batch, self._discriminator_loss)
            self.discriminator_stepped()
            rise_discriminator.step()
            # Of the loss itself, without penalties. All ranks must take the same turn: decide on the mean.
            raw_loss = self.step_values["discriminator"]
            self.discriminator_loss = self.trainer.strategy.reduce(raw_loss, reduce_op="mean").item()
            self.turns.advance(self.discriminator_loss * (math.log(2) / self.chance if self.chance else 1.0))
        self.note("train/generator_turn", float(player == "generator"))

    def step_losses(self) -> dict[str, Callable[[Batch], Tensor]]:
        """See `Stage`."""
        return {"discriminator": self._discriminator_loss, "generator": self._generator_loss}

    def _discriminator_loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            fake_rgb = self.training_picture(batch["gray"], batch.get("hints"))
        return self.weighted_sum("discriminator", self.discriminator_inputs(batch, fake_rgb))

    def _generator_loss(self, batch: Batch) -> Tensor:
        fake_rgb = self.training_picture(batch["gray"], batch.get("hints"))
        return self.weighted_sum("generator", self.generator_inputs(batch, fake_rgb))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the turns, too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["turns"] = self.turns.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore them."""
        super().on_load_checkpoint(checkpoint)
        self.turns.load_state_dict(checkpoint["turns"])
