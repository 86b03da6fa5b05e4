"""Mistakes in a config are named before anything runs."""

import pytest
import torch

from colorgan.checkpoint import build_network, read_header, save_checkpoint
from colorgan.networks.spectral import renew_spectral_norms, spectral_vectors
from colorgan.training.checks import check_picture, check_saved
from colorgan.training.schedule import Schedule

GAN, PRETRAIN = "schedule.stages.gan", "schedule.stages.generator_pretrain"
CRITIC = "schedule.stages.critic_pretrain.module"
MORE_MISTAKES = [
    (["seed=-1"], r"seed=-1 must be a whole number of at least 0"),
    (["seed=1.5"], r"seed=1.5 must be a whole number"),
    (["save_every=0"], r"save_every=0 must be a whole number of at least 1"),
    ([f"{GAN}.steps=abc"], r"gan.steps='abc' must be a whole number"),
    ([f"{GAN}.module.optimizer_generator.lr=abc"], r"gan.module.optimizer_generator.lr='abc' must be a number"),
    ([f"{GAN}.module.optimizer_generator.lr=-1"], r"gan.module.optimizer_generator.lr=-1.*: Invalid learning rate"),
    ([f"{GAN}.batch_size=1"], r"gan.batch_size=1 does not go with image_size=32"),
    ([f"{PRETRAIN}.ema_decay=1"], r"generator_pretrain.ema_decay=1 must be a number above 0 and below 1"),
    (
        [f"{PRETRAIN}.module.loss_weights={{pixel:0,feature:0,colorfulness:0}}"],
        r"loss_weights needs a loss of the generator with a weight above 0",
    ),
    ([f"{PRETRAIN}.module.lr_scheduler.max_lr=-1"], r"max_lr=-1.* begins with a learning rate below 0"),
    (
        [f"{GAN}.inflection.end_early=true"],
        r"gan.inflection.end_early=true is for schedule.stages.gan.handover=inflection, got .*handover=psnr",
    ),
    (
        ["loss/adversarial=relativistic", f"{GAN}.handover=inflection", f"{GAN}.inflection.rule=held_out_critic"],
        r"held_out_critic compares logits of different photos, and RelativisticDiscriminatorLoss binds only those",
    ),
    (
        ["loss/adversarial=relativistic", f"+{GAN}.module.loss_weights.lecam=1"],
        r"loss_weights.lecam: RelativisticDiscriminatorLoss knows only differences of logits",
    ),
    (
        [f"{CRITIC}.loss_weights.discriminator=0", f"+{CRITIC}.loss_weights.r1=1"],
        r"CriticPretrainStage needs loss_weights.discriminator above 0",
    ),
    (["discriminator.norm=abc"], r"norm='abc' is unknown"),  # of the second stage
    (["loss.feature.network.weights=gone.pth"], r"loss.feature.network.weights='gone.pth': no such file"),
    (["data.size=abc"], r"data.size='abc' must be a whole number"),  # which data.source takes from there
    (["data.source.size=0"], r"data.source.size=0 must be a whole number of at least 1"),
    (["trainer.accelerator=cpu", "trainer.precision=16"], r"trainer.precision=16 cannot be had on a CPU"),
    (["trainer.precision=64"], r"trainer.precision=64: networks train at 32-true"),
    (["name=.."], r"name='..' must be the name of a folder inside runs_dir"),
    (["name=."], r"name='.' must be"),
    (["name=''"], r"name='' must be"),
    (["name=../../x"], r"name='../../x' must be"),
    (["name=/x"], r"name='/x' must be"),
]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["schedule.first=[nothing]"], r"names stage 'nothing'; schedule.stages has generator_pretrain"),
        (["schedule.first=[]", "schedule.times=0"], r"schedule is empty"),
        (
            ["+schedule.stages.gan.stpes=3"],
            r"schedule.stages.gan.stpes is unknown; schedule.stages.gan takes batch_size, ",
        ),
        (["schedule.stages.gan.steps=0"], r"schedule.stages.gan.steps=0 must be a whole number of at least 1"),
        (
            ["schedule.stages.gan.handover=fid"],
            r"gan.handover='fid' must be last, inflection or one of the metrics",
        ),
        (
            ["schedule.stages.gan.handover=inflection", "schedule.stages.gan.inflection=null"],
            r"gan.handover=inflection needs a rule \(schedule.stages.gan.inflection.rule=artefact_area",
        ),
        (
            ["schedule.stages.gan.inflection.rule=duality_gap"],
            r"inflection.rule='duality_gap' must be held_out_critic, fresh_critic, artefact_area, one_standard_error",
        ),
        (
            ["+schedule.stages.generator_pretrain.handover=inflection"],
            r"generator_pretrain.handover=inflection is for stages that train a discriminator",
        ),
        (["schedule.stages.gan.handover=colorfulness"], r"handover='colorfulness' has no better direction"),
        (["schedule.stages.critic_pretrain.handover=psnr"], r"critic_pretrain.handover must be last"),
        (["objective=fid"], r"objective='fid' must be one of the metrics: chroma_distance, colorfulness, psnr"),
        (["trainer.accelerator=cpu", "trainer.devices=2"], r"trainer.devices=2: several processes need trainer=ddp"),
        (
            ["+trainer.strategy=fsdp"],
            r"trainer.strategy=fsdp: networks cannot be sharded here; take trainer=ddp",
        ),
        (
            ["+trainer.strategy=deepspeed_stage_2"],
            r"trainer.strategy=deepspeed_stage_2: networks cannot be sharded here",
        ),
        (
            ["schedule.stages.gan.module.loss_weights.discriminator=0"],
            r"gan.module.loss_weights needs a loss of the discriminator",
        ),
        (["+schedule.stages.gan.module.loss_weights.style=1"], r"loss_weights names \['style'\]"),
        (
            ["+schedule.stages.generator_pretrain.module.momentum=1"],
            r"generator_pretrain.module.momentum is unknown; GeneratorPretrainStage takes",
        ),
        *MORE_MISTAKES,
    ],
)
def test_mistakes_in_a_schedule_are_named(smoke, overrides, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Schedule(smoke(*overrides))


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of a small generator, and the generator."""
    torch.manual_seed(0)
    config = {
        "_target_": "colorgan.networks.UNetGenerator",
        "encoder": {"_target_": "colorgan.networks.TimmPyramid", "name": "tf_efficientnet_lite0", "weights": None},
        "widths": [8, 8, 8, 8, 8],
    }
    generator = build_network(config)
    renew_spectral_norms(generator)
    save_checkpoint(tmp_path / "x.safetensors", {"generator": generator}, configs={"generator": config}, facts={})
    return tmp_path / "x.safetensors", generator


def test_a_file_that_holds_the_trained_networks_passes_and_changes_neither_modes_nor_chance(saved):
    path, generator = saved
    generator.train()
    state = torch.get_rng_state()
    check_saved(path, {"generator": generator}, trained=["generator"])
    check_picture(path, generator)
    assert generator.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_file_that_is_not_what_was_trained_is_told(saved):
    path, generator = saved
    with torch.no_grad():
        generator.to_color.bias += 0.1
    with pytest.raises(RuntimeError, match=r"generator.to_color.bias is not what was trained"):
        check_saved(path, {"generator": generator}, trained=["generator"])


def test_vectors_that_do_not_fit_the_weights_are_told(saved, tmp_path):
    _, generator = saved
    config = read_header(saved[0])["networks"]["generator"]
    vector = spectral_vectors(generator)[0]
    vector *= 0.6  # as an average of turning vectors
    path = tmp_path / "spoiled.safetensors"
    save_checkpoint(path, {"generator": generator}, configs={"generator": config}, facts={})
    with pytest.raises(RuntimeError, match=r"is divided by .*, its largest is"):
        check_saved(path, {"generator": generator}, trained=["generator"])
    check_saved(path, {"generator": generator}, trained=[])  # a stranger's file stays as it is


def test_a_header_that_rebuilds_another_network_is_told(saved, tmp_path):
    path, generator = saved
    config = read_header(path)["networks"]["generator"]
    other = {**config, "blur": False}  # the same tensors, another picture
    with torch.no_grad():
        generator.to_color.weight.normal_()  # so that colours show
    save_checkpoint(tmp_path / "other.safetensors", {"generator": generator}, configs={"generator": other}, facts={})
    with pytest.raises(RuntimeError, match=r"a picture differs by"):
        check_picture(tmp_path / "other.safetensors", generator)
