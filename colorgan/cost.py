"""What a schedule will cost, without training: a table of its stages with operations and time."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorgan.assembly import make_stage
from colorgan.checkpoint import without_weights
from colorgan.plan import PlannedStage, plain
from colorgan.stages.base import Stage, trainable

Networks = dict[str, nn.Module | None]
_CALIBRATION_SIZE, _CALIBRATION_BATCHES = 64, (2, 4)
_COUNTED_BATCH = 2  # batch norm in training needs more than one value a channel


@dataclass(frozen=True)
class StageCost:
    """One row of the table.

    Attributes:
        stage: the planned stage.
        trainable: parameters that it trains, by network.
        step_flop: of one step; multiplications and additions counted apart, forward and backward.
        step_seconds: of one step, estimated for this machine.
    """

    stage: PlannedStage
    trainable: dict[str, int]
    step_flop: float
    step_seconds: float


def schedule_costs(config: DictConfig, plan: list[PlannedStage]) -> list[StageCost]:
    """Estimate every stage of a plan; no weights are fetched and nothing is trained.

    Operations are counted on shapes alone (torch's `FlopCounterMode` over tensors of device `meta`) for the step that
    the stage itself would take: convolutions, matrix products and attention, forward and backward, losses
    included. The time of a step is a line through two measured points: loss and gradients at 64 px with batches of 2
    and 4, in the first stage that trains the network, give seconds = a + b operations, for the generator and for
    the discriminator. Not in it: the optimizer's own work, loading data, validation and saving. A GAN step counts as
    half a step of each network, whatever the turns will be.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    needs = {name for stage in plan for name in instantiate(stage.entry.module, _partial_=True).func.needs}
    networks: Networks = {name: None for name in ("generator", "discriminator")}
    for name in needs:
        networks[name] = instantiate(without_weights(plain(config[name])), _convert_="all")
    names = {name for stage in plan for name in stage.entry.module.loss_weights}
    losses = {name: instantiate(without_weights(plain(config.loss[name])), _convert_="all") for name in names}

    def module_of(stage: PlannedStage, device: str) -> Stage:
        for loss in losses.values():
            loss.to(device)
        return make_stage(config, stage, networks, losses).to(device)

    stages = {stage.name: stage for stage in plan}
    lines: dict[str, tuple[float, float]] = {}
    for stage in stages.values():
        module = module_of(stage, device)
        for player in module.step_losses():
            if player not in lines:
                lines[player] = _calibrate(module, player, min(_CALIBRATION_SIZE, stage.entry.image_size), config)
    costs: dict[str, StageCost] = {}
    for stage in stages.values():
        module = module_of(stage, "meta")
        flops, seconds = [], []
        for player in module.step_losses():
            flop = _count(module, player, _batch(_COUNTED_BATCH, stage.entry.image_size, "meta"))
            flops.append(flop * stage.entry.batch_size / _COUNTED_BATCH)
            fixed, slope = lines[player]
            seconds.append(fixed + slope * flops[-1])
        sizes = {name: sum(p.numel() for p in trainable(getattr(module, name))) for name in module.trains}
        costs[stage.name] = StageCost(stage, sizes, sum(flops) / len(flops), sum(seconds) / len(seconds))
    return [StageCost(s, costs[s.name].trainable, costs[s.name].step_flop, costs[s.name].step_seconds) for s in plan]


def _batch(size: int, image_size: int, device: str) -> dict[str, Tensor]:
    rgb = torch.rand(size, 3, image_size, image_size, device=device)
    return {"rgb": rgb, "gray": rgb.mean(dim=1, keepdim=True)}


@contextmanager
def _no_logging() -> Iterator[None]:
    with warnings.catch_warnings():  # a stage outside of a trainer says that it logs nowhere
        warnings.filterwarnings("ignore", message="You are trying to `self.log")
        yield


def _step(module: Stage, player: str, batch: dict[str, Tensor], precision: str = "32-true") -> None:
    module.set_modes((player,))
    frozen = [p for name in module.trains if name != player for p in trainable(getattr(module, name))]
    for parameter in frozen:
        parameter.requires_grad_(False)
    with _no_logging():
        device = batch["rgb"].device.type
        with torch.autocast("cpu" if device == "meta" else device, torch.bfloat16, enabled="bf16" in precision):
            loss = module.step_losses()[player](batch)
        torch.autograd.backward(loss)
    module.zero_grad(set_to_none=True)
    for parameter in frozen:
        parameter.requires_grad_(True)


def _count(module: Stage, player: str, batch: dict[str, Tensor]) -> float:
    with FlopCounterMode(display=False) as counter:
        _step(module, player, batch)
    return float(counter.get_total_flops())


def _calibrate(module: Stage, player: str, image_size: int, config: DictConfig) -> tuple[float, float]:
    """Seconds of a step as fixed + slope * operations."""
    points: list[tuple[float, float]] = []
    channels_last = torch.channels_last if config.channels_last else torch.contiguous_format
    module.to(memory_format=channels_last)
    for size in _CALIBRATION_BATCHES:
        batch = {k: v.to(memory_format=channels_last) for k, v in _batch(size, image_size, str(module.device)).items()}
        if not points:
            flop = _count(module, player, batch) / size  # counts, and warms up
        started = time.perf_counter()
        _step(module, player, batch, str(config.trainer.get("precision", "32-true")))
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        points.append((flop * size, time.perf_counter() - started))
    (flop_low, low), (flop_high, high) = points
    slope = max(high - low, 0.0) / (flop_high - flop_low) or high / flop_high
    return max(0.0, low - slope * flop_low), slope


def cost_table(costs: list[StageCost], *, num_photos: int) -> Any:
    """The costs as a rich table, a row for each stage, and their sum."""
    from rich.table import Table

    table = Table(title=f"{num_photos:,} training photos")
    table.add_column("stage", overflow="fold")
    for name in ("px", "batch", "steps", "images", "trainable parameters", "TFLOP a step", "PFLOP", "time here"):
        table.add_column(name, justify="right")
    flop = seconds = 0.0
    for cost in costs:
        entry = cost.stage.entry
        flop += entry.steps * cost.step_flop
        seconds += entry.steps * cost.step_seconds
        table.add_row(
            f"{cost.stage.index} {cost.stage.name}",
            str(entry.image_size),
            str(entry.batch_size),
            f"{entry.steps:,}",
            f"{entry.steps * entry.batch_size:,}",
            " + ".join(f"{count:,}" for count in cost.trainable.values()),
            f"{cost.step_flop / 1e12:.3g}",
            f"{entry.steps * cost.step_flop / 1e15:.3g}",
            _duration(entry.steps * cost.step_seconds),
        )
    total = sum(cost.stage.entry.steps for cost in costs)
    table.add_row("all", "", "", f"{total:,}", "", "", "", f"{flop / 1e15:.3g}", _duration(seconds), style="bold")
    return table


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.2g} s"
