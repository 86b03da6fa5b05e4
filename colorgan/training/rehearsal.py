"""Build every stage of a plan without weights and memory, so that what cannot be built is said before training."""

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, open_dict
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from colorgan.checkpoint import without_weights
from colorgan.config import build, class_of, factory, plain
from colorgan.networks.hints import takes_hints
from colorgan.stages.base import Stage
from colorgan.training.build import make_stage
from colorgan.training.plan import PlannedStage


def rehearse(config: DictConfig, plan: list[PlannedStage]) -> None:
    """Build networks, losses, stages, optimizers and schedules of rates, where it can be on the device `meta`.

    Args:
        config: of a run, its values checked.
        plan: its stages.

    Raises:
        ValueError: names the key of what cannot be built.
    """
    stages = {stage.name: stage for stage in plan}
    needed = {name for stage in plan for name in class_of(stage.entry.module).needs}
    names = {name for stage in plan for name in stage.entry.module.loss_weights}
    for name in needed:
        _check_files(plain(config[name]), name)
    for name in names:
        _check_files(plain(config.loss[name]), f"loss.{name}")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        networks: dict[str, nn.Module | None] = {"generator": None, "discriminator": None}
        networks |= {name: _built(name, partial(_empty, config[name])) for name in sorted(needed)}
        if config.data.get("hints") and not takes_hints(networks["generator"]):
            raise ValueError("data.hints needs a generator that takes hints (+generator.hints=true)")
        if takes_hints(networks["discriminator"]) and not config.data.get("hints"):
            raise ValueError("discriminator.hints=true needs photos with hints (data.hints); got none")
        losses = {name: _built(f"loss.{name}", partial(_empty, config.loss[name])) for name in sorted(names)}
        for stage in stages.values():
            where = f"schedule.stages.{stage.name}.module"
            for key, node in stage.entry.module.items():
                if isinstance(node, DictConfig) and node.get("_partial_"):
                    _try_rates(f"{where}.{key!s}", node, stage.entry.steps)
            module = make_stage(config, _without_fused(stage), networks, losses)
            _built(where, module.configure_optimizers)
            _try_size(stage, module)


def _check_files(node: Any, key: str) -> None:
    """Refuse files of weights that are not there; what stages need is read only when their turn comes."""
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        _check_files(value, f"{key}.{name}")
        named = name == "weights" and isinstance(value, str) and value != "package" and value.partition(":")[0] != "hub"
        if named and not Path(value).expanduser().is_file():
            raise FileNotFoundError(f"{key}.{name}={value!r}: no such file; allowed: hub, package, a path, null")


def _empty(node: DictConfig) -> Any:
    """Build without weights; on the CPU what looks at its own values, which `meta` has not."""
    options = without_weights(plain(node))
    try:
        return build(options)
    except InstantiationException as error:
        if not isinstance(error.__cause__, RuntimeError):  # NotImplementedError too
            raise
        with torch.device("cpu"):
            return build(options)


def _built(key: str, make: Callable[[], Any]) -> Any:
    """Make something; what its constructor says against it gets the key, unless it names it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # what is meant is said when it is built for good
            return make()
    except (InstantiationException, ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        reason = str(cause)
        raise ValueError(reason if key in reason else f"{key}: {reason}") from error


def _try_rates(key: str, node: DictConfig, num_steps: int) -> None:
    """Make an optimizer or a schedule of rates for one parameter; name the argument that it does not take."""
    kind = class_of(node)
    if not isinstance(kind, type) or not issubclass(kind, Optimizer | LRScheduler):
        return

    def make(without: str | None = None) -> Any:
        options = {name: value for name, value in plain(node).items() if name not in (without, "fused")}
        parameter: Any = [nn.Parameter(torch.zeros(1))]
        return factory(options)(parameter if issubclass(kind, Optimizer) else torch.optim.AdamW(parameter))

    if (node.get("total_steps") or num_steps) < num_steps:
        raise ValueError(f"{key}.total_steps={node.total_steps} is less than the {num_steps} steps of the stage")
    try:
        made = make()
    except Exception as error:  # torch's constructors raise whatever they stumble over
        guilty = next((name for name in map(str, node) if name[0] != "_" and _works(partial(make, name))), None)
        value = "" if guilty is None else f".{guilty}={node[guilty]}"
        raise ValueError(f"{key}{value}: {error}") from error
    if isinstance(made, LRScheduler) and min(map(float, made.get_last_lr())) < 0:
        given = ", ".join(f"{name!s}={value}" for name, value in node.items() if str(name)[0] != "_")
        raise ValueError(f"{key} ({given}) begins with a learning rate below 0")


def _try_size(stage: PlannedStage, module: Stage) -> None:
    """Show the networks pictures of the stage's size: the critic always, the generator where it gets a single one.

    Batch norm cannot train on one value a channel, and critics want pictures of some size.
    """
    entry = stage.entry
    count = min(len(part) for part in torch.empty(entry.batch_size).chunk(module.accumulate))
    gray = torch.empty(count, 1, entry.image_size, entry.image_size)
    rgb = gray.expand(-1, 3, -1, -1)
    for player in module.step_losses():
        module.set_modes((player,))
        try:
            if count == 1:
                module.generator(gray)
            if "discriminator" in module.needs and module.discriminator is not None:
                module.discriminator(rgb, gray)
        except ValueError as error:
            accumulated = f" in {module.accumulate} parts (module.accumulate)" if module.accumulate > 1 else ""
            raise ValueError(
                f"schedule.stages.{stage.name}.batch_size={entry.batch_size}{accumulated} does not go with "
                f"image_size={entry.image_size}: {error}; take a larger one"
            ) from error
        except RuntimeError:  # a network that looks at its own values, which `meta` has not
            return


def _works(make: Callable[[], Any]) -> bool:
    try:
        make()
    except Exception:  # as above
        return False
    return True


def _without_fused(stage: PlannedStage) -> PlannedStage:
    """Copy a stage with optimizers that take parameters on any device."""
    stage = copy.deepcopy(stage)
    for node in stage.entry.module.values():
        if isinstance(node, DictConfig) and "fused" in node:
            with open_dict(node):
                del node["fused"]
    return stage
