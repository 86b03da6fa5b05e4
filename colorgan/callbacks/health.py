"""Say when a stage is sick: warn with numbers, in the log and in the run's records."""

import copy
import logging
import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from colorgan.callbacks.validation import Batch, Records, ValidationMetrics
from colorgan.stages.base import Stage

LEAST_ACCURACY = 0.6  # of a critic on held-out photos, where chance is 0.5
NEAR_CHANCE = 0.01 / math.log(2)  # of the discriminator's loss, a share of chance: 0.01 of cross-entropy
MANY_STEPS = 50  # of the discriminator in a row
MOST_COLORFULNESS = 2.0  # times that of the photos

logger = logging.getLogger(__name__)


def weak_critic(accuracy: float) -> str | None:
    """Word the warning for a critic whose accuracy on held-out photos is too low; None if it is not."""
    if accuracy >= LEAST_ACCURACY:
        return None
    return f"accuracy of the critic on held-out photos {accuracy:.3f}, below {LEAST_ACCURACY} (chance is 0.5)"


def too_colorful(colorfulness: float, truth: float) -> str | None:
    """Word the warning for pictures far more colourful than the photos; None if they are not."""
    if colorfulness <= MOST_COLORFULNESS * truth:
        return None
    return f"colorfulness {colorfulness:.1f}, more than {MOST_COLORFULNESS:g} times the photos' {truth:.1f}"


def worse_than_gray(name: str, value: float, gray: float, *, higher_is_better: bool) -> str | None:
    """Word the warning for a result that a metric ranks behind the gray input; None if it does not."""
    if value >= gray if higher_is_better else value <= gray:
        return None
    return f"{name} {value:.4g}, worse than gray's {gray:.4g}"


class StageHealth(pl.Callback):
    """Watch a stage, and warn once of each thing that is wrong with it.

    At every validation: pictures that are far too colourful. Over the steps of a GAN: a discriminator whose loss stays
    at chance. What is true only of a result, `warn_of_result` says when the stage is over.

    Args:
        validation: measures the generator. To its records come what gray and truth measure, and each warning, at the
            validation at or after which it was given.
        objective: the metric by which gray is a bound.
    """

    def __init__(self, validation: ValidationMetrics, objective: str) -> None:
        self.validation, self.records = validation, validation.records
        wanted, metrics = {"gray": objective, "truth": "colorfulness"}, validation.metrics
        self._measures = {row: (name, copy.deepcopy(metrics[name])) for row, name in wanted.items() if name in metrics}
        self.reference: dict[str, dict[str, float]] = {}
        self.near_chance = 0
        self.warnings: dict[str, str] = {}  # not yet in a record

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed stage goes on with."""
        return {"near_chance": self.near_chance, "warnings": dict(self.warnings)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.near_chance, self.warnings = state_dict["near_chance"], dict(state_dict["warnings"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Stage, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count steps at which the discriminator's loss is that of a coin."""
        loss, chance = (getattr(pl_module, name, None) for name in ("discriminator_loss", "chance"))
        if loss is None:
            return
        bound = NEAR_CHANCE * chance if chance else 0.0
        self.near_chance = self.near_chance + 1 if chance and abs(loss - chance) < bound else 0
        if self.near_chance == MANY_STEPS:
            self._warn(
                "discriminator at chance",
                f"loss of the discriminator {loss:.3f}, within {bound:.1g} of chance ({chance:.3f}) for "
                f"{MANY_STEPS} of its steps: the generator learns nothing from it",
                pl_module.steps,
            )

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Stage,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure gray and truth as the generator's pictures are measured, once a stage."""
        if self.reference or "generator" not in pl_module.trains:
            return
        device = self.validation.device
        pictures = {"gray": batch["gray"].expand_as(batch["rgb"]), "truth": batch["rgb"]}
        for row, (_, metric) in self._measures.items():
            metric.to(device).update(pictures[row].to(device), batch["rgb"].to(device))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Compute them."""
        if not self.reference and "generator" in pl_module.trains:
            self.reference = {row: {name: float(metric.compute())} for row, (name, metric) in self._measures.items()}
            for _, metric in self._measures.values():
                metric.reset()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Look at what the validation has measured; write what there is to say."""
        values = trainer.callback_metrics
        if "truth" in self.reference:
            found = too_colorful(float(values["val/colorfulness"]), self.reference["truth"]["colorfulness"])
            self._warn("too colorful", found, pl_module.steps)
        facts = {"reference": self.reference, "warnings": self.warnings}
        if trainer.is_global_zero and any(facts.values()):
            self.records.add(pl_module.steps, {key: value for key, value in facts.items() if value})
        self.warnings = {}

    def _warn(self, kind: str, text: str | None, step: int) -> None:
        if text is None or kind in self.warnings or kind in self.records.warnings():
            return
        self.warnings[kind] = text
        logger.warning("%s, step %d: %s", self.records.stage, step, text)


def warn_of_result(records: Records, step: int, objective: str, *, higher_is_better: bool | None) -> None:
    """Warn of what is wrong with the networks that a stage hands on: a critic that tells nothing, worse than gray.

    Args:
        records: of the stage.
        step: whose networks are handed on.
        objective: the metric by which gray is a bound.
        higher_is_better: of that metric; None if it ranks nothing.
    """
    record = next((record for record in records.of_stage() if record["step"] == step), None)
    if record is None:
        return
    values: Mapping[str, float] = record["metrics"]
    gray = record.get("reference", {}).get("gray", {}).get(objective)
    found = {}
    if (accuracy := values.get("accuracy_discriminator")) is not None:
        found["weak critic"] = weak_critic(accuracy)
    if gray is not None and higher_is_better is not None:
        found["worse than gray"] = worse_than_gray(
            objective, values[objective], gray, higher_is_better=higher_is_better
        )
    warnings = {kind: text for kind, text in found.items() if text is not None}
    for text in warnings.values():
        logger.warning("%s hands on step %d: %s", records.stage, step, text)
    if warnings:
        records.add(step, {"warnings": {**record.get("warnings", {}), **warnings}})
