"""The stages of a schedule, with the steps that epochs make."""

from pathlib import Path

import pytest

from colorgan.metrics.judges import partial_judges
from colorgan.training.plan import plan_stages, trained_through
from colorgan.training.schedule import Schedule

IMAGENET = 1_288_050  # nine tenths of 1,431,167 photos: what DeOldify trains on


def test_steps_before_a_stage_add_up(smoke, tmp_path):
    plan = plan_stages(smoke("schedule.times=2").schedule, tmp_path)
    assert [stage.first_step for stage in plan] == [0, 6, 12, 20, 26]


def test_steps_given_by_hand_win_over_epochs_and_reach_the_schedule_of_rates(compose):
    config = compose("experiment=deoldify_video", "schedule.stages.critic_pretrain.steps=7")
    plan = plan_stages(config.schedule, Path("runs/x"), num_photos=IMAGENET)
    entries = {stage.name: stage.entry for stage in plan}
    assert entries["critic_pretrain"].steps == entries["critic_pretrain"].module.lr_scheduler.total_steps == 7
    assert entries["critic_pretrain_128"].module.lr_scheduler.total_steps == 10_260
    assert config.schedule.stages.critic_pretrain_128.steps is None  # the config itself stays as it was


def test_a_stage_has_at_least_one_step(compose):
    plan = plan_stages(compose("experiment=deoldify_video").schedule, Path("runs/x"), num_photos=6)
    assert {stage.entry.steps for stage in plan if stage.name != "generator_pretrain_192"} >= {1}
    assert min(stage.entry.steps for stage in plan) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("share=0", "generator_pretrain.share=0 must be a number above 0 and at most 1"),
        ("share=1.5", "generator_pretrain.share=1.5 must be a number above 0 and at most 1"),
        ("epochs=0", "generator_pretrain.epochs=0 must be a number above 0 or null"),
        ("epochs=null", "generator_pretrain.steps=null needs schedule.stages.generator_pretrain.epochs, or give steps"),
        ("steps=0", "generator_pretrain.steps=0 must be a whole number of at least 1"),
    ],
)
def test_impossible_amounts_are_refused(compose, override, message):
    config = compose("experiment=deoldify_stable", f"schedule.stages.generator_pretrain.{override}")
    with pytest.raises(ValueError, match=message):
        Schedule(config)


def test_a_pretrained_critic_taints_its_judge_and_all_of_its_kin(compose):
    lite = {"efficientnet_lite0", "efficientnet_lite2"}
    plain, projected = (trained_through(compose(*words)) for words in ([], ["discriminator=projected"]))
    assert plain == ["efficientnet_lite0"]
    assert partial_judges(plain) == {"efficientnet_lite0"}  # as encoder and in the feature loss
    assert projected == ["efficientnet_lite0", "efficientnet_lite0 as critic"]
    assert partial_judges(projected) == {*lite, "inception", "inception_tf1", "inception_torchvision"}
    words = ["discriminator=projected_dino", "discriminator.backbone.weights=x"]
    assert partial_judges(trained_through(compose(*words))) >= {"efficientnet_lite0", "dinov2"}
    assert partial_judges(trained_through(compose(*words))) & {"efficientnet_lite2", "inception"} == set()
    assert trained_through(compose("discriminator=projected", "experiment=generator_only")) == plain
