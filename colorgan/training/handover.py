"""What a stage leaves to the next one: its networks in a file, those of its last step or of its best."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torchmetrics import MetricCollection

from colorgan.checkpoint import save_checkpoint
from colorgan.config import plain
from colorgan.files import copy_file
from colorgan.stages.base import Stage
from colorgan.training.plan import PlannedStage, gray_rule_of, trained_through

logger = logging.getLogger(__name__)


def save_networks(
    path: Path,
    stage: PlannedStage,
    module: Stage,
    metrics: Mapping[str, float],
    *,
    config: DictConfig,
    splits: list[dict[str, Any]],
) -> None:
    """Write the networks of a stage with all that is known of them.

    Args:
        path: the file.
        stage: the planned stage.
        module: holds the networks, after `module.steps` steps.
        metrics: last values measured of them.
        config: of the run.
        splits: what this run, and those it started from, hold out.
    """
    networks = {"generator": module.generator, "discriminator": module.discriminator}
    save_checkpoint(
        path,
        {name: network for name, network in networks.items() if network is not None},
        configs={name: plain(config[name]) for name in networks},
        facts={
            "stage": stage.folder.name,
            "step": module.steps,
            "total_step": stage.first_step + module.steps,
            **module.counts(),
            "metrics": dict(metrics),
            "image_size": stage.entry.image_size,
            "gray_rule": gray_rule_of(config),
            "splits": splits,
            "trained_through": trained_through(config),
        },
    )


def snapshot_file(stage: PlannedStage, step: int) -> Path:
    """Where the networks of a validation are kept."""
    return stage.folder / "snapshots" / f"step={step:06d}.safetensors"


def hand_over(
    stage: PlannedStage,
    measured: list[dict[str, Any]],
    metrics: MetricCollection,
    save: Callable[[Path, Mapping[str, float]], None],
) -> Path:
    """Write the hand-over file of a finished stage; returns its path.

    Args:
        stage: the planned stage.
        measured: its records, in order.
        metrics: which know what is better.
        save: writes the networks as they are now, with the values measured of them.
    """
    path, name = stage.folder / "handover.safetensors", stage.entry.handover
    candidates = [] if name == "last" else [r for r in measured if r["metrics"][name] == r["metrics"][name]]  # no NaN
    if candidates:
        sign = -1 if metrics[name].higher_is_better else 1
        best = min(candidates, key=lambda record: sign * record["metrics"][name])
        logger.info("handing on step %d of %s, best by %s", best["step"], stage.folder.name, name)
        copy_file(snapshot_file(stage, best["step"]), path)
    else:
        if name != "last":
            logger.warning("%s: no snapshot has a %s; the last networks are handed on", stage.folder.name, name)
        save(path, measured[-1]["metrics"] if measured else {})
    return path
