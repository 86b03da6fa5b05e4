"""First step of NoGAN: the generator alone, on pixel and feature losses."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from colorgan.stages.base import Batch, OptimizerFactory, SchedulerFactory, Stage, layer_rates, single_optimizer


class GeneratorPretrainStage(Stage):
    """Train the generator to reproduce the colours of photos (DeOldify, ColorizeTrainingStable).

    Args:
        optimizer: makes an optimizer from parameters.
        lr_slice: rates of the generator's layer groups, in place of the optimizer's one (see `rates.slice_rates`).
        lr_scheduler: makes a per-step schedule of its rate; None for a constant rate.
        common: see `Stage`.
    """

    trains: ClassVar = ("generator",)

    def __init__(
        self,
        *,
        optimizer: OptimizerFactory,
        lr_slice: Sequence[float] | None = None,
        lr_scheduler: SchedulerFactory | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._optimizer, self._lr_slice, self._lr_scheduler = optimizer, lr_slice, lr_scheduler

    def configure_optimizers(self) -> dict[str, Any]:
        """Optimizer of what is not frozen."""
        return single_optimizer(layer_rates(self.generator, self._lr_slice), self._optimizer, self._lr_scheduler)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the generator."""
        self.log_step()
        self.take_step(self.optimizers(), batch, self._loss)  # type: ignore[arg-type]
        self.step_scheduler()
        self.generator_steps += 1

    def step_losses(self) -> dict[str, Callable[[Batch], Tensor]]:
        """See `Stage`."""
        return {"generator": self._loss}

    def _loss(self, batch: Batch) -> Tensor:
        return self.weighted_sum(self.image_terms(self.training_picture(batch["gray"]), batch))
