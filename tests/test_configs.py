"""Contracts of all yamls: every choice composes, experiments say what they are, any of them fits any scale."""

from itertools import product
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from colorgan.training.plan import plan_stages

CONFIGS = Path(__file__).parent.parent / "configs"
EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
SCALES = sorted(path.stem for path in (CONFIGS / "scale").glob("*.yaml"))
GROUPS = ("generator", "discriminator", "data", "metrics", "logger", "trainer", "schedule")
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((CONFIGS / group).glob("*.yaml"))]
LOSSES = [(f"loss/{p.parent.name}", p.stem) for p in sorted((CONFIGS / "loss").glob("*/*.yaml"))]


@pytest.mark.parametrize(("experiment", "scale"), [*product(EXPERIMENTS, SCALES)])
def test_any_experiment_goes_with_any_scale(compose, experiment, scale):
    config = compose(f"experiment={experiment}", f"scale={scale}")
    plan = plan_stages(config.schedule, Path("runs/x"))
    assert plan
    for stage in plan:
        OmegaConf.to_container(config.schedule.stages[stage.name], resolve=True, throw_on_missing=True)
        assert set(stage.entry.module.loss_weights) <= set(config.loss)


@pytest.mark.parametrize(("group", "choice"), [c for c in CHOICES if c != ("data", "base")] + LOSSES)
def test_every_choice_composes(compose, group, choice):
    path = ["data.path=somewhere"] if choice in ("folder", "hub", "hub_stream", "clips") else []
    nodes = ["trainer.num_nodes=2"] if choice == "ddp_multinode" else []
    config = compose(f"{group}={choice}", *path, *nodes)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiments_begin_with_what_they_are(experiment):
    lines = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    header = " ".join(line for line in lines[1:7] if line.startswith("#"))
    for word in ("Command:", f"experiment={experiment}", "Cost:"):
        assert word in header, f"{experiment}.yaml does not say {word}"


@pytest.mark.parametrize("choice", ["l1", "charbonnier"])
def test_pixel_losses_are_built_from_their_yaml(compose, choice):
    assert instantiate(compose(f"loss/pixel={choice}").loss.pixel) is not None


@pytest.mark.parametrize("choice", ["bce", "hinge", "least_squares"])
def test_adversarial_losses_come_in_pairs(compose, choice):
    loss = compose(f"loss/adversarial={choice}").loss
    names = {type(instantiate(loss[key])).__name__ for key in ("adversarial", "discriminator")}
    assert len({name.removesuffix("GeneratorLoss").removesuffix("DiscriminatorLoss") for name in names}) == 1
