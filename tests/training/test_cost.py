"""What a schedule would cost."""

import numpy as np
import pytest
from stage_fixture import LOSSES, batches, gan
from torch import nn

import colorgan
from colorgan.checkpoint import read_header
from colorgan.losses import R1Penalty
from colorgan.training.cost import _bytes, _mean_count, most_bytes, schedule_costs
from colorgan.training.plan import plan_stages
from colorgan.training.schedule import Schedule


def test_plan_prints_every_stage_and_writes_no_run(tmp_path, capsys):
    words = ["experiment=smoke", f"runs_dir={tmp_path}/runs", f"data.cache_dir={tmp_path}/cache", "plan=5000"]
    counted = ["schedule.stages.gan.steps=null", "+schedule.stages.gan.epochs=2"]
    assert colorgan.train(*words, *counted) is None
    out = capsys.readouterr().out
    for word in ("generator_pretrain", "critic_pretrain", "gan", "TFLOP a step", "time here"):
        assert word in out
    assert "5,000 training photos" in out
    assert "2,500" in out
    assert not (tmp_path / "runs").exists()


def test_costs_grow_with_batch_and_area(smoke):
    unet = "generator=unet_lite0"  # what colour queries do among themselves does not grow with the area
    sizes = ["schedule.stages.critic_pretrain.image_size=64", "schedule.stages.gan.batch_size=8"]
    config = smoke(unet, *sizes)
    schedule = Schedule(config)
    first, critic, gan = schedule_costs(config, schedule.plan)
    config = smoke(unet)
    plain = {cost.stage.name: cost for cost in schedule_costs(config, Schedule(config).plan)}
    assert gan.step_flop == pytest.approx(2 * plain["gan"].step_flop)
    assert critic.step_flop == pytest.approx(4 * plain["critic_pretrain"].step_flop, rel=0.1)
    assert first.trainable == {"generator": sum(first.trainable.values())}
    assert set(gan.trainable) == {"generator", "discriminator"}
    assert all(np.isfinite(cost.step_seconds) and cost.step_seconds > 0 for cost in (first, critic, gan))


def test_a_run_writes_what_its_plan_says(smoke):
    """Besides the networks, a folder holds tables and pictures; the files to go on from are gone."""
    short = [f"schedule.stages.{name}.steps=1" for name in ("generator_pretrain", "critic_pretrain")]
    config = smoke("schedule.stages.gan.snapshots=2", "schedule.stages.gan.steps=13", *short)
    schedule = Schedule(config)
    costs = schedule_costs(config, schedule.plan)
    schedule.run()
    written = sum(file.stat().st_size for file in schedule.folder.rglob("*.safetensors"))
    last = schedule.plan[-1]
    kept = {int(file.stem.removeprefix("step=")) for file in (last.folder / "snapshots").iterdir()}
    best = read_header(last.folder / "handover.safetensors")["step"]
    assert kept == {*last.snapshot_steps, best} == {9, 13, best}
    same = costs[-1].saved_bytes if best in last.snapshot_steps else 0  # the plan counts the best one in any case
    expected = most_bytes(costs) - max(cost.passing_bytes for cost in costs) - same
    assert written == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("steps", "every", "snapshots", "kept"),
    [
        (600, 100, 10, [100, 200, 300, 400, 500, 600]),
        (600, 100, 3, [200, 400, 600]),
        (610, 100, 3, [300, 600, 610]),
        (600, 100, 1, [600]),
        (50, 100, 10, [50]),
        (600, 100, 0, []),
    ],
)
def test_snapshots_that_stay_are_evenly_spaced_and_few(smoke, steps, every, snapshots, kept):
    sizes = {"steps": steps, "validate_every": every, "snapshots": snapshots}
    if not snapshots:
        sizes["handover"] = "last"
    config = smoke(*(f"schedule.stages.gan.{key}={value}" for key, value in sizes.items()))
    assert Schedule(config).plan[-1].snapshot_steps == kept


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        # one stage measures its networks as well as eight do
        ["experiment=deoldify_artistic", "schedule.first=[generator_pretrain]", "schedule.times=0"],
        ["experiment=gan_from_scratch", "scale=gpu"],
    ],
)
def test_large_schedules_have_a_plan_without_weights_or_data(command, overrides, tmp_path):
    code, out, err = command("train", *overrides, "plan=100000", f"runs_dir={tmp_path}")
    assert code == 0, err
    assert "100,000 training photos" in out
    assert not list(tmp_path.iterdir())


def test_a_penalty_of_every_fourth_step_costs_a_quarter():
    def count(**penalty):
        weights = {"adversarial": 1.0, "discriminator": 1.0, **dict.fromkeys(penalty, 1.0)}
        stage = gan(num_steps=1, losses={**LOSSES, **penalty}, loss_weights=weights)
        return _mean_count(stage, "discriminator", batches(1)[0], period=4)

    without, always = count(), count(r1=R1Penalty(every=1))
    assert always > without
    assert count(r1=R1Penalty(every=4)) == pytest.approx(without + (always - without) / 4)


def test_snapshots_that_wait_for_a_rule_take_room_until_the_stage_ends(smoke, tmp_path):
    networks, passing = {"generator": nn.Linear(1, 1), "discriminator": nn.Linear(1, 1)}, []
    sizes = {"steps": 600, "validate_every": 100, "snapshots": 2}
    for handover in ("psnr", "inflection"):
        options = {**sizes, "handover": handover}.items()
        plan = plan_stages(smoke(*(f"schedule.stages.gan.{key}={value}" for key, value in options)).schedule, tmp_path)
        saved, _, passes = _bytes(plan[-1], plan, networks, {})
        passing.append(passes)
    assert passing[1] - passing[0] == 4 * saved  # of six, two stay
