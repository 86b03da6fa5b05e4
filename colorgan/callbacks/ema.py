"""Moving average of the generator's weights."""

import copy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from colorgan.networks.spectral import renew_spectral_norms, spectral_vectors
from colorgan.stages.base import Stage


class Average:
    """Hold a copy of a network as a moving average.

    Averaged are quantities: weights and the statistics of batch norm. What follows from the weights, the singular
    vectors of spectral norm, is to be found anew from the averaged weights (`renew_spectral_norms`): an average of unit
    vectors that turn is shorter than 1, and a layer that is divided by so small a sigma is amplified. (Lightning's
    callback averages all buffers.)
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._pairs: list[tuple[Tensor, Tensor]] = []  # of the average and the network

    @torch.no_grad()
    def update(self, network: nn.Module, *, decay: float) -> None:
        """Move towards the network; `decay` is the share of the old average that stays."""
        if not self._pairs:
            derived = {id(vector) for vector in spectral_vectors(self.network)}
            pairs = zip(_tensors(self.network), _tensors(network), strict=True)
            self._pairs = [pair for pair in pairs if id(pair[0]) not in derived]
        quantities = [pair for pair in self._pairs if pair[0].is_floating_point()]
        counts = [pair for pair in self._pairs if not pair[0].is_floating_point()]  # batches that batch norm has seen
        torch._foreach_lerp_([pair[0] for pair in quantities], [pair[1] for pair in quantities], 1 - decay)
        if counts:
            torch._foreach_copy_([pair[0] for pair in counts], [pair[1] for pair in counts])


class GeneratorEMA(pl.Callback):
    """Keep an exponential moving average of the generator, updated on its own steps.

    Validation, pictures, snapshots and the hand-over use the average; training goes on with the raw weights.

    Args:
        decay: share of the old average that stays at each generator step.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema_decay must be between 0 and 1, or null, got {decay} (schedule.stages.*.ema_decay)")
        self.decay = decay
        self._generator_steps = 0
        self._average = Average(nn.Identity())

    def setup(self, trainer: pl.Trainer, pl_module: Stage, stage: str) -> None:
        """Copy the generator."""
        if stage == "fit":
            self._average = Average(pl_module.generator)
            pl_module.averaged = True

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Follow the generator to its device."""
        self._average.network.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Stage, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average after a step of the generator; the first update copies."""
        if pl_module.generator_steps > self._generator_steps:
            self._average.update(pl_module.generator, decay=self.decay if self._generator_steps else 0.0)
            self._generator_steps = pl_module.generator_steps

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Put the average into the generator, with the singular vectors of its own weights."""
        renew_spectral_norms(self._average.network)
        self._swap(pl_module.generator)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Put the raw weights back; this callback stands behind those that use the average."""
        self._swap(pl_module.generator)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Leave the average in the generator, for the hand-over."""
        renew_spectral_norms(self._average.network)
        self._swap(pl_module.generator)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Stage, checkpoint: dict[str, Any]) -> None:
        """Store the average beside the raw weights."""
        checkpoint["generator_ema"] = self._average.network.state_dict()

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Stage, checkpoint: dict[str, Any]) -> None:
        """Restore the average."""
        self._average.network.load_state_dict(checkpoint["generator_ema"])

    def state_dict(self) -> dict[str, Any]:
        """The generator step of the last update."""
        return {"generator_steps": self._generator_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self._generator_steps = state_dict["generator_steps"]

    @torch.no_grad()
    def _swap(self, generator: nn.Module) -> None:
        """Exchange values, not tensors: optimizers and gradient buckets hold on to the generator's."""
        for average, current in zip(_tensors(self._average.network), _tensors(generator), strict=True):
            before = current.clone()
            current.copy_(average)
            average.copy_(before)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
