"""Mistakes in a config are named before anything runs."""

import pytest

from colorgan.training.schedule import Schedule


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["schedule.first=[nothing]"], r"names stage 'nothing'; schedule.stages has generator_pretrain"),
        (["schedule.first=[]", "schedule.times=0"], r"schedule is empty"),
        (["+schedule.stages.gan.stpes=3"], r"schedule.stages.gan has no \['stpes'\]"),
        (["schedule.stages.gan.steps=0"], r"schedule.stages.gan.steps must be at least 1, got 0"),
        (
            ["schedule.stages.gan.handover=fid"],
            r"gan.handover='fid' must be last or one of the metrics",
        ),
        (["schedule.stages.gan.handover=colorfulness"], r"handover='colorfulness' has no better direction"),
        (["schedule.stages.critic_pretrain.handover=psnr"], r"critic_pretrain.handover must be last"),
        (["objective=fid"], r"objective='fid' must be one of the metrics: colorfulness, psnr"),
        (["trainer.accelerator=cpu", "trainer.devices=2"], r"trainer.devices=2: several processes need trainer=ddp"),
        (
            ["+trainer.strategy=fsdp"],
            r"trainer.strategy=fsdp: networks cannot be sharded here; take trainer=ddp",
        ),
        (
            ["+trainer.strategy=deepspeed_stage_2"],
            r"trainer.strategy=deepspeed_stage_2: networks cannot be sharded here",
        ),
        (["schedule.stages.gan.module.loss_weights.discriminator=0"], r"loss_weights.discriminator above 0"),
        (["+schedule.stages.gan.module.loss_weights.style=1"], r"loss_weights names \['style'\]"),
        (["+schedule.stages.generator_pretrain.module.momentum=1"], r"generator_pretrain.module: .*'momentum'"),
    ],
)
def test_mistakes_in_a_schedule_are_named(smoke, overrides, message):
    with pytest.raises(ValueError, match=message):
        Schedule(smoke(*overrides)).run()
