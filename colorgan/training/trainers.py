"""Builds the Lightning trainer of a stage, with what measures, draws, saves, stops and averages in it."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from torch import nn
from torchmetrics import MetricCollection

from colorgan.callbacks import (
    GeneratorEMA,
    PruneTrial,
    Records,
    ResumeCheckpoint,
    StageProgressBar,
    StopRequest,
    ValidationMetrics,
    ValidationPictures,
)
from colorgan.evaluation.clips import MotionClips
from colorgan.evaluation.measure import evaluate
from colorgan.training.plan import PlannedStage


def build_trainer(trainer: DictConfig, **options: Any) -> pl.Trainer:
    """The trainer of a config.

    Raises:
        ValueError: Lightning's own objection.
    """
    try:
        built: pl.Trainer = instantiate(trainer, _partial_=True)(**options)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ValueError(f"trainer: {error}") from error
    return built


def build_stage_trainer(
    trainer: DictConfig, stage: PlannedStage, callbacks: list[pl.Callback], run_logger: Logger | bool
) -> pl.Trainer:
    """The trainer of one stage, which ends by its own count of steps."""
    return build_trainer(
        trainer,
        callbacks=callbacks,
        logger=run_logger,
        default_root_dir=str(stage.folder),
        max_epochs=1,
        val_check_interval=min(stage.entry.validate_every, stage.entry.steps),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the step-indexed sampler shares each batch among processes
    )


def stage_callbacks(
    config: DictConfig,
    stage: PlannedStage,
    validation: ValidationMetrics,
    stop: StopRequest,
    *,
    num_stages: int,
    trains_generator: bool,
) -> list[pl.Callback]:
    """What works beside a stage, in the order in which it is called.

    Args:
        config: of the run.
        stage: the planned stage.
        validation: comes first: the others read what it has measured.
        stop: what is asked from outside.
        num_stages: of the run.
        trains_generator: whether there is something to average.
    """
    entry = stage.entry
    callbacks: list[pl.Callback] = [
        validation,
        ValidationPictures(stage.folder / "images"),
        ResumeCheckpoint(
            stage.folder / "last.ckpt", every=config.save_every, validate_every=entry.validate_every, stop=stop
        ),
    ]
    if config.trainer.get("enable_progress_bar", True):
        callbacks.append(StageProgressBar(f"{stage.index}/{num_stages} {stage.name}", entry.batch_size))
    if "id" in config.get("trial", {}):  # a sweep that prunes says which trial this is
        callbacks.append(PruneTrial(**config.trial, objective=config.objective))
    if entry.ema_decay is not None and trains_generator:
        callbacks.append(GeneratorEMA(entry.ema_decay))  # behind those that use the average in validation
    return callbacks


def validation_metrics(
    metrics: MetricCollection,
    records: Records,
    save_snapshot: Callable[[int, dict[str, float]], None] | None,
    clips: MotionClips | None,
    clip_metrics: MetricCollection,
) -> ValidationMetrics:
    """What a stage measures: on photos, and over time where there are clips.

    Args:
        metrics: on photos.
        records: where values are kept.
        save_snapshot: see `ValidationMetrics`.
        clips: photos that move; None for none.
        clip_metrics: on them; their values get the prefix `motion_`.
    """
    if clips is None:
        return ValidationMetrics(metrics, records, save_snapshot)

    def measure_over_time(generator: nn.Module) -> dict[str, float]:
        device = next(generator.parameters()).device  # clips and metrics stay on the CPU: not all devices have float64
        values = evaluate(lambda clip: generator(clip["gray"].to(device)).cpu(), clips.loader(), clip_metrics)
        return {f"motion_{name}": value for name, value in values.items()}

    return ValidationMetrics(metrics, records, save_snapshot, measure_over_time)
