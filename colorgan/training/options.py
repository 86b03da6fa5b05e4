"""List the keys of a training config and what each may hold; `colorgan/values.py` checks them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.loggers import Logger
from torch import nn
from torchmetrics import Metric

from colorgan.evaluation.clips import MotionPanel
from colorgan.losses import Loss
from colorgan.ranges import Count, Range, Seed
from colorgan.stages.augment import DiffAugment
from colorgan.training.plan import StageEntry


@dataclass(frozen=True)
class ScheduleOptions:
    """The keys of `schedule`: stages by name, and their order."""

    stages: Mapping[str, StageEntry]
    first: list[str]
    repeat: list[str]
    times: Annotated[int, Range(0, 1000)]


@dataclass(frozen=True)
class TrainOptions:
    """The keys of `train.yaml`, which explains them."""

    generator: nn.Module
    discriminator: nn.Module
    loss: Mapping[str, Loss]
    data: LightningDataModule
    schedule: ScheduleOptions
    metrics: Mapping[str, Metric]
    clip_metrics: Mapping[str, Metric]
    trainer: Trainer
    logger: Logger
    name: str | int | float
    runs_dir: str
    seed: Seed
    plan: bool | Count
    init_from: str | None
    film: str | None
    save_every: Count
    channels_last: bool
    compile: bool | Literal["auto"]
    objective: str
    test_size: Count | None
    scale: str | None
    init_new: list[str] = field(default_factory=list)
    references: str | None = None
    motion: MotionPanel | None = None
    augment: DiffAugment | None = None
    trial: Mapping[str, str | int] | None = None
