"""The file from which an interrupted stage goes on."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from colorgan.stages.base import Stage


class ResumeCheckpoint(Checkpoint):
    """Write Lightning's checkpoint of the stage every few steps, under a temporary name, then rename.

    At a step with a validation it is written after it, so that a resumed run neither skips nor repeats one. The
    last step of a stage is not saved: its hand-over follows at once.

    Args:
        path: the file.
        every: steps between two saves.
        validate_every: steps between two validations.
    """

    def __init__(self, path: Path, *, every: int, validate_every: int) -> None:
        self.path, self.every, self.validate_every = path, every, validate_every

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Stage, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at a step without validation."""
        steps = pl_module.steps
        validates = steps % self.validate_every == 0
        if steps % self.every == 0 and not validates and steps < pl_module.num_steps:
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Save after a validation."""
        if pl_module.steps < pl_module.num_steps:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.path)
        trainer.strategy.barrier("resume checkpoint")
