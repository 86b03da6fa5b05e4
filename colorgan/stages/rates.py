"""Make optimizers, with learning rates that differ over layers and over time as fastai 1 sets them for DeOldify."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from colorgan.ranges import Count, Positive, Share

OptimizerFactory = Callable[..., Optimizer]
SchedulerFactory = Callable[..., LRScheduler]
ParameterGroups = list[nn.Parameter] | list[dict[str, Any]]


def slice_rates(lr_slice: Sequence[float], num_groups: int) -> list[float]:
    """Compute the rate of each layer group, first layers first (fastai, `Learner.lr_range`).

    Args:
        lr_slice: `[lowest, highest]`, geometric between, as fastai's `slice(lowest, highest)`; or `[highest]`, a tenth
            of it for all groups but the last, as `slice(highest)`.
        num_groups: groups of the network.

    Raises:
        ValueError: another number of rates, or a rate that is not above 0.
    """
    if len(lr_slice) not in (1, 2) or min(lr_slice) <= 0:
        raise ValueError(f"lr_slice needs one or two rates above 0, got {list(lr_slice)} (module.lr_slice)")
    highest = lr_slice[-1]
    if len(lr_slice) == 1:
        return [highest / 10] * (num_groups - 1) + [highest]
    step = (highest / lr_slice[0]) ** (1 / max(1, num_groups - 1))
    return [lr_slice[0] * step**index for index in range(num_groups)]


class OneCycle(LRScheduler):
    """Fastai's one-cycle schedule: cosine up to each group's rate, cosine down; the momentum goes the other way.

    With n = `total_steps` and a = int(n pct_start), the rate of step k (from 0) is
    low + (max - low)(1 - cos(pi k / a)) / 2 with low = max / 25 for k <= a, then
    last + (max - last)(1 + cos(pi (k - a) / (n - a))) / 2 with last = max / 250,000; beta1 likewise between 0.95 and
    0.85. Where a = 0, fastai still spends one step at max / 25: the decay begins at step 1 and would end at n + 1.
    (torch's `OneCycleLR` shifts both phases by a step and cannot do without a rise.)

    Args:
        optimizer: with betas; the rate of each group is the one at the top.
        total_steps: steps of the stage.
        pct_start: share of the rise; DeOldify writes 1e-8 for none.
        div_factor: top over first rate.
        final_div: top over last rate.
        momentum: beta1 at the ends and at the top.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        total_steps: Annotated[int, Count | None],  # null where they follow from epochs
        pct_start: Share = 0.3,
        div_factor: Positive = 25.0,
        final_div: Positive = 250_000.0,
        momentum: tuple[float, float] = (0.95, 0.85),
    ) -> None:
        if not 0 <= pct_start < 1:
            raise ValueError(f"pct_start must be in [0, 1), got {pct_start} (module.lr_scheduler.pct_start)")
        rise = int(total_steps * pct_start)
        self.rise, self.fall = max(1, rise), max(1, total_steps - rise)
        self.div_factor, self.final_div, self.momentum = div_factor, final_div, tuple(momentum)
        super().__init__(optimizer)

    def _between(self, ends: float, top: float, last: float) -> float:
        """Compute the value of the present step on its way from `ends` over `top` to `last`."""
        step = self.last_epoch  # torch's name for the number of finished steps
        if step < self.rise:
            return top + (ends - top) * (1 + math.cos(math.pi * step / self.rise)) / 2
        share = min(1.0, (step - self.rise) / self.fall)
        return last + (top - last) * (1 + math.cos(math.pi * share)) / 2

    def get_lr(self) -> list[float]:
        """Compute the rates of the groups; set their beta1 too."""
        beta1 = self._between(self.momentum[0], self.momentum[1], self.momentum[0])
        for group in self.optimizer.param_groups:
            group["betas"] = (beta1, *group["betas"][1:])
        return [self._between(top / self.div_factor, top, top / self.final_div) for top in map(float, self.base_lrs)]


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """List the parameters that are not frozen."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def layer_rates(generator: nn.Module, lr_slice: Sequence[float] | None) -> ParameterGroups:
    """List the trainable parameters, in groups with a rate each if `lr_slice` is given (see `slice_rates`).

    Raises:
        ValueError: the generator has no layer groups.
    """
    if lr_slice is None:
        return trainable(generator)
    if not hasattr(generator, "layer_groups"):
        raise ValueError(
            f"lr_slice needs a generator with layer_groups, got {type(generator).__name__}; give optimizer.lr alone "
            "(schedule.stages.*.module.lr_slice)"
        )
    groups: list[list[nn.Parameter]] = generator.layer_groups()  # type: ignore[operator]
    rates = slice_rates(lr_slice, len(groups))
    return [
        {"params": [p for p in group if p.requires_grad], "lr": rate} for group, rate in zip(groups, rates, strict=True)
    ]


def single_optimizer(
    parameters: ParameterGroups, optimizer: OptimizerFactory, lr_scheduler: SchedulerFactory | None
) -> dict[str, Any]:
    """Return for `configure_optimizers` one optimizer with an optional schedule of its rate."""
    built = optimizer(parameters)
    return {"optimizer": built} if lr_scheduler is None else {"optimizer": built, "lr_scheduler": lr_scheduler(built)}
