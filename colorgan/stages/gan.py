"""Train generator and discriminator against each other, the third step of NoGAN."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from colorgan.stages.base import Batch, Stage
from colorgan.stages.rates import OptimizerFactory, trainable
from colorgan.stages.turns import Turns


class GANStage(Stage):
    """Train generator and discriminator in turns: each batch is one step of one of them, and `turns` says of which.

    The idle network is in eval mode and gets no gradient (DeOldify, `switch_eval`).

    Args:
        optimizer_generator: makes the generator's optimizer from parameters.
        optimizer_discriminator: the same for the discriminator; DeOldify's rate is five times the generator's.
        turns: whose turn it is.
        common: see `Stage`.

    Attributes:
        discriminator_loss: of the last step, unweighted, the mean over processes; None if it was the generator's.
        chance: its value where the discriminator tells nothing; None if the loss does not say.
    """

    trains: ClassVar = ("generator", "discriminator")
    needs: ClassVar = ("generator", "discriminator")
    offers: ClassVar = {
        "generator": ("rgb", "gray", "fake_rgb", "colorize", "hints", "fake_logits"),
        "discriminator": ("rgb", "gray", "fake_rgb", "real_logits", "fake_logits"),
    }

    def __init__(
        self,
        *,
        optimizer_generator: OptimizerFactory,
        optimizer_discriminator: OptimizerFactory,
        turns: Turns,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if not self.loss_weights.get("discriminator"):
            raise ValueError("the GAN stage needs loss_weights.discriminator above 0 (schedule.stages.gan.module)")
        self._optimizer_generator, self._optimizer_discriminator = (
            optimizer_generator,
            optimizer_discriminator,
        )
        self.turns = turns
        self.discriminator_loss: float | None = None
        self.chance = self._losses["discriminator"].chance

    def configure_optimizers(self) -> list[Optimizer]:
        """Make the generator's optimizer, then the discriminator's."""
        assert self.discriminator is not None
        return [
            self._optimizer_generator(trainable(self.generator)),
            self._optimizer_discriminator(trainable(self.discriminator)),
        ]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a step of the network whose turn it is."""
        optimizer_generator, optimizer_discriminator = self.optimizers()  # type: ignore[attr-defined]
        player, self.discriminator_loss = self.turns.player, None
        self.set_modes((player,))
        if player == "generator":
            with self.toggled_optimizer(optimizer_generator):
                self.take_step(optimizer_generator, batch, self._generator_loss)
            self.generator_steps += 1
            self.turns.advance(None)
        else:
            with self.toggled_optimizer(optimizer_discriminator):
                loss = self.take_step(optimizer_discriminator, batch, self._discriminator_loss)
            self.discriminator_steps += 1
            # The threshold is on the scale of the loss itself. All ranks must take the same turn: decide on the mean.
            raw_loss = loss / self.loss_weights["discriminator"]
            self.discriminator_loss = self.trainer.strategy.reduce(raw_loss, reduce_op="mean").item()
            self.turns.advance(self.discriminator_loss)
        self.note("train/generator_turn", float(player == "generator"))

    def step_losses(self) -> dict[str, Callable[[Batch], Tensor]]:
        """See `Stage`."""
        return {"discriminator": self._discriminator_loss, "generator": self._generator_loss}

    def _discriminator_loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            fake_rgb = self.training_picture(batch["gray"], batch.get("hints"))
        real_logits, fake_logits = self.judged(batch["rgb"], batch), self.judged(fake_rgb, batch)
        step = {**batch, "fake_rgb": fake_rgb, "real_logits": real_logits, "fake_logits": fake_logits}
        return self.weighted_sum("discriminator", step)

    def _generator_loss(self, batch: Batch) -> Tensor:
        hints = batch.get("hints")
        fake_rgb = self.training_picture(batch["gray"], hints)
        step: dict[str, Any] = {**batch, "hints": hints, "fake_rgb": fake_rgb, "colorize": self.training_picture}
        step["fake_logits"] = self.judged(fake_rgb, batch)
        return self.weighted_sum("generator", step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store counts and turns."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["turns"] = self.turns.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore counts and turns."""
        super().on_load_checkpoint(checkpoint)
        self.turns.load_state_dict(checkpoint["turns"])
