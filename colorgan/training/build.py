"""Builds a stage of the schedule: its networks, its losses, its LightningModule."""

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from colorgan.checkpoint import build_network, load_network, read_header, without_weights
from colorgan.config import differences, plain
from colorgan.stages.base import Stage
from colorgan.training.plan import PlannedStage


def build_stage(config: DictConfig, stage: PlannedStage, handover: Path | None) -> Stage:
    """Build a stage, seeded, with the networks of the hand-over file or, those that it lacks, fresh ones.

    Raises:
        ValueError: the file holds other networks than the config, or the stage's yaml names an unknown argument.
    """
    pl.seed_everything(stage_seed(config, stage), verbose=False)
    needs = instantiate(stage.entry.module, _partial_=True).func.needs
    stored = read_header(handover)["networks"] if handover else {}
    networks: dict[str, nn.Module | None] = {"generator": None, "discriminator": None}
    for name in networks:
        if name in stored:
            assert handover is not None
            wanted = plain(config[name])
            if changed := differences(without_weights(stored[name]), without_weights(wanted)):
                raise ValueError(f"{handover} does not fit the config: {name} differs in {'; '.join(changed)}")
            network = build_network(wanted)
            load_network(network, handover, name)
            networks[name] = network
        elif name in needs:
            networks[name] = instantiate(config[name], _convert_="all")
    losses = {name: instantiate(config.loss[name], _convert_="all") for name in stage.entry.module.loss_weights}
    return make_stage(config, stage, networks, losses)


def make_stage(
    config: DictConfig,
    stage: PlannedStage,
    networks: Mapping[str, nn.Module | None],
    losses: Mapping[str, nn.Module],
) -> Stage:
    """The LightningModule of a stage around networks (`generator` and `discriminator`) and losses by name."""
    make = instantiate(stage.entry.module, _partial_=True, _convert_="all")
    try:
        module: Stage = make(
            **networks,
            losses={name: losses[name] for name in stage.entry.module.loss_weights},
            num_steps=stage.entry.steps,
            first_step=stage.first_step,
            seed=stage_seed(config, stage),
            channels_last=config.channels_last,
        )
    except TypeError as error:  # an argument that the stage does not take
        raise ValueError(f"schedule.stages.{stage.name}.module: {error}") from error
    return module


def stage_seed(config: DictConfig, stage: PlannedStage) -> int:
    """Seed of a stage's start and of its steps."""
    return int(config.seed) * 1000 + stage.index
