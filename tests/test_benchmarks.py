"""Benchmarks run by hand, so nothing else notices when a name that they import is gone."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from stage_fixture import batches, gan, pretrain

SCRIPTS = sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_finds_what_it_imports(script, monkeypatch):
    monkeypatch.syspath_prepend(str(script.parent))  # they import each other, as scripts do
    monkeypatch.setattr(sys, "argv", [str(script)])
    spec = importlib.util.spec_from_file_location(f"benchmark_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__doc__


def test_there_are_benchmarks():
    assert len(SCRIPTS) > 10


@pytest.mark.parametrize("make", [pretrain, gan])
def test_a_bare_step_trains_its_player_alone(make, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS[0].parent))
    from steps import bare_steps

    stage = make(num_steps=1)
    for player, step in bare_steps(stage, batches(1)[0], bf16=False).items():
        networks = {name: getattr(stage, name) for name in ("generator", "discriminator")}
        before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
        step()
        changed = {
            name for name, network in networks.items() if not all(map(torch.equal, before[name], network.parameters()))
        }
        assert changed == {player}
