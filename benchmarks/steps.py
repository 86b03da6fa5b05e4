"""What benchmarks of training share: a stage's step without a trainer around it, and its time."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from colorgan.stages.base import Stage

Step = Callable[[], None]


def bare_steps(stage: Stage, batch: Mapping[str, Tensor], *, bf16: bool, freeze_leak: bool = False) -> dict[str, Step]:
    """Make the steps of a stage by player: loss, gradients, optimizer, and nothing else.

    Args:
        stage: on the device of the batch, in its memory layout.
        batch: taken again and again.
        bf16: whether under autocast.
        freeze_leak: gradients of frozen convolutions are computed in a generator's turn and thrown away (DeOldify).
    """
    made = stage.configure_optimizers()
    optimizers = [made["optimizer"]] if isinstance(made, dict) else made[0]  # the GAN's, and their schedules
    by_player = dict(zip(stage.trains, optimizers, strict=True))
    images = {key: value.to(memory_format=stage.memory_format) for key, value in batch.items()}
    device = images["rgb"].device.type
    frozen = [m.weight for m in stage.generator.modules() if isinstance(m, nn.Conv2d) and not m.weight.requires_grad]

    def step_of(player: str) -> Step:
        loss_of, optimizer = stage.step_losses()[player], by_player[player]

        def step() -> None:
            stage.set_modes((player,))
            for name, other in by_player.items():  # Lightning's toggle: the idle network gets no gradient
                for group in other.param_groups:
                    for parameter in group["params"]:
                        parameter.requires_grad_(name == player)
            for weight in frozen if freeze_leak else ():
                weight.requires_grad_(player == "generator")
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                loss = loss_of(images)
            loss.backward()
            optimizer.step()
            for weight in frozen:
                weight.grad = None

        return step

    return {player: step_of(player) for player in by_player}


def seconds(steps: Mapping[str, Step], device: str, *, repeats: int, warmup: int = 1) -> dict[str, tuple[float, float]]:
    """Time steps, which alternate: median seconds on the clock, and of the process, by name."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for repeat in range(warmup + repeats):
        for name, step in steps.items():
            _wait(device)
            started = time.perf_counter(), time.process_time()
            step()
            _wait(device)
            if repeat >= warmup:
                taken[name].append((time.perf_counter() - started[0], time.process_time() - started[1]))
    return {name: tuple(statistics.median(t[i] for t in times) for i in (0, 1)) for name, times in taken.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
