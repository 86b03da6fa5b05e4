"""Estimate what a schedule costs without training: operations and time of every stage."""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorgan.checkpoint import without_weights
from colorgan.config import build, class_of, plain
from colorgan.losses import Loss
from colorgan.networks.averages import KEPT_LENGTHS
from colorgan.stages.base import Stage
from colorgan.stages.rates import trainable
from colorgan.training.build import make_stage
from colorgan.training.plan import PlannedStage, StageEntry

Networks = dict[str, nn.Module | None]
_CALIBRATION_SIZE = 64  # pixels
_LONG_ENOUGH = 0.3  # seconds
_COUNTED_BATCH = 2  # batch norm in training needs more than one value a channel


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage, a row of the table.

    Attributes:
        stage: the planned stage.
        trainable: parameters that it trains, by network.
        step_flop: of one step; multiplications and additions counted apart, forward and backward.
        step_seconds: of one step, estimated for this machine.
        saved_bytes: of the networks in a file.
        average_bytes: of the power averages beside a snapshot.
        passing_bytes: of what is deleted when it ends: the files from which it would go on if it were stopped, and
            the snapshots that are kept for a rule to choose from.
    """

    stage: PlannedStage
    trainable: dict[str, int]
    step_flop: float
    step_seconds: float
    saved_bytes: int
    average_bytes: int
    passing_bytes: int

    @property
    def kept_bytes(self) -> int:
        """Count the bytes that stay at most: the hand-over and the snapshots, the best one among them."""
        best = self.stage.entry.snapshots > 0 and self.stage.entry.handover != "last"
        snapshots = len(self.stage.snapshot_steps)
        return self.saved_bytes * (1 + snapshots + best) + self.average_bytes * snapshots


def schedule_costs(config: DictConfig, plan: list[PlannedStage]) -> list[StageCost]:
    """Estimate every stage of a plan; no weights are fetched and nothing is trained.

    Operations are counted on shapes alone (torch's `FlopCounterMode` over tensors of device `meta`) for the step that
    the stage itself would take: convolutions, matrix products and attention, forward and backward, losses
    included. Time is operations times what one takes here, measured for generator and discriminator in the first
    stage that trains them: loss and gradients at 64 px, the better of two steps, with a batch doubled until a step
    takes 0.3 s or the stage's batch is reached. Not in it: the optimizer's own work, loading data, validation and
    saving; other work on the machine makes it longer. A GAN step counts as half a step of each network, whatever the
    turns will be.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    networks, losses = _parts(config, plan)

    def module_of(stage: PlannedStage, device: str) -> Stage:
        for loss in losses.values():
            loss.to(device)
        return make_stage(config, stage, networks, losses).to(device)

    stages = {stage.name: stage for stage in plan}
    rates: dict[str, float] = {}
    for stage in stages.values():
        module = module_of(stage, device)
        for player in module.step_losses():
            if player not in rates:
                rates[player] = _calibrate(module, player, stage.entry, config)
    made: dict[str, tuple[dict[str, int], float, float]] = {}
    for stage in stages.values():
        module = module_of(stage, "meta")
        flops, seconds = [], []
        for player in module.step_losses():
            batch = _batch(_COUNTED_BATCH, stage.entry.image_size, "meta")
            flop = _mean_count(module, player, batch, period=math.lcm(*(loss.every for loss in losses.values())))
            flops.append(flop * stage.entry.batch_size / _COUNTED_BATCH)
            seconds.append(rates[player] * flops[-1])
        sizes = {name: sum(p.numel() for p in trainable(getattr(module, name))) for name in module.trains}
        made[stage.name] = sizes, sum(flops) / len(flops), sum(seconds) / len(seconds)
    return [StageCost(s, *made[s.name], *_bytes(s, plan, networks, made[s.name][0])) for s in plan]


def _bytes(
    stage: PlannedStage, plan: list[PlannedStage], networks: Networks, trained: dict[str, int]
) -> tuple[int, int, int]:
    """Count a stage's networks, its power averages, and what it needs until it ends.

    That is what it goes on from, networks, their averages and two moments of Adam, all twice; where a rule chooses, the
    snapshots of all validations too.
    """
    so_far = {name for s in plan[: stage.index] for name in class_of(s.entry.module).needs}  # from here on, or before
    sizes = {name: _state_bytes(network) for name, network in networks.items() if network and name in so_far}
    saved, powers = sum(sizes.values()), len(KEPT_LENGTHS) * stage.entry.power_averages * sizes["generator"]
    average = sizes["generator"] if stage.entry.ema_decay is not None else 0
    moments = sum(8 * count for count in trained.values())
    waiting = len(stage.validation_steps) - len(stage.snapshot_steps) if stage.rule else 0
    return saved, powers, 2 * (saved + average + powers + moments) + waiting * saved


def _state_bytes(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in network.state_dict().values())


def _parts(config: DictConfig, plan: list[PlannedStage]) -> tuple[Networks, dict[str, Loss]]:
    """Build the networks and losses of a plan with random weights."""
    networks: Networks = {"generator": None, "discriminator": None}
    for name in {name for stage in plan for name in class_of(stage.entry.module).needs}:
        networks[name] = build(without_weights(plain(config[name])))
    names = {name for stage in plan for name in stage.entry.module.loss_weights}
    return networks, {name: build(without_weights(plain(config.loss[name]))) for name in names}


def _batch(size: int, image_size: int, device: str) -> dict[str, Tensor]:
    rgb = torch.rand(size, 3, image_size, image_size, device=device)
    return {"rgb": rgb, "gray": rgb.mean(dim=1, keepdim=True)}


def _step(module: Stage, player: str, batch: dict[str, Tensor], precision: str = "32-true") -> None:
    module.set_modes((player,))
    frozen = [p for name in module.trains if name != player for p in trainable(getattr(module, name))]
    for parameter in frozen:
        parameter.requires_grad_(False)
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


def _mean_count(module: Stage, player: str, batch: dict[str, Tensor], *, period: int) -> float:
    """Count the operations of a mean step: some losses are part of one in a few; all recur after `period` steps."""
    flops: dict[tuple[str, ...], float] = {}
    total = 0.0
    for step in range(period):
        setattr(module, f"{player}_steps", step)
        due = tuple(module.due_losses(player))
        if due not in flops:
            flops[due] = _count(module, player, batch)
        total += flops[due]
    return total / period


def _calibrate(module: Stage, player: str, entry: StageEntry, config: DictConfig) -> float:
    """Measure the seconds an operation takes in a step: the better of two steps, with a batch that takes a while."""
    memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    module.to(memory_format=memory_format)
    size, image_size = _COUNTED_BATCH, min(_CALIBRATION_SIZE, entry.image_size)
    while True:
        images = _batch(size, image_size, str(module.device))
        batch = {key: value.to(memory_format=memory_format) for key, value in images.items()}
        flop = _count(module, player, batch)  # counts, and warms up
        seconds = min(_seconds_of(module, player, batch, config) for _ in range(2))
        if seconds >= _LONG_ENOUGH or size >= entry.batch_size:
            return seconds / flop
        size *= 2


def _seconds_of(module: Stage, player: str, batch: dict[str, Tensor], config: DictConfig) -> float:
    def wait() -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    started = time.perf_counter()
    _step(module, player, batch, str(config.trainer.get("precision", "32-true")))
    wait()
    return time.perf_counter() - started


def cost_table(costs: list[StageCost], *, num_photos: int) -> Any:
    """Make a table of the costs, a row for each stage and one for their sum."""
    from rich.table import Table

    table = Table(title=f"{num_photos:,} training photos")
    table.add_column("stage", overflow="fold")
    for name in (
        "px",
        "batch",
        "steps",
        "images",
        "trainable parameters",
        "TFLOP a step",
        "PFLOP",
        "time here",
        "disk",
    ):
        table.add_column(name, justify="right")
    flop = seconds = 0.0
    disk = most_bytes(costs)
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
            _size(cost.kept_bytes),
        )
    total = sum(cost.stage.entry.steps for cost in costs)
    table.add_row(
        "all", "", "", f"{total:,}", "", "", "", f"{flop / 1e15:.3g}", _duration(seconds), _size(disk), style="bold"
    )
    return table


def most_bytes(costs: list[StageCost]) -> int:
    """Count what a run writes at most: what its stages leave, the result, and the most that one of them deletes."""
    return sum(c.kept_bytes for c in costs) + costs[-1].saved_bytes + max(c.passing_bytes for c in costs)


def _size(count: float) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count / 1e3:.3g} kB"


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.2g} s"
