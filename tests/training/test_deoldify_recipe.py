"""The experiments deoldify_* against the table of the notebooks, and the plan of a schedule."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from colorgan.training.cost import schedule_costs
from colorgan.training.plan import plan_stages
from colorgan.training.schedule import Schedule

ROOT = Path(__file__).parents[2]
IMAGENET = 1_288_050  # nine tenths of 1,431,167 photos: what DeOldify trains on

# stage: px, batch, share, epochs, rate (slice of the generator, or rate of the critic), steps on ImageNet
PRETRAIN = {
    "generator_pretrain": (64, 88, 1.0, 1, [1e-3], 14_636),
    "generator_pretrain_64": (64, 88, 1.0, 1, [3e-7, 3e-4], 14_636),
    "generator_pretrain_128": (128, 20, 1.0, 1, [1e-7, 1e-4], 64_402),
    "generator_pretrain_192": (192, 8, 0.5, 1, [5e-8, 5e-5], 80_503),
    "critic_pretrain_128": (128, 64, 0.085, 6, 1e-3, 10_260),
    "critic_pretrain": (192, 16, 0.085, 4, 1e-4, 27_368),
}
TABLE = {
    "deoldify_stable": {**PRETRAIN, "gan": (192, 5, 0.03, 1, 2e-5, 7_728)},
    "deoldify_artistic": {
        **PRETRAIN,
        "generator_pretrain_128": (128, 22, 1.0, 1, [1e-7, 1e-4], 58_547),
        "generator_pretrain_192": (192, 11, 0.5, 1, [5e-8, 5e-5], 58_547),
        "gan": (192, 9, 0.03, 1, 1e-5, 4_293),
    },
    "deoldify_video": {
        **PRETRAIN,
        "generator_pretrain_noise": (192, 8, 0.25, 1, [5e-8, 5e-5], 40_251),
        "gan": (192, 5, 0.03, 1, 5e-6, 7_728),
    },
}
REPEATS = {"deoldify_stable": 3, "deoldify_artistic": 5, "deoldify_video": 1}
WEIGHT = {"deoldify_stable": 1.5, "deoldify_artistic": 2.0, "deoldify_video": 1.5}


def rate_of(module):
    return module.get("lr_slice") or module.get("optimizer", module.get("optimizer_generator")).lr


@pytest.mark.parametrize("experiment", TABLE)
def test_every_number_of_the_notebooks_is_there(compose, experiment):
    config = compose(f"experiment={experiment}")
    plan = plan_stages(config.schedule, Path("runs/x"), num_photos=IMAGENET)
    seen = {}
    for stage in plan:
        entry = stage.entry
        row = (entry.image_size, entry.batch_size, entry.share, entry.epochs, rate_of(entry.module), entry.steps)
        seen[stage.name] = row
        assert entry.module.get("gradient_clip") is None
        assert entry.ema_decay is None
    assert seen == TABLE[experiment]
    names = [stage.name for stage in plan]
    assert names.count("gan") == names.count("critic_pretrain") == REPEATS[experiment]
    assert names.count("critic_pretrain_128") == 1
    stages = config.schedule.stages
    assert dict(stages.gan.module.loss_weights) == {
        "pixel": WEIGHT[experiment],
        "feature": WEIGHT[experiment],
        "adversarial": 1.0,
        "discriminator": 1.0,
    }
    assert (stages.gan.module.turns.threshold, stages.gan.module.turns.max_wait) == (0.65, None)
    frozen = {name for name in seen if stages[name].module.get("freeze_encoder")}
    assert frozen == {"generator_pretrain", "gan"}
    assert stages.generator_pretrain.module.lr_scheduler.pct_start == 0.8
    assert config.generator.variant == ("deep" if experiment == "deoldify_artistic" else "wide")
    assert config.generator.encoder.name == ("resnet34" if experiment == "deoldify_artistic" else "resnet101")
    assert config.trainer.precision == "32-true"
    assert config.schedule.repeat == ["critic_pretrain", "gan"]
    assert config.loss.feature.network.name == "vgg16_bn"
    assert config.loss.feature.weights == [20, 70, 10]
    assert config.loss.pixel._target_ == "colorgan.losses.NormalizedL1Loss"
    assert config.discriminator == {"_target_": "colorgan.networks.DeOldifyCritic", "width": 256}
    data = {key: config.data[key] for key in ("store_size", "validation_share", "max_validation", "min_colorfulness")}
    assert data == {"store_size": None, "validation_share": 0.1, "max_validation": 1_000_000, "min_colorfulness": 0.0}
    assert (config.data.degradation is not None) == ("motion" in config) == (experiment == "deoldify_video")
    for stage in plan:
        optimizers = [node for key, node in stage.entry.module.items() if str(key).startswith("optimizer")]
        assert all((o._target_, o.weight_decay) == ("torch.optim.AdamW", 1e-3) for o in optimizers)
        betas = [0.0, 0.9] if stage.name == "gan" else [0.95, 0.99]
        assert all(list(o.betas) == betas for o in optimizers)


def test_only_noise_stages_are_noisy(compose):
    config = compose("experiment=deoldify_video")
    plan = plan_stages(config.schedule, Path("runs/x"), num_photos=IMAGENET)
    assert [stage.name for stage in plan if stage.entry.degrade] == ["generator_pretrain_noise", "gan"]
    assert config.data.degradation is not None


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
        ("share=0", "generator_pretrain.share must be above 0 and at most 1, got 0"),
        ("share=1.5", "generator_pretrain.share must be above 0 and at most 1, got 1.5"),
        ("epochs=0", "generator_pretrain needs steps, or epochs above 0, got epochs=0"),
        ("steps=0", "generator_pretrain.steps must be at least 1, got 0"),
    ],
)
def test_impossible_amounts_are_refused(compose, override, message):
    config = compose("experiment=deoldify_stable", f"schedule.stages.generator_pretrain.{override}")
    with pytest.raises(ValueError, match=message):
        plan_stages(config.schedule, Path("runs/x"), num_photos=100)


def test_a_share_is_a_seeded_part_of_the_photos_drawn_anew_for_each_stage(smoke):
    module = Schedule(smoke()).datamodule
    module.examine(min_size=32)
    every = set(module.library.splits["train"])
    sizes = {"gray_rule": "luma601", "image_size": 32, "batch_size": 2, "num_steps": 3}

    def drawn(index, share):
        module.begin_stage(**sizes, stage_index=index, share=share)
        return list(module.training_photos())

    assert set(drawn(1, 1.0)) == every
    first, again, second = drawn(1, 0.5), drawn(1, 0.5), drawn(2, 0.5)
    assert first == again
    assert first != second
    assert len(first) == len(set(first)) == len(every) // 2
    assert set(first) <= every


def test_stages_may_leave_the_degradation_out(smoke):
    from colorgan.data.datamodule import TrainingViews

    config = smoke("+data.degradation._target_=colorgan.data.PixelNoise", "+data.degradation.probability=1.0")
    module = Schedule(config).datamodule
    library = module.examine(min_size=32)
    noisy = {}
    for degrade in (True, False):
        options = {"gray_rule": "luma601", "image_size": 32, "batch_size": 2, "num_steps": 1, "stage_index": 1}
        module.begin_stage(**options, degrade=degrade)
        noisy[degrade] = TrainingViews(library, module).__getitems__([(0, 0)])["gray"]
    assert not torch.equal(noisy[True], noisy[False])


def test_a_run_counted_in_epochs_ends_and_goes_on_in_the_same_bits(smoke, tmp_path):
    stages = [
        f"+schedule.stages.{name}.{option}"
        for name in ("generator_pretrain", "critic_pretrain", "gan")
        for option in ("epochs=1", "share=0.5")
    ]
    stages += [f"schedule.stages.{name}.steps=null" for name in ("generator_pretrain", "critic_pretrain", "gan")]
    schedule = Schedule(smoke(*stages, name="epochs"))
    final = schedule.run()
    photos = len(schedule.datamodule.library.splits["train"])
    assert {stage.entry.steps for stage in schedule.plan} == {photos // 2 // 4}
    before = final.read_bytes()
    assert Schedule(smoke(*stages, name="epochs")).run().read_bytes() == before


def test_plan_prints_every_stage_and_writes_no_run(smoke, tmp_path, capsys, monkeypatch):
    from colorgan.training.run import train

    train(smoke("plan=true", name="planned"))
    out = capsys.readouterr().out
    for word in ("generator_pretrain", "critic_pretrain", "gan", "TFLOP a step", "time here"):
        assert word in out
    assert not (tmp_path / "runs").exists()
    train(smoke("plan=5000", "schedule.stages.gan.steps=null", "+schedule.stages.gan.epochs=2"))
    assert "2,500" in capsys.readouterr().out


@pytest.mark.parametrize("wanted", ["maybe", "0", "-3", "1.5"])
def test_a_plan_is_for_a_number_of_photos(smoke, wanted):
    with pytest.raises(ValueError, match=r"must be true, false or a number of training photos"):
        Schedule(smoke(f"plan={wanted}")).planned_photos()


def test_costs_grow_with_batch_and_area(smoke):
    sizes = ["schedule.stages.critic_pretrain.image_size=64", "schedule.stages.gan.batch_size=8"]
    config = smoke(*sizes)
    schedule = Schedule(config)
    first, critic, gan = schedule_costs(config, schedule.plan)
    plain = {cost.stage.name: cost for cost in schedule_costs(smoke(), Schedule(smoke()).plan)}
    assert gan.step_flop == pytest.approx(2 * plain["gan"].step_flop)
    assert critic.step_flop == pytest.approx(4 * plain["critic_pretrain"].step_flop, rel=0.1)
    assert first.trainable == {"generator": sum(first.trainable.values())}
    assert set(gan.trainable) == {"generator", "discriminator"}
    assert all(np.isfinite(cost.step_seconds) and cost.step_seconds > 0 for cost in (first, critic, gan))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        # three stages measure its networks as well as eight do
        ["experiment=deoldify_video", "schedule.first=[generator_pretrain_noise]"],
        ["experiment=gan_from_scratch", "scale=gpu"],
    ],
)
def test_large_schedules_have_a_plan_without_weights_or_data(overrides, tmp_path):
    command = [sys.executable, "train.py", *overrides, "plan=100000", f"runs_dir={tmp_path}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "100,000 training photos" in result.stdout
    assert not list(tmp_path.iterdir())
