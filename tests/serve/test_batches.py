"""Callers share batches, and get their own pictures and their own errors."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from colorgan.serve.batches import SharedGenerator


class Slow(nn.Module):
    """Adds one; is held back until all wait, so that batches form; cannot do pictures of nines."""

    gray_rule = "luma601"

    def __init__(self):
        super().__init__()
        self.begun, self.go, self.sizes = threading.Event(), threading.Event(), []

    def forward(self, gray):
        self.begun.set()
        self.go.wait()
        self.sizes.append(len(gray))
        if (gray == 9).any():
            raise RuntimeError("nine")
        return gray.expand(-1, 3, -1, -1) + 1


@pytest.fixture
def shared():
    slow = Slow()
    made = SharedGenerator([slow], ["cpu"])
    yield slow, made
    made.close()


def ask_all(slow, made, pictures):
    """Ask for the first alone, and for the others while it is held back."""
    with ThreadPoolExecutor(len(pictures)) as pool:
        futures = [pool.submit(made, pictures[0])]
        slow.begun.wait()
        futures += [pool.submit(made, picture) for picture in pictures[1:]]
        while len(made._waiting) < len(pictures) - 1:
            time.sleep(0.001)
        slow.go.set()
    return futures


def test_each_gets_its_own_and_shapes_are_not_mixed(shared):
    slow, made = shared
    pictures = [torch.full((1, 1, 8 + 8 * (i % 2), 8), float(i) / 100) for i in range(12)]
    for picture, future in zip(pictures, ask_all(slow, made, pictures), strict=True):
        assert torch.equal(future.result(), picture.expand(-1, 3, -1, -1) + 1)
    assert sum(slow.sizes) == 12
    assert max(slow.sizes) >= 5


def test_a_bad_one_fails_alone(shared):
    slow, made = shared
    futures = ask_all(slow, made, [torch.full((1, 1, 4, 4), float(i)) for i in (0, 1, 9, 2)])
    assert [future.exception() is None for future in futures] == [True, True, False, True]
    assert made(torch.zeros(1, 1, 4, 4)).mean() == 1


def test_closed_it_takes_nothing_more(shared):
    slow, made = shared
    slow.go.set()
    made.close()
    with pytest.raises(RuntimeError, match="closed"):
        made(torch.zeros(1, 1, 4, 4))
