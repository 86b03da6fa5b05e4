"""Observe a GAN stage at each validation, for the rules that choose its snapshot; end it when its rule has chosen."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from colorgan.callbacks.validation import Batch, Records
from colorgan.metrics.observation import ObservedPhotos, observe
from colorgan.stages.base import Stage

Series = Sequence[Mapping[str, float | list[float]]]


def observed(records: Sequence[Mapping[str, Any]]) -> list[dict[str, float | list[float]]]:
    """List what a stage observed, in order, from its records; the first is that of the networks it began with."""
    series: list[dict[str, float | list[float]]] = []
    for record in records:
        if "observed_at_start" in record:
            series.append({"step": 0, **record["observed_at_start"]})
        if "observed" in record:
            series.append({"step": record["step"], **record["observed"]})
    return series


class InflectionObserver(pl.Callback):
    """Observe the generator at each validation, and the networks that the stage began with at the first one.

    Nothing that training uses is touched, and nothing is drawn. Stands before `GeneratorEMA`, as validation does.

    Args:
        records: of the stage; gets `observed` (see `metrics.observation.observe`) at each validation, and
            `observed_at_start` at the first.
        is_over: told of the series so far whether the rule has seen enough; None never to end the stage early.
        num_seen: how many of the photos that it trains on the discriminator judges.
    """

    def __init__(
        self, records: Records, is_over: Callable[[Series], bool] | None = None, *, num_seen: int = 100
    ) -> None:
        self.records, self.is_over, self.num_seen = records, is_over, num_seen
        self._start: tuple[nn.Module, nn.Module | None] | None = None
        self._photos: ObservedPhotos | None = None
        self._batches: list[dict[str, Tensor]] = []

    def setup(self, trainer: pl.Trainer, pl_module: Stage, stage: str) -> None:
        """Copy the networks that the stage begins with; a resumed stage has not loaded its own yet."""
        if stage == "fit":
            networks = (pl_module.generator, pl_module.discriminator)
            generator, discriminator = (copy.deepcopy(n).eval() if n is not None else None for n in networks)
            assert generator is not None
            self._start = generator, discriminator

    def on_train_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """End at once a stage that was stopped behind the observation that ended it."""
        self._end_if_over(trainer)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Stage,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the pictures."""
        shown = {"gray": batch["gray"], "rgb": batch["rgb"], "fake_rgb": outputs["fake_rgb"]}
        self._batches.append({name: images.float().cpu().contiguous() for name, images in shown.items()})

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Observe; the record of this validation is there already."""
        shown = {name: torch.cat([batch[name] for batch in self._batches]) for name in self._batches[0]}
        self._batches = []
        facts = {}
        with torch.autocast(pl_module.device.type, enabled=False):
            if self._photos is None:
                self._photos = self._first_look(trainer, pl_module, shown)
            if not any("observed_at_start" in record for record in self.records.of_stage()):
                assert self._start is not None
                facts["observed_at_start"] = observe(self._photos.twin_rgb, self._start[1], self._photos)
            self._start = None
            facts["observed"] = observe(shown["fake_rgb"], pl_module.discriminator, self._photos)
        self.records.add(pl_module.steps, facts)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """End the stage if its rule has chosen."""
        self._end_if_over(trainer)

    def _end_if_over(self, trainer: pl.Trainer) -> None:
        series = observed(self.records.of_stage())
        if self.is_over is not None and series and self.is_over(series):
            trainer.should_stop = True

    def _first_look(self, trainer: pl.Trainer, pl_module: Stage, shown: Mapping[str, Tensor]) -> ObservedPhotos:
        """Make the twin's pictures, and read photos that are trained on."""
        assert self._start is not None
        device, (generator, discriminator) = pl_module.device, self._start
        generator.to(device)
        if discriminator is not None:
            discriminator.to(device)
        twin = torch.cat([generator(gray.to(device)).float().cpu() for gray in torch.split(shown["gray"], 32)])
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if data is None:  # loaders without a data module: nothing is known of the photos
            return ObservedPhotos(shown["gray"], shown["rgb"], twin, torch.arange(len(twin)))
        groups = torch.tensor(data.panel_groups())[: len(twin)]  # `limit_val_batches` may show fewer
        photos = ObservedPhotos(shown["gray"], shown["rgb"], twin, groups)
        if (seen := data.training_panel(self.num_seen)) is None:
            return photos
        batch, groups = seen
        return replace(photos, seen_gray=batch["gray"], seen_rgb=batch["rgb"], seen_groups=torch.tensor(groups))
