"""Train the discriminator alone against the frozen generator, the second step of NoGAN."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from colorgan.stages.base import Batch, Stage
from colorgan.stages.rates import OptimizerFactory, SchedulerFactory, single_optimizer, trainable


class CriticPretrainStage(Stage):
    """Train the discriminator as a classifier of photos against the frozen generator's pictures.

    Pictures are made on the fly from the same batch: photo and picture share size, crop and resampling, and no
    file format comes between, so the discriminator has only colour to go by. (DeOldify writes pictures as JPEG
    at 192 px and compares them with other, larger photos.)

    Args:
        optimizer: makes an optimizer from parameters.
        lr_scheduler: makes a per-step schedule of its rate; None for a constant rate.
        common: see `Stage`.
    """

    trains: ClassVar = ("discriminator",)
    needs: ClassVar = ("generator", "discriminator")
    offers: ClassVar = {"discriminator": ("rgb", "gray", "fake_rgb", "real_logits", "fake_logits")}

    def __init__(
        self, *, optimizer: OptimizerFactory, lr_scheduler: SchedulerFactory | None = None, **common: Any
    ) -> None:
        super().__init__(**common)
        assert self.discriminator is not None
        self._optimizer, self._lr_scheduler = optimizer, lr_scheduler

    def configure_optimizers(self) -> dict[str, Any]:
        """Make the optimizer of the discriminator."""
        assert self.discriminator is not None
        return single_optimizer(trainable(self.discriminator), self._optimizer, self._lr_scheduler)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a step of the discriminator."""
        self.take_step(self.optimizers(), batch, self._loss)  # type: ignore[arg-type]
        self.step_scheduler()
        self.discriminator_steps += 1

    def step_losses(self) -> dict[str, Callable[[Batch], Tensor]]:
        """See `Stage`."""
        return {"discriminator": self._loss}

    def _loss(self, batch: Batch) -> Tensor:
        return self.weighted_sum("discriminator", self._judge(batch))

    def _judge(self, batch: Batch) -> dict[str, Tensor]:
        given = (batch["gray"], batch["hints"]) if "hints" in batch else (batch["gray"],)
        with torch.no_grad():
            fake_rgb = self.generator(*given)
        real_logits, fake_logits = self.judged(batch["rgb"], batch), self.judged(fake_rgb, batch)
        return {**batch, "fake_rgb": fake_rgb, "real_logits": real_logits, "fake_logits": fake_logits}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the share of patches where the photo scores above its picture, on held-out photos; chance is 0.5.

        In full precision, as the generator is measured: bfloat16 rounds scores that differ to ties.
        """
        self.log_step()
        with torch.autocast(self.device.type, enabled=False):
            step = self._judge(batch)
        size = batch["rgb"].shape[0]
        accuracy = (step["real_logits"] > step["fake_logits"]).float().mean()
        loss = self.loss_value("discriminator", step)
        self.log("val/accuracy_discriminator", accuracy, prog_bar=True, batch_size=size, sync_dist=True)
        self.log("val/loss_discriminator", loss, batch_size=size, sync_dist=True)
