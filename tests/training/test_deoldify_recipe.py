"""The experiments deoldify_* against the table of the notebooks, and the plan of a schedule."""

from pathlib import Path

import pytest

from colorgan.training.plan import plan_stages

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
