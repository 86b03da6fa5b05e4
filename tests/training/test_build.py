"""A stage around its networks."""

import pytest
import torch
from safetensors.torch import load_file

from colorgan.callbacks import (
    GeneratorEMA,
    Records,
    ResumeCheckpoint,
    StageHealth,
    StageProgressBar,
    ValidationMetrics,
    ValidationPictures,
)
from colorgan.training.build import build_stage, build_trainer, stage_callbacks
from colorgan.training.schedule import Schedule


def test_init_from_other_networks_is_refused_and_says_what_differs(finished, smoke):
    config = smoke(f"init_from={finished}", "generator.widths=[16,16,16,16,16]", name="other-size")
    with pytest.raises(
        ValueError, match=r"does not fit the config: generator differs in widths: .*-> \[16, 16, 16, 16, 16\]"
    ):
        Schedule(config).run()


def test_a_stage_knows_its_place_and_starts_from_a_seed_of_its_own(smoke):
    schedule = Schedule(smoke("seed=3"))
    first, again = (build_stage(schedule.config, schedule.plan[0], None) for _ in range(2))
    third = build_stage(schedule.config, schedule.plan[2], None)
    assert [(stage.index, stage.seed) for stage in (first, third)] == [(1, 3001), (3, 3003)]
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in first.state_dict().items())
    assert not torch.equal(first.generator.to_color.weight, third.generator.to_color.weight)


@pytest.mark.parametrize(
    ("words", "steps", "on_gpu", "compiled"),
    [
        ([], 5000, True, True),
        ([], 4999, True, False),
        ([], 5000, False, False),
        (["trainer.accelerator=cpu"], 5000, True, False),
        (["compile=false"], 5000, True, False),
        (["compile=true"], 1, False, True),
    ],
)
def test_auto_compiles_long_stages_on_a_gpu(smoke, monkeypatch, words, steps, on_gpu, compiled):
    schedule = Schedule(smoke(*words))
    stage = schedule.plan[0]
    stage.entry.__dict__["steps"] = steps
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    assert build_stage(schedule.config, stage, None).compiled == compiled


def test_a_stage_has_the_networks_that_it_needs_or_is_handed(smoke, finished):
    schedule = Schedule(smoke())
    assert build_stage(schedule.config, schedule.plan[0], None).discriminator is None
    handed = build_stage(schedule.config, schedule.plan[0], finished / "final.safetensors")
    assert handed.discriminator is not None
    final = load_file(finished / "final.safetensors")
    assert all(torch.equal(tensor, final[name]) for name, tensor in handed.state_dict().items())


def test_what_lightning_refuses_is_said_of_the_trainer(smoke):
    with pytest.raises(ValueError, match=r"^trainer: .*nonsense"):
        build_trainer(smoke("trainer.precision=nonsense").trainer)


def test_the_average_comes_behind_what_uses_it_in_validation(smoke):
    schedule = Schedule(smoke("schedule.stages.generator_pretrain.ema_decay=0.5", "trainer.enable_progress_bar=true"))
    first = ValidationMetrics(schedule.metrics, Records(schedule.folder / "metrics.jsonl", "01"))
    made = [
        stage_callbacks(
            schedule.config,
            schedule.plan[0],
            first,
            schedule.stop,
            num_stages=3,
            trains_generator=trains_generator,
            save_average=lambda *kept: None,
        )
        for trains_generator in (True, False)
    ]
    kinds = [ValidationMetrics, StageHealth, ValidationPictures, ResumeCheckpoint, StageProgressBar]
    assert [type(callback) for callback in made[0]] == [*kinds, GeneratorEMA]
    assert [type(callback) for callback in made[1]] == kinds
