"""A stage that is sick says so: in the log, in metrics.jsonl, and at the head of the report."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from torchmetrics import MetricCollection

import colorgan
from colorgan.callbacks import Records, StageHealth, ValidationMetrics
from colorgan.callbacks.health import too_colorful, weak_critic, worse_than_gray
from colorgan.losses import BCEDiscriminatorLoss, HingeDiscriminatorLoss, LeastSquaresDiscriminatorLoss


def test_what_is_wrong_is_worded_with_its_numbers():
    assert weak_critic(0.55) == "accuracy of the critic on held-out photos 0.550, below 0.6 (chance is 0.5)"
    assert weak_critic(0.6) is None
    assert weak_critic(math.nan) is not None
    assert too_colorful(80.5, 40.2) == "colorfulness 80.5, more than 2 times the photos' 40.2"
    assert too_colorful(80.0, 40.0) is None
    assert worse_than_gray("fid", 120.0, 111.0, higher_is_better=False) == "fid 120, worse than gray's 111"
    assert worse_than_gray("fid", 110.0, 111.0, higher_is_better=False) is None
    assert worse_than_gray("psnr", 20.0, 21.0, higher_is_better=True) is not None


@pytest.mark.parametrize(
    "loss",
    [
        BCEDiscriminatorLoss(),
        BCEDiscriminatorLoss(smoothing=0.1),
        HingeDiscriminatorLoss(),
        LeastSquaresDiscriminatorLoss(),
    ],
)
def test_chance_is_the_least_that_equal_logits_can_cost(loss):
    def at(logit):
        return loss(torch.full((4,), logit), torch.full((4,), logit)).item()

    assert at(loss.neutral) == pytest.approx(loss.chance, abs=1e-6)
    assert all(at(loss.neutral + shift) >= loss.chance - 1e-6 for shift in (-2.0, -0.3, 0.3, 2.0))


def test_near_chance_is_the_same_share_of_it_whatever_the_loss(tmp_path):
    health = StageHealth(ValidationMetrics(MetricCollection({}), Records(tmp_path / "metrics.jsonl", "gan")), "psnr")
    for loss, chance, near in ((0.684, math.log(2), 1), (0.682, math.log(2), 0), (0.247, 0.25, 1), (0.246, 0.25, 0)):
        health.near_chance = 0
        module = SimpleNamespace(discriminator_loss=loss, chance=chance, steps=1)
        health.on_train_batch_end(None, module, None, None, 0)
        assert health.near_chance == near


SMOKE = (
    "experiment=smoke",
    "trainer.enable_progress_bar=false",
    "schedule.stages.generator_pretrain.steps=1",
    "schedule.stages.gan.steps=55",
    "schedule.stages.gan.validate_every=55",
    "schedule.stages.gan.module.turns.max_wait=60",  # all of them the critic's
    "schedule.stages.gan.module.turns.threshold=0.0",
    "save_every=30",
)
DEAD = (
    "schedule.stages.critic_pretrain.module.optimizer.lr=0",
    "schedule.stages.gan.module.optimizer_discriminator.lr=0",
    "schedule.stages.gan.module.optimizer_generator.lr=0",
)


def test_a_dead_critic_is_told_in_log_records_and_report(tmp_path, caplog):
    """Its networks do not train: the critic stays at chance for 50 of its steps."""
    folder = colorgan.train(
        *SMOKE, *DEAD, f"runs_dir={tmp_path}", f"data.cache_dir={tmp_path}/cache", "name=dead"
    ).folder
    found = [(r["stage"], r["warnings"]) for r in map(json.loads, (folder / "metrics.jsonl").open()) if "warnings" in r]
    told = [text for _, warnings in found for text in warnings.values()]
    near = [text for text in told if "for 50 of its steps" in text]
    assert len(near) == 1
    assert any("of the critic on held-out photos" in text for text in told)
    assert caplog.text.count(near[0]) == 1
    head = (folder / "evaluation" / "report.md").read_text().split("## ")[0]
    assert all(text in head for text in told)


def test_a_run_in_which_nothing_is_wrong_says_nothing(undisturbed):
    records = [json.loads(line) for line in (undisturbed / "metrics.jsonl").open()]
    assert records
    assert not any("warnings" in record for record in records)
    assert all(set(record["reference"]) == {"gray", "truth"} for record in records)


def test_a_stage_that_goes_on_counts_on(tmp_path):
    """Steps at chance before a stop and behind it make up the fifty; what was told is not told again."""
    records = Records(tmp_path / "metrics.jsonl", "03-gan")
    module = SimpleNamespace(discriminator_loss=0.69, chance=math.log(2), steps=1)
    health = StageHealth(ValidationMetrics(MetricCollection({}), records), "psnr")
    for _ in range(30):
        health.on_train_batch_end(None, module, None, None, 0)
    later = StageHealth(ValidationMetrics(MetricCollection({}), records), "psnr")
    later.load_state_dict(health.state_dict())
    for step in range(49):
        module.discriminator_loss = 0.69 if step != 25 else None  # a step of the generator changes nothing
        later.on_train_batch_end(None, module, None, None, 0)
        assert bool(later.warnings) is (step >= 19)
    records.append(60, {})
    records.add(60, {"warnings": later.warnings})
    again = StageHealth(ValidationMetrics(MetricCollection({}), records), "psnr")
    again.load_state_dict({"near_chance": 49, "warnings": {}})
    again.on_train_batch_end(None, module, None, None, 0)
    assert not again.warnings
