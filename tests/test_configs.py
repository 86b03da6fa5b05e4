"""Contracts of all yamls: every choice composes, any experiment goes with any scale or says why not."""

import tomllib
from itertools import product
from pathlib import Path

import pytest
from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from colorgan.config import CONFIGS, compose
from colorgan.errors import one_line
from colorgan.training.plan import plan_stages
from colorgan.training.schedule import Schedule

ROOT = Path(__file__).parent.parent
PATHS = sorted(CONFIGS.rglob("*.yaml"))
GROUPS = sorted({str(path.parent.relative_to(CONFIGS)) for path in PATHS} - {"."})
BASES = {"data/base", "loss/default"}  # what others build on; loss is one choice, always taken
OF_EVALUATE = {"protocol", "clip_protocol"}
NO_CHOICE = {"stage", "hydra/sweeper"}  # placed by schedules and sweeps
CHOICES = [
    (group, path.stem)
    for group in GROUPS
    for path in sorted((CONFIGS / group).glob("*.yaml"))
    if group not in NO_CHOICE and f"{group}/{path.stem}" not in BASES
]
EXPERIMENTS = [choice for group, choice in CHOICES if group == "experiment"]
SCALES = [choice for group, choice in CHOICES if group == "scale"]
OTHER_CHOICES = [
    [pair for pair in CHOICES if pair[0] == group] for group in GROUPS if group not in ("experiment", "scale")
]
OWN_SIZES = {"deoldify_stable", "deoldify_artistic", "deoldify_video", "small_model", "smoke", "this_film"}


def needed(choice):
    """What a choice asks for with ???."""
    path = ["data.path=somewhere"] if choice in ("folder", "hub", "hub_stream", "clips", "references") else []
    path += ["references=somewhere", "init_from=somewhere"] if choice == "this_film" else []
    path += ["discriminator.backbone.weights=somewhere"] if choice == "projected_dino" else []
    return path + (["trainer.num_nodes=2"] if choice == "ddp_multinode" else [])


def check_schedule(config):
    plan = plan_stages(config.schedule, Path("runs/x"))
    assert plan
    for stage in plan:
        OmegaConf.to_container(config.schedule.stages[stage.name], resolve=True, throw_on_missing=True)
        assert set(stage.entry.module.loss_weights) <= set(config.loss)


@pytest.mark.parametrize(("experiment", "scale"), [*product(EXPERIMENTS, [None, *SCALES])])
def test_any_experiment_goes_with_any_scale_or_brings_its_own_sizes(experiment, scale):
    given = [f"scale={scale}"] if scale else []
    if scale and experiment in OWN_SIZES:
        with pytest.raises((ValueError, HydraException)) as caught:  # Hydra's where both name a stage
            compose("train", f"experiment={experiment}", *given)
        assert "brings its own sizes; leave scale=" in one_line(caught.value)
        return
    config = compose("train", f"experiment={experiment}", *given, *needed(experiment))
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    check_schedule(config)
    assert config.scale == (None if experiment in OWN_SIZES else scale or "laptop")


def test_a_scale_beside_sizes_of_its_own_is_told_in_a_line(command):
    code, _, err = command("train", "experiment=smoke", "scale=gpu")
    assert code == 2
    assert "brings its own sizes" in err.splitlines()[-1]


@pytest.mark.parametrize("critic", ["patch", "multiscale_patch", "projected", "deoldify_critic"])
def test_the_scale_of_minutes_goes_with_every_critic(critic):
    words = ["experiment=nogan_image", "scale=minutes", f"discriminator={critic}", "loss.feature.network.weights=null"]
    Schedule(compose("train", *words))  # builds its networks without memory
    with pytest.raises(ValueError, match=r"discriminator\.nope is unknown"):
        Schedule(compose("train", *words, "+discriminator.nope=1"))


