"""Look whether losses and gradients are finite, without waiting for each of them."""

import math

import torch
from pytorch_lightning import Trainer
from torch import Tensor

CHECK_EVERY = 10  # steps, where to look at a value means to wait for it: on a GPU, or between processes


class DivergedError(ArithmeticError):
    """Raised when a loss or its gradient is not finite, before anything is saved that was stepped with it.

    Attributes:
        step: the first such step of the stage, from 1.
    """

    def __init__(self, step: int, loss: float, norm: float) -> None:
        super().__init__(f"loss {loss:.4g}, norm of its gradient {norm:.4g}")
        self.step = step


class FiniteWatch:
    """Keep the losses and norms of the last steps where they are, and look at them together.

    On a CPU each step is looked at before it is taken. Elsewhere up to `CHECK_EVERY` have been taken by then, but
    none is saved if `check` comes before every validation and every save.
    """

    def __init__(self) -> None:
        self._unchecked: list[tuple[int, Tensor]] = []

    def note(self, step: int, loss: Tensor, norm: Tensor, trainer: Trainer) -> None:
        """Note a step that is about to be taken, and look if it is time to.

        Args:
            step: of the stage, from 1.
            loss: of the step, a scalar.
            norm: of its gradient.
            trainer: of the stage.

        Raises:
            DivergedError: this step or one before it is not finite.
        """
        self._unchecked.append((step, torch.stack([loss, norm.to(loss)])))
        waits = loss.device.type != "cpu" or trainer.world_size > 1
        if not waits or step % CHECK_EVERY == 0:
            self.check(trainer)

    def check(self, trainer: Trainer) -> None:
        """Stop at the first of the noted steps that is not finite, in all processes alike; all of them must ask.

        Raises:
            DivergedError: there is one.
        """
        values = torch.stack([pair for _, pair in self._unchecked]) if self._unchecked else torch.zeros(1, 2)
        if trainer.world_size > 1:  # one that is not finite stops all: the others would wait for its process
            values = trainer.strategy.reduce(values.to(trainer.strategy.root_device), reduce_op="mean")
        steps, self._unchecked = [step for step, _ in self._unchecked], []
        for step, (loss, norm) in zip(steps, values.tolist(), strict=False):
            if not math.isfinite(loss + norm):
                raise DivergedError(step, loss, norm)
