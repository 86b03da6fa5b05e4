"""First step of NoGAN: the generator alone, on pixel and feature losses."""

from typing import Any, ClassVar

from torch import Tensor

from colorgan.stages.base import Batch, OptimizerFactory, SchedulerFactory, Stage, single_optimizer, trainable


class GeneratorPretrainStage(Stage):
    """Train the generator to reproduce the colours of photos (DeOldify, ColorizeTrainingStable).

    Args:
        optimizer: makes an optimizer from parameters.
        lr_scheduler: makes a per-step schedule of its rate; None for a constant rate.
        common: see `Stage`.
    """

    trains: ClassVar = ("generator",)

    def __init__(
        self, *, optimizer: OptimizerFactory, lr_scheduler: SchedulerFactory | None = None, **common: Any
    ) -> None:
        super().__init__(**common)
        self._optimizer, self._lr_scheduler = optimizer, lr_scheduler

    def configure_optimizers(self) -> dict[str, Any]:
        """Optimizer of what is not frozen."""
        return single_optimizer(trainable(self.generator), self._optimizer, self._lr_scheduler)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the generator."""
        self.log_step()
        self.take_step(self.optimizers(), batch, self._loss)  # type: ignore[arg-type]
        self.step_scheduler()
        self.generator_steps += 1

    def _loss(self, batch: Batch) -> Tensor:
        return self.weighted_sum(self.image_terms(self.generator(batch["gray"]), batch["rgb"]))
