"""Build a stage's module, Trainer and callbacks from the config."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from torch import nn
from torchmetrics import MetricCollection

from colorgan.callbacks import (
    GeneratorEMA,
    InflectionObserver,
    PowerAverages,
    PruneTrial,
    Records,
    ResumeCheckpoint,
    ResumeFile,
    StageHealth,
    StageProgressBar,
    StopRequest,
    ValidationMetrics,
    ValidationPictures,
)
from colorgan.checkpoint import build_network, load_network, read_header, without_weights
from colorgan.config import build, class_of, differences, factory, plain
from colorgan.evaluation.clips import MotionClips
from colorgan.evaluation.measure import mean_values
from colorgan.files import Writer
from colorgan.losses import Loss
from colorgan.stages.adversarial import AdversarialStage
from colorgan.stages.base import Stage
from colorgan.training.plan import PlannedStage

logger = logging.getLogger(__name__)
_COMPILED_FROM = 5000  # steps: compiled, one of DeOldify's Deep takes 52 ms instead of 60 (docs/speed.md)


def build_stage(config: DictConfig, stage: PlannedStage, handover: Path | None) -> Stage:
    """Build a stage, seeded, with the networks of the hand-over file or, those that it lacks, fresh ones.

    Raises:
        ValueError: the file holds other networks than the config, or the stage's yaml names an unknown argument.
    """
    pl.seed_everything(stage_seed(config, stage), verbose=False)
    needs = class_of(stage.entry.module).needs
    stored = read_header(handover)["networks"] if handover else {}
    networks: dict[str, nn.Module | None] = {"generator": None, "discriminator": None}
    for name in networks:
        if name in stored:
            assert handover is not None
            wanted = plain(config[name])
            new = [part for part in config.get("init_new", ()) if name == "generator" and not stored[name].get(part)]
            known = {part: value for part, value in wanted.items() if part not in new}
            there = {part: value for part, value in stored[name].items() if part not in new}
            if changed := differences(without_weights(there), without_weights(known)):
                if name not in _used(config):
                    logger.warning(
                        "%s: its %s is left behind: no stage uses it, and the config's differs", handover, name
                    )
                    continue
                raise ValueError(
                    f"{handover} does not fit the config: {name} differs in {'; '.join(changed)}; take the one "
                    f"that the file has ({name}=...)"
                )
            network = build_network(wanted)
            load_network(network, handover, name, new=new)
            networks[name] = network
        elif name in needs:
            networks[name] = build(config[name])
    losses = {name: build(config.loss[name]) for name in stage.entry.module.loss_weights}
    return make_stage(config, stage, networks, losses)


def _used(config: DictConfig) -> set[str]:
    """Name the networks that some stage of a schedule needs."""
    schedule = config.schedule
    names = [*schedule.first, *(schedule.repeat if schedule.times else ())]
    return {network for name in names for network in class_of(schedule.stages[name].module).needs}


def make_stage(
    config: DictConfig, stage: PlannedStage, networks: Mapping[str, nn.Module | None], losses: Mapping[str, Loss]
) -> Stage:
    """Build the LightningModule of a stage around networks (`generator` and `discriminator`) and losses by name."""
    judges = issubclass(class_of(stage.entry.module), AdversarialStage)
    augment = {"augment": build(config.augment)} if judges and "augment" in config else {}
    try:
        module: Stage = factory(stage.entry.module)(
            **networks,
            **augment,
            losses={name: losses[name] for name in stage.entry.module.loss_weights},
            num_steps=stage.entry.steps,
            first_step=stage.first_step,
            index=stage.index,
            seed=stage_seed(config, stage),
            channels_last=config.channels_last,
            compiled=_compiles(config, stage),
        )
    except TypeError as error:  # an argument that the stage does not take
        raise ValueError(f"schedule.stages.{stage.name}.module: {error}") from error
    return module


def _compiles(config: DictConfig, stage: PlannedStage) -> bool:
    """Tell whether a stage's steps are compiled; `auto`: where the minutes that it takes come back."""
    if config.compile != "auto":
        return bool(config.compile)
    on_gpu = torch.cuda.is_available() and config.trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    return on_gpu and stage.entry.steps >= _COMPILED_FROM


def stage_seed(config: DictConfig, stage: PlannedStage) -> int:
    """Compute the seed of a stage's fresh networks and of its steps."""
    return int(config.seed) * 1000 + stage.index


def build_trainer(trainer: DictConfig, **options: Any) -> pl.Trainer:
    """Build the Trainer of a config.

    Raises:
        ValueError: Lightning's own objection.
    """
    try:
        built: pl.Trainer = factory(trainer)(**options)
    except (ValueError, TypeError, OverflowError, ImportError, MisconfigurationException) as error:
        raise ValueError(f"trainer: {error}") from error
    return built


def build_stage_trainer(
    trainer: DictConfig, stage: PlannedStage, callbacks: list[pl.Callback], run_logger: Logger | bool, writer: Writer
) -> pl.Trainer:
    """Build the Trainer of one stage, which ends by the stage's own count of steps; `writer` writes what it saves."""
    return build_trainer(
        trainer,
        callbacks=callbacks,
        plugins=[*(build(plugin) for plugin in trainer.get("plugins") or ()), ResumeFile(writer)],
        logger=run_logger,
        default_root_dir=str(stage.folder),
        max_epochs=1,
        benchmark=not trainer.get("deterministic"),  # cuDNN chooses the fastest of its convolutions
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
    save_average: Callable[[nn.Module, float, int], None],
    observer: InflectionObserver | None = None,
) -> list[pl.Callback]:
    """Build the callbacks of a stage, in the order in which Lightning calls them.

    Args:
        config: of the run.
        stage: the planned stage.
        validation: comes first: the others read what it has measured.
        stop: notes signals from outside.
        num_stages: of the run.
        trains_generator: whether there is something to average.
        observer: for stages whose snapshot a rule chooses.
        save_average: see `PowerAverages`.
    """
    entry = stage.entry
    callbacks: list[pl.Callback] = [
        validation,
        *([observer] if observer is not None else []),
        StageHealth(validation, config.objective),
        ValidationPictures(stage.folder / "images"),
        ResumeCheckpoint(
            stage.folder / "last.ckpt", every=config.save_every, validate_every=entry.validate_every, stop=stop
        ),
    ]
    if config.trainer.get("enable_progress_bar", True):
        callbacks.append(StageProgressBar(f"{stage.index}/{num_stages} {stage.name}", entry.batch_size))
    # A sweep that prunes says which trial this is; values of pictures of another size are no reason to end it.
    if "id" in config.get("trial", {}) and entry.image_size == (config.test_size or entry.image_size):
        callbacks.append(PruneTrial(**config.trial))
    if entry.power_averages:
        callbacks.append(PowerAverages(stage.snapshot_steps, save_average))
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
    """Build the callback that measures the generator on photos and, where there are clips, over time.

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
        device = next(generator.parameters()).device
        place = torch.device("cpu") if device.type == "mps" else device  # Apple's has no float64
        batches = ({key: value.to(place) for key, value in clip.items()} for clip in clips.loader())
        values = mean_values(lambda clip: generator(clip["gray"].to(device)).to(place), batches, clip_metrics.to(place))
        return {f"motion_{name}": value for name, value in values.items()}

    return ValidationMetrics(metrics, records, save_snapshot, measure_over_time)
