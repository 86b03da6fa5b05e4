"""Show the progress of a stage in the terminal."""

import math
import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from colorgan.stages.base import Stage


class StageProgressBar(TQDMProgressBar):
    """Show one bar a stage: its name, steps, time left, images/s, losses and the last validation.

    Args:
        title: for example `1/3 generator_pretrain`.
        batch_size: images a step.
    """

    def __init__(self, title: str, batch_size: int) -> None:
        super().__init__(refresh_rate=1, leave=True)
        self._seconds_between = 0.5 if sys.stderr.isatty() else 10.0
        self._shown_at = -math.inf
        self.title, self.batch_size = title, batch_size
        self._clock: tuple[float, int] | None = None
        self._images_per_second = 0.0

    def init_train_tqdm(self) -> Tqdm:
        """Make the stage's bar."""
        bar = super().init_train_tqdm()
        bar.set_description(self.title)
        return bar

    def init_validation_tqdm(self) -> Tqdm:
        """Make no second bar: a validation takes a few seconds."""
        return Tqdm(disable=True)

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Start the bar at the step from which the stage goes on."""
        steps = trainer.lightning_module.steps
        self.train_progress_bar.reset(trainer.lightning_module.num_steps)
        self.train_progress_bar.initial = steps
        self.train_progress_bar.n = steps
        self.train_progress_bar.set_description(self.title)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Leave the time of the validation out of images/s."""
        super().on_validation_end(trainer, pl_module)
        self._clock = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Stage, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure images/s; refresh the bar now and then, as the losses on it have to be waited for."""
        now = time.monotonic()
        if self._clock is None:
            self._clock = (now, pl_module.steps)
        elif now - self._clock[0] > 2:
            self._images_per_second = (pl_module.steps - self._clock[1]) * self.batch_size / (now - self._clock[0])
            self._clock = (now, pl_module.steps)
        if now - self._shown_at >= self._seconds_between or pl_module.steps >= pl_module.num_steps:
            self._shown_at = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: pl.Trainer, pl_module: Stage) -> dict[str, Any]:
        """List images/s first, then what is logged under short names."""
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        names = {key: key.removeprefix("train/loss_").removeprefix("val/") for key in items}
        return {
            "img/s": f"{self._images_per_second:.0f}",
            **{names[key]: value for key, value in items.items()},
        }
