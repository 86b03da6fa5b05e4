"""Train the generator alone on pixel and feature losses, the first step of NoGAN."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from colorgan.ranges import Positive
from colorgan.stages.base import Batch, Stage
from colorgan.stages.rates import OptimizerFactory, SchedulerFactory, layer_rates, single_optimizer


class GeneratorPretrainStage(Stage):
    """Train the generator to reproduce the colours of photos (DeOldify, ColorizeTrainingStable).

    Args:
        optimizer: makes an optimizer from parameters.
        lr_slice: rates of the generator's layer groups, in place of the optimizer's one (see `rates.slice_rates`).
        lr_scheduler: makes a per-step schedule of its rate; None for a constant rate.
        common: see `Stage`.
    """

    trains: ClassVar = ("generator",)
    offers: ClassVar = {"generator": ("rgb", "gray", "fake_rgb", "colorize", "hints")}

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        lr_slice: Sequence[Positive] | None = None,
        lr_scheduler: SchedulerFactory | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._optimizer, self._lr_slice, self._lr_scheduler = optimizer, lr_slice, lr_scheduler

    def configure_optimizers(self) -> dict[str, Any]:
        """Make the optimizer of what is not frozen."""
        return single_optimizer(layer_rates(self.generator, self._lr_slice), self._optimizer, self._lr_scheduler)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a step of the generator."""
        self.take_step(self.optimizers(), batch, self._loss)  # type: ignore[arg-type]
        self.step_scheduler()
        self.generator_steps += 1

    def step_losses(self) -> dict[str, Callable[[Batch], Tensor]]:
        """See `Stage`."""
        return {"generator": self._loss}

    def _loss(self, batch: Batch) -> Tensor:
        hints = batch.get("hints")
        fake_rgb = self.training_picture(batch["gray"], hints)
        step = {**batch, "hints": hints, "fake_rgb": fake_rgb, "colorize": self.training_picture}
        return self.weighted_sum("generator", step)