@pytest.mark.parametrize("number", range(max(map(len, OTHER_CHOICES))))
def test_every_choice_composes(number):
    """The first choice of every group together, the second one, and so on."""
    chosen = [choices[number] for choices in OTHER_CHOICES if number < len(choices)]
    for name in ("train", "evaluate"):
        own = [pair for pair in chosen if (pair[0] in OF_EVALUATE) == (name == "evaluate")]
        given = [word for group, choice in own for word in (f"{group}={choice}", *needed(choice))]
        given += ["checkpoints=x"] if name == "evaluate" else []
        OmegaConf.to_container(compose(name, *given), resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("choice", [path.stem for path in sorted((CONFIGS / "stage").glob("*.yaml"))])
def test_every_stage_fits_into_a_schedule(choice):
    sizes = [f"++schedule.stages.extra.{size}" for size in ("steps=3", "epochs=1", "batch_size=4", "image_size=32")]
    order = ["schedule.first=[extra]", "schedule.times=0"]
    config = compose("train", f"+stage@schedule.stages.extra={choice}", *order, *sizes)
    (stage,) = plan_stages(config.schedule, Path("runs/x"))
    assert stage.entry.steps == 3
    assert get_class(stage.entry.module._target_).__module__.startswith("colorgan.stages")


@pytest.mark.parametrize("choice", [path.stem for path in sorted((CONFIGS / "hydra" / "sweeper").glob("*.yaml"))])
def test_every_sweeper_composes(choice):
    compose("train", f"hydra/sweeper={choice}")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_yaml_begins_with_what_it_is(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert not lines[0].startswith("# Command:")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiments_begin_with_what_they_are(experiment):
    lines = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    header = " ".join(line for line in lines[1:8] if line.startswith("#"))
    for word in ("Command:", f"experiment={experiment}", "Cost:"):
        assert word in header, f"{experiment}.yaml does not say {word}"


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "nogan_video-laptop-samples"),
        (["experiment=nogan_image", "scale=gpu", "data=folder", "data.path=x"], "nogan_image-gpu-folder"),
        (["experiment=smoke"], "smoke-synthetic_tiny"),
        (["experiment=deoldify_artistic"], "deoldify_artistic-samples"),
        (["experiment=smoke", "name=mine"], "mine"),
    ],
)
def test_a_run_is_called_after_experiment_scale_and_data(overrides, name):
    first = compose("train", *overrides)
    compose("train", "experiment=generator_only", "data=synthetic")  # another one changes nothing
    assert first.name == name


def test_a_run_shows_nothing_of_sweeps():
    assert not {"trial", "sweep", "hydra"} & set(compose("train", "sweep=optuna"))
    assert compose("train", "logger=wandb").logger.group is None
    assert compose("train", "logger=wandb", "+trial.sweep=heads").logger.group == "heads"


def test_protocols_that_quote_one_table_share_its_caveat():
    quoting = ("ddcolor_val5k", "bigcolor_val50k", "coco_stuff", "ct2_val5k", "ade20k")
    protocols = {name: compose("evaluate", "checkpoints=x", f"protocol={name}").protocol for name in quoting}
    assert len({protocol.caveat for protocol in protocols.values()}) == 1
    assert "absolute values" in protocols["ade20k"].caveat
    assert [protocol.name for protocol in protocols.values()] == list(quoting)
    numbers = {name: (p.first, p.geometry, p.gray_rule, len(p.published)) for name, p in protocols.items()}
    assert numbers == {
        "ddcolor_val5k": (5000, "center_square", "lightness", 10),
        "bigcolor_val50k": (None, "center_square", "luma601", 10),
        "coco_stuff": (5000, "stretch", "lightness", 7),
        "ct2_val5k": (5000, "center_square", "lightness", 5),
        "ade20k": (2000, "stretch", "lightness", 10),
    }


@pytest.mark.parametrize("choice", ["l1", "charbonnier"])
def test_pixel_losses_are_built_from_their_yaml(choice):
    assert instantiate(compose("train", f"loss/pixel={choice}").loss.pixel) is not None


@pytest.mark.parametrize("choice", ["bce", "hinge", "least_squares"])
def test_adversarial_losses_come_in_pairs(choice):
    loss = compose("train", f"loss/adversarial={choice}").loss
    names = {type(instantiate(loss[key])).__name__ for key in ("adversarial", "discriminator")}
    assert len({name.removesuffix("GeneratorLoss").removesuffix("DiscriminatorLoss") for name in names}) == 1


def test_the_package_lists_all_its_folders():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for path in (ROOT / "colorgan").rglob("*.py")}
    wanted = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(project["packages"]) == wanted | {"colorgan.configs"}
