"""Measure the generator after each validation, draw its pictures, keep records."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics import MetricCollection

from colorgan.files import read_json_lines, write_text
from colorgan.media.photo import save_photo
from colorgan.media.sheet import picture_sheet, to_image
from colorgan.stages.base import Stage

Batch = dict[str, Tensor]


class Records:
    """Keep the run's `metrics.jsonl`, a line a validation. A resumed stage drops what it will measure again.

    Args:
        path: the file.
        stage: name of the stage that writes.
    """

    def __init__(self, path: Path, stage: str) -> None:
        self.path, self.stage = path, stage

    def read(self) -> list[dict[str, Any]]:
        """Read all records; a line that a crash has cut off or a disk has damaged is left out."""
        return read_json_lines(self.path, {"stage": str, "step": int, "metrics": dict})

    def of_stage(self) -> list[dict[str, Any]]:
        """Read the records of this stage."""
        return [record for record in self.read() if record["stage"] == self.stage]

    def drop_after(self, step: int) -> None:
        """Remove this stage's records of later steps."""
        kept = [r for r in self.read() if r["stage"] != self.stage or r["step"] <= step]
        self._write(kept)

    def append(self, step: int, metrics: dict[str, float]) -> None:
        """Add a record."""
        self._write([*self.read(), {"stage": self.stage, "step": step, "metrics": metrics}])

    def add(self, step: int, facts: Mapping[str, Any]) -> None:
        """Add facts to this stage's record of a step."""
        records = self.read()
        for record in records:
            if record["stage"] == self.stage and record["step"] == step:
                record.update(facts)
        self._write(records)

    def warnings(self) -> dict[str, str]:
        """Read the warnings of this stage, by kind."""
        return {kind: text for record in self.of_stage() for kind, text in record.get("warnings", {}).items()}

    def _write(self, records: list[dict[str, Any]]) -> None:
        write_text(self.path, "".join(json.dumps(record, sort_keys=True) + "\n" for record in records))


class ValidationMetrics(pl.Callback):
    """Measure the generator on the validation panel; the values go to the loggers and to `metrics.jsonl`.

    Metrics live here and not in the module, so that their feature networks stay out of its state dict.

    Args:
        metrics: classes with `update(fake_rgb, rgb)`.
        records: where the values are kept.
        save_snapshot: called with (step, values) while the averaged weights are in place; None for no snapshots.
        measure_more: other values of the generator by name, for example over time.
    """

    def __init__(
        self,
        metrics: MetricCollection,
        records: Records,
        save_snapshot: Callable[[int, dict[str, float]], None] | None = None,
        measure_more: Callable[[nn.Module], dict[str, float]] | None = None,
    ) -> None:
        self.metrics, self.records, self.save_snapshot = metrics, records, save_snapshot
        self.measure_more = measure_more

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Follow the module to its device; Apple's has no float64, so metrics stay on the CPU there."""
        self.device = torch.device("cpu") if pl_module.device.type == "mps" else pl_module.device
        self.metrics.to(self.device)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Forget records behind the point from which the stage goes on."""
        if trainer.is_global_zero:
            self.records.drop_after(pl_module.steps)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Stage,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch to the metrics."""
        if "generator" in pl_module.trains:
            self.metrics.update(outputs["fake_rgb"].to(self.device), batch["rgb"].to(self.device))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Compute the metrics, log and record them."""
        if "generator" in pl_module.trains:
            values = {f"val/{name}": value for name, value in self.metrics.compute().items()}
            pl_module.log_dict(values, prog_bar=True, batch_size=1)
            if self.measure_more is not None:
                with torch.autocast(pl_module.device.type, enabled=False):
                    more = self.measure_more(pl_module.generator)
                values |= {f"val/{name}": torch.tensor(value) for name, value in more.items()}
                pl_module.log_dict({f"val/{name}": value for name, value in more.items()}, batch_size=1)
            self.metrics.reset()
        else:
            keys = [key for key in trainer.callback_metrics if key.startswith("val/")]
            values = {key: trainer.callback_metrics[key] for key in keys}
        plain = {name.removeprefix("val/"): float(value) for name, value in values.items()}
        if trainer.is_global_zero:
            self.records.append(pl_module.steps, plain)
            if self.save_snapshot is not None:
                self.save_snapshot(pl_module.steps, plain)


class ValidationPictures(pl.Callback):
    """Draw fixed photos after each validation, a row each: gray | colorized | truth.

    Args:
        folder: where `step=000100.png` is written.
        num_photos: rows.
    """

    def __init__(self, folder: Path, num_photos: int = 8) -> None:
        self.folder, self.num_photos = folder, num_photos
        self._rows: list[Tensor] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Stage,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first photos."""
        if outputs is None or not trainer.is_global_zero:
            return
        room = self.num_photos - len(self._rows)
        gray = batch["gray"].expand(-1, 3, -1, -1)
        columns = torch.stack([gray, outputs["fake_rgb"], batch["rgb"]], dim=1)[:room]
        self._rows += list(columns.cpu())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Write the picture and hand it to loggers that take images."""
        if not self._rows:
            return
        path = self.folder / f"step={pl_module.steps:06d}.png"
        save_grid(path, self._rows)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):  # wandb
                logger.log_image("val/pictures", [str(path)], caption=["gray | colorized | truth"])
            elif hasattr(getattr(logger, "experiment", None), "add_image"):  # tensorboard
                step = pl_module.first_step + pl_module.steps
                sheet = np.asarray(grid(self._rows))
                logger.experiment.add_image("val/pictures", sheet, step, dataformats="HWC")  # type: ignore[attr-defined]
        self._rows = []


def grid(rows: list[Tensor], *, at_least: int = 96) -> Image.Image:
    """Lay rows of (columns, 3, H, W) images in [0, 1] out, in two blocks side by side if they are many.

    Pictures below `at_least` pixels are enlarged by a whole factor, to be seen.
    """
    factor = -(-at_least // rows[0].shape[-1])
    large = [row.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3) for row in rows]
    pictures = [[to_image(picture) for picture in row] for row in large]
    return picture_sheet(pictures, gap=2 * factor, num_blocks=1 if len(rows) < 4 or len(rows) % 2 else 2)


def save_grid(path: Path, rows: list[Tensor], *, at_least: int = 96) -> None:
    """Write `grid(rows)` as PNG."""
    save_photo(grid(rows, at_least=at_least), path)
