"""Moving average of the generator's weights."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch.optim.swa_utils import AveragedModel

from colorgan.stages.base import Stage


class GeneratorEMA(EMAWeightAveraging):
    """Lightning's exponential moving average, of the generator alone, updated on its own steps.

    Validation, pictures, snapshots and the hand-over use the average; training goes on with the raw weights.
    Lightning's callback averages the whole module; a discriminator must be handed on as it is.

    Args:
        decay: share of the old average that stays at each generator step.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema_decay must be between 0 and 1, or null, got {decay} (schedule.stages.*.ema_decay)")
        super().__init__(decay=decay)
        self._generator_steps = 0

    def setup(self, trainer: pl.Trainer, pl_module: Stage, stage: str) -> None:
        """Copy the generator."""
        if stage == "fit":
            self._average_model = AveragedModel(pl_module.generator, use_buffers=self._use_buffers, **self._kwargs)
            self._average_model.requires_grad_(False)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Follow the generator to its device."""
        assert self._average_model is not None
        self._average_model.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Stage, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average after a step of the generator."""
        assert self._average_model is not None
        if pl_module.generator_steps > self._generator_steps:
            self._average_model.update_parameters(pl_module.generator)
            self._generator_steps = pl_module.generator_steps

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Nothing: a stage is counted in steps."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Leave the average in the generator, for the hand-over."""
        super().on_train_end(trainer, pl_module.generator)  # type: ignore[arg-type]

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Put the average into the generator."""
        super().on_validation_epoch_start(trainer, pl_module.generator)  # type: ignore[arg-type]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Put the raw weights back; this callback stands behind those that use the average."""
        super().on_validation_epoch_end(trainer, pl_module.generator)  # type: ignore[arg-type]

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Stage, checkpoint: dict[str, Any]) -> None:
        """Store the average beside the raw weights."""
        assert self._average_model is not None
        checkpoint["generator_ema"] = self._average_model.state_dict()

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Stage, checkpoint: dict[str, Any]) -> None:
        """Restore the average."""
        assert self._average_model is not None
        self._average_model.load_state_dict(checkpoint["generator_ema"])

    def state_dict(self) -> dict[str, Any]:
        """The generator step of the last update."""
        return {"generator_steps": self._generator_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self._generator_steps = state_dict["generator_steps"]
