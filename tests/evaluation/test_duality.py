"""The duality gap of networks that can still win, and that it leaves them alone."""

import math

import torch
from stage_fixture import batches, networks

from colorgan.evaluation.duality import duality_gap


def test_the_gap_grows_with_the_steps_and_leaves_the_networks_alone():
    made = {name: network.eval() for name, network in networks().items()}
    before = {name: {k: v.clone() for k, v in network.state_dict().items()} for name, network in made.items()}
    (batch,) = batches(1, size=8)
    state = torch.get_rng_state()
    few, many = (duality_gap(**made, gray=batch["gray"], rgb=batch["rgb"], steps=steps) for steps in (1, 6))
    assert many > few
    assert duality_gap(**made, gray=batch["gray"], rgb=batch["rgb"], steps=6, noise=0.01) != many
    assert torch.equal(state, torch.get_rng_state())
    for name, network in made.items():
        assert all(torch.equal(v, before[name][k]) for k, v in network.state_dict().items())
        assert all(weight.grad is None for weight in network.parameters())


def test_a_generator_that_takes_hints_has_a_gap_without_them():
    made = networks()
    made["generator"].hints = torch.nn.Linear(1, 1)  # a part that takes no part
    (batch,) = batches(1, size=8)
    assert math.isfinite(duality_gap(**made, gray=batch["gray"], rgb=batch["rgb"], steps=1))


def test_views_of_one_photo_are_on_one_side():
    made = {name: network.eval() for name, network in networks().items()}
    (batch,) = batches(1, size=8)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    groups = torch.tensor([0, 0, 2, 2, 1, 1, 3, 3])
    gap = duality_gap(**made, gray=batch["gray"][order], rgb=batch["rgb"][order], groups=groups)
    assert gap == duality_gap(**made, gray=batch["gray"], rgb=batch["rgb"])
    assert math.isnan(
        duality_gap(**made, gray=batch["gray"], rgb=batch["rgb"], groups=torch.zeros(8, dtype=torch.long))
    )
