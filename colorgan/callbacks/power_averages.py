"""Two power-function averages of the generator, from which any other length can be solved afterwards."""

from collections.abc import Callable, Collection
from typing import Any

import pytorch_lightning as pl
from torch import nn

from colorgan.callbacks.ema import Average
from colorgan.networks.averages import KEPT_LENGTHS, decay, exponent
from colorgan.networks.spectral import renew_spectral_norms
from colorgan.stages.base import Stage


class PowerAverages(pl.Callback):
    """Keep power-function averages of the generator over its own steps (EDM2, Karras et al. 2024).

    Training does not see them. They are for `colorgan average` (see `networks/averages.py`).

    Args:
        steps: of the stage at which they are saved.
        save: called with an average, its length and the generator's steps.
    """

    def __init__(self, steps: Collection[int], save: Callable[[nn.Module, float, int], None]) -> None:
        self.steps, self.save = steps, save
        self._generator_steps = 0
        self._averages: dict[float, Average] = {}

    def setup(self, trainer: pl.Trainer, pl_module: Stage, stage: str) -> None:
        """Copy the generator."""
        if stage == "fit":
            self._averages = {length: Average(pl_module.generator) for length in KEPT_LENGTHS}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Follow the generator to its device."""
        for average in self._averages.values():
            average.network.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Stage, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the averages after a step of the generator; the first update copies."""
        if pl_module.generator_steps > self._generator_steps:
            self._generator_steps = pl_module.generator_steps
            for length, average in self._averages.items():
                average.update(pl_module.generator, decay=decay(self._generator_steps, exponent(length)))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Save the averages beside the snapshots that stay."""
        if trainer.is_global_zero and self._generator_steps and pl_module.steps in self.steps:
            for length, average in self._averages.items():
                renew_spectral_norms(average.network)
                self.save(average.network, length, self._generator_steps)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Stage, checkpoint: dict[str, Any]) -> None:
        """Store the averages."""
        states = {length: average.network.state_dict() for length, average in self._averages.items()}
        checkpoint["generator_power_averages"] = states

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Stage, checkpoint: dict[str, Any]) -> None:
        """Restore the averages."""
        for length, average in self._averages.items():
            average.network.load_state_dict(checkpoint["generator_power_averages"][length])

    def state_dict(self) -> dict[str, Any]:
        """The generator step of the last update."""
        return {"generator_steps": self._generator_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self._generator_steps = state_dict["generator_steps"]
