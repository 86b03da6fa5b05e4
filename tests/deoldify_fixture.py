"""The parity fixtures: DeOldify's state dicts, filled by a rule, and what its own networks answered."""

import math
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "fixtures" / "deoldify"


def keys(name):
    """Rows (key, shape) of a network's state dict."""
    rows = [line.split("\t") for line in (FOLDER / f"{name}_keys.tsv").read_text().splitlines()[1:]]
    return [(key, () if s == "scalar" else tuple(map(int, s.split("x"))), kind) for key, s, kind in rows]


def fill(key, shape):
    """The value of a parameter, from its name alone."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if len(shape) >= 2:
        return values * math.sqrt(2 / math.prod(shape[1:]))
    if key.endswith("gamma"):
        return torch.full(shape, 0.5)
    return 1 + 0.1 * values if key.endswith("weight") else 0.1 * values


def state_dict(name):
    """The filled state dict, under DeOldify's keys."""
    flat, at, state = torch.from_numpy(np.load(FOLDER / "buffers.npz")[name]), 0, {}
    for key, shape, kind in keys(name):
        if kind == "buffer" or key.endswith("weight_g"):
            size = math.prod(shape)
            value = flat[at : at + size].reshape(shape).clone()
            state[key], at = value.long() if key.endswith("num_batches_tracked") else value, at + size
        else:
            state[key] = fill(key, shape)
    assert at == len(flat)
    return state


def outputs(name):
    """What DeOldify's network was given and what it answered."""
    arrays = np.load(FOLDER / "outputs.npz")
    return {key.removeprefix(f"{name}_"): torch.from_numpy(arrays[key]) for key in arrays if key.startswith(name)}
