"""Validate the config of a run before it starts, and the checkpoints that it writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from torch import nn
from torchmetrics import MetricCollection

from colorgan.checkpoint import load_generator, read_tensors
from colorgan.config import check_complete, check_name, class_of
from colorgan.data.library import PhotoLibrary, Split
from colorgan.evaluation.photos import PhotoSet
from colorgan.metrics.base import too_few
from colorgan.networks.spectral import largest_singular_value, spectral_norms
from colorgan.training.options import TrainOptions
from colorgan.training.plan import INFLECTION, PlannedStage
from colorgan.training.processes import Processes
from colorgan.values import check_options

_SIGMA_TOLERANCE = 0.01
_PICTURE_TOLERANCE = 1e-3  # a quarter of an 8-bit level: a GPU rounds otherwise than the CPU
_LIGHTNING_NAMES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true"}
_SHARDING = ("fsdp", "deepspeed", "modelparallel")  # in the names of Lightning's strategies and of their classes


def check_config(config: DictConfig) -> None:
    """Refuse a config that lacks values or has such as cannot be, or asks for sharded networks.

    Raises:
        ValueError: names the key.
    """
    check_options(config, TrainOptions)
    check_complete(config)
    check_name(str(config.name))
    precision = str(config.trainer.get("precision") or "32-true")
    if _LIGHTNING_NAMES.get(precision, precision) not in _LIGHTNING_NAMES.values():
        raise ValueError(f"trainer.precision={precision}: networks train at 32-true, bf16-mixed or, on GPUs, 16-mixed")
    strategy = str(config.trainer.get("strategy"))
    if any(word in strategy.lower() for word in _SHARDING):
        raise ValueError(f"trainer.strategy={strategy}: networks cannot be sharded here; take trainer=ddp")


def check_objective(objective: str, metrics: MetricCollection) -> None:
    """Refuse an objective that is not measured.

    Raises:
        ValueError: names those that are.
    """
    if objective not in metrics:
        raise ValueError(f"objective={objective!r} must be one of the metrics: {_names(metrics)}")


def check_precision(trainer: pl.Trainer, options: DictConfig) -> None:
    """Refuse a precision that Lightning would replace by another one on this device, and the record would not say so.

    Raises:
        ValueError: names the precision that it would be.
    """
    wanted = str(options.get("precision") or "32-true")
    if _LIGHTNING_NAMES.get(wanted, wanted) != trainer.precision:
        raise ValueError(
            f"trainer.precision={wanted} cannot be had on a {type(trainer.accelerator).__name__}; take "
            f"trainer.precision={trainer.precision}"
        )


def check_processes(processes: Processes, trainer: DictConfig) -> None:
    """Refuse several processes where nobody would start or join them.

    Raises:
        ValueError: names the choice to take.
    """
    devices = trainer.get("devices")
    if processes.count == 1:
        return
    if trainer.get("strategy") is None:
        raise ValueError(f"trainer.devices={devices}: several processes need trainer=ddp or trainer=ddp_multinode")
    if processes.are_ours_to_start and HydraConfig.initialized() and HydraConfig.get().mode is not RunMode.RUN:
        raise ValueError(
            f"trainer.devices={devices} does not go with -m: a trial starts one process only; "
            "take hydra/launcher=submitit_slurm, whose jobs have several, or one command a trial"
        )


def check_held_out(library: PhotoLibrary, splits: Sequence[Mapping[str, Any]], config: DictConfig) -> None:
    """Refuse to train where nothing could be measured: `init_from` trained on all that this run holds out.

    Args:
        library: the photos of the run.
        splits: its own, and those behind `init_from`.
        config: of the run.

    Raises:
        ValueError: names the keys.
    """
    rules = [Split(split["seed"], split["threshold"]) for split in splits]
    groups = {str(library.table[index]["group"]) for index in library.splits["val"]}
    if not any(all(rule.holds_out(group) for rule in rules) for group in groups):
        seeds = " or ".join(str(seed) for seed in dict.fromkeys(rule.seed for rule in rules[1:]))
        raise ValueError(
            f"init_from={config.init_from}: the runs behind it trained on all photos that seed={config.seed} holds out "
            f"here, so the result could not be measured; take seed={seeds}, or a larger data.validation_share, got "
            f"{config.data.validation_share:g}"
        )


def check_sizes(library: PhotoLibrary, plan: Sequence[PlannedStage]) -> None:
    """Refuse stages whose pictures are larger than the photos, or than these are kept.

    Args:
        library: the photos of the run.
        plan: its stages.

    Raises:
        ValueError: names the keys.
    """
    for stage in plan:
        size, key = stage.entry.image_size, f"schedule.stages.{stage.name}.image_size"
        if library.store_size is not None and library.store_size < size:
            raise ValueError(
                f"store_size={library.store_size} is smaller than the pictures trained on, {size} "
                f"(data.store_size, {key})"
            )
        for split, rows in library.splits.items():
            if len(rows) and not len(library.large_enough(split, size)):
                raise ValueError(f"none of {len(rows)} photos of the split {split} has {size} px ({key}, data.path)")


def check_test(photos: PhotoSet, metrics: MetricCollection, objective: str) -> None:
    """Refuse a trial of a search whose final table would be too small for the objective.

    Args:
        photos: that the result will be measured on.
        metrics: of the final table.
        objective: of the search.

    Raises:
        ValueError: names the keys.
    """
    if reason := too_few(metrics[objective], photos.num_groups):  # type: ignore[arg-type]
        raise ValueError(
            f"objective={objective} {reason} held out; a search needs a metric that the final table shows, such as "
            "objective=psnr, or a larger data.validation_share"
        )


def check_stage(stage: PlannedStage, *, losses: DictConfig, metrics: MetricCollection, num_processes: int) -> None:
    """Refuse what a stage would fail on only when its turn comes.

    Args:
        stage: the planned stage.
        losses: config of the loss group.
        metrics: of validation.
        num_processes: that share its batches.

    Raises:
        ValueError: names the key.
    """
    where, entry = f"schedule.stages.{stage.name}", stage.entry
    if entry.batch_size % num_processes:
        raise ValueError(f"{where}.batch_size={entry.batch_size} cannot be shared by {num_processes} processes")
    weighted = entry.module.get("loss_weights", {})
    if unknown := sorted(name for name in weighted if name not in losses):
        raise ValueError(f"{where}.module.loss_weights names {unknown}; the loss group has {list(losses)}")
    for network in class_of(entry.module).trains:
        if not any(weight and class_of(losses[name]).trains == network for name, weight in weighted.items()):
            raise ValueError(f"{where}.module.loss_weights needs a loss of the {network} with a weight above 0")
    class_of(entry.module).check_losses({name: class_of(losses[name]) for name in weighted})
    if entry.power_averages and not ("generator" in class_of(entry.module).trains and entry.snapshots):
        raise ValueError(
            f"{where}.power_averages needs a stage that trains the generator, and {where}.snapshots above 0"
        )
    if entry.handover != "last":
        _check_handover(stage, where, losses, metrics, num_processes)
    if entry.handover != INFLECTION and entry.inflection is not None and entry.inflection.end_early:
        raise ValueError(
            f"{where}.inflection.end_early=true is for {where}.handover={INFLECTION}, got handover={entry.handover}"
        )


def _check_handover(
    stage: PlannedStage, where: str, losses: DictConfig, metrics: MetricCollection, num_processes: int
) -> None:
    name = stage.entry.handover
    if name != INFLECTION and name not in metrics:
        allowed = f"last, {INFLECTION} or one of the metrics: {_names(metrics)}"
        raise ValueError(f"{where}.handover={name!r} must be {allowed}")
    if "generator" not in class_of(stage.entry.module).trains:
        raise ValueError(f"{where}.handover must be last: the stage does not train the generator")
    if name == INFLECTION:
        _check_inflection(stage, where, losses, num_processes)
    elif metrics[name].higher_is_better is None:
        raise ValueError(f"{where}.handover={name!r} has no better direction; take another metric")
    if not stage.entry.snapshots:
        raise ValueError(f"{where}.handover={name!r} needs {where}.snapshots of at least 1")


def _check_inflection(stage: PlannedStage, where: str, losses: DictConfig, num_processes: int) -> None:
    if "discriminator" not in class_of(stage.entry.module).trains:
        raise ValueError(f"{where}.handover={INFLECTION} is for stages that train a discriminator; take a metric")
    if stage.entry.inflection is None:
        raise ValueError(f"{where}.handover={INFLECTION} needs a rule ({where}.inflection.rule=artefact_area, for one)")
    judge = class_of(losses.discriminator)
    if stage.rule == "held_out_critic" and judge.paired:
        raise ValueError(
            f"{where}.inflection.rule=held_out_critic compares logits of different photos, and {judge.__name__} binds "
            "only those of a photo and its picture; take another rule, or another loss/adversarial="
        )
    if num_processes > 1:
        raise ValueError(
            f"{where}.handover={INFLECTION} observes in one process, got {num_processes} (trainer.devices); take a "
            "metric, or choose afterwards in notebooks/choose_gan_snapshot.ipynb"
        )


def _names(metrics: MetricCollection) -> str:
    return ", ".join(map(str, metrics))


@torch.no_grad()
def check_saved(path: Path, networks: Mapping[str, nn.Module], *, trained: Sequence[str]) -> None:
    """Compare a checkpoint that was just written with the networks in memory: what is handed on is what was trained.

    Tensors must be equal, and each spectral norm of what was trained must divide by the largest singular value of its
    weight.

    Args:
        path: of the checkpoint.
        networks: in memory, by name.
        trained: names of those that the stage trains; another one may come from a stranger's file.

    Raises:
        RuntimeError: one of them is not so, which is a mistake of this package.
    """
    for name, network in networks.items():
        stored = read_tensors(path, name)
        own = network.state_dict()
        if wrong := [key for key in own if not torch.equal(stored[key], own[key].cpu())]:
            raise RuntimeError(f"{path}: {name}.{wrong[0]} is not what was trained")
        for layer, norm, weight in spectral_norms(network) if name in trained else ():
            sigma, largest = float(norm.sigma(weight)), float(largest_singular_value(weight))
            if abs(sigma - largest) > _SIGMA_TOLERANCE * largest:
                raise RuntimeError(f"{path}: {name}.{layer} is divided by {sigma:.4g}, its largest is {largest:.4g}")


@torch.no_grad()
def check_picture(path: Path, generator: nn.Module) -> None:
    """Compare pictures of noise by the generator in memory and by the one that a checkpoint's header rebuilds.

    Raises:
        RuntimeError: they differ, which is a mistake of this package.
    """
    gray = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():  # building a network draws numbers
        rebuilt = load_generator(path)(gray)
    training, device = generator.training, next(generator.parameters()).device
    difference = float((rebuilt - generator.eval()(gray.to(device)).cpu()).abs().max())
    generator.train(training)
    if not difference <= _PICTURE_TOLERANCE:
        raise RuntimeError(f"{path}: a picture differs by {difference:.2g} from that of the trained generator")
