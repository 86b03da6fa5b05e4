"""The order of training data: a pure function of (seed, step), so that any run can go on at any step."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler

SampleKey = tuple[int, int]  # (epoch, position in the split): together with the seed they fix crop, flip and noise


def batch_keys(*, num_items: int, batch_size: int, seed: int, step: int) -> list[SampleKey]:
    """Samples of the batch at `step`: a window of the endless sequence of seeded permutations.

    Args:
        num_items: items in the split.
        batch_size: global batch size; may exceed `num_items`.
        seed: of this stage.
        step: zero-based number of the batch.
    """
    positions = range(step * batch_size, (step + 1) * batch_size)
    return [(p // num_items, int(_permutation(seed, p // num_items, num_items)[p % num_items])) for p in positions]


@lru_cache(maxsize=2)  # of a million items it takes longer than a step
def _permutation(seed: int, epoch: int, num_items: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_items)


class StepBatchSampler(Sampler[list[SampleKey]]):
    """Batches from `start_step` to `num_steps`, each rank taking its share of the global batch.

    Its length counts the finished steps too, as Lightning's loop does when it resumes.
    """

    def __init__(
        self,
        *,
        num_items: int,
        batch_size: int,
        seed: int,
        num_steps: int,
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(f"batch_size={batch_size} cannot be shared by {world_size} processes (batch_size)")
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self.num_steps, self.start_step = num_steps, start_step
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for step in range(self.start_step, self.num_steps):
            keys = batch_keys(num_items=self.num_items, batch_size=self.batch_size, seed=self.seed, step=step)
            yield keys[self.rank :: self.world_size]
