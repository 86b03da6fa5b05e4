"""A stage is observed without being changed, hands on what its rule names, and can end early."""

import json

import pytest
import pytorch_lightning as pl
import torch
from stage_fixture import batches, gan
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from colorgan.callbacks import GeneratorEMA, InflectionObserver, Records, ValidationMetrics, observed
from colorgan.metrics import PSNR


def fit(folder, *, observe=True, is_over=None, steps=6):
    records = Records(folder / "metrics.jsonl", "gan")
    callbacks = [ValidationMetrics(MetricCollection({"psnr": PSNR()}), records)]
    callbacks += [InflectionObserver(records, is_over)] if observe else []
    stage = gan(num_steps=steps)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, val_check_interval=2, num_sanity_val_steps=0,
        callbacks=[*callbacks, GeneratorEMA(0.9)], default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(stage, DataLoader(batches(steps), batch_size=None), DataLoader(batches(2), batch_size=None))
    return stage, records


def test_observing_changes_no_bit_of_the_training(tmp_path):
    (tmp_path / "without").mkdir()
    plain, _ = fit(tmp_path / "without", observe=False)
    (tmp_path / "with").mkdir()
    stage, records = fit(tmp_path / "with")
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, stage.state_dict()[name]), name
    series = observed(records.of_stage())
    assert [values["step"] for values in series] == [0, 2, 4, 6]
    assert series[0]["artefact_area"] == 0
    assert series[0]["ciede2000"] == series[0]["ciede2000_twin"] != series[-1]["ciede2000"]


def test_the_rule_ends_the_stage_at_the_validation_at_which_it_has_seen_enough(tmp_path):
    stage, _ = fit(tmp_path, is_over=lambda series: len(series) >= 3)
    assert stage.steps == 4


def test_records_without_observations_give_an_empty_series():
    assert observed([{"step": 3, "metrics": {}}]) == []


@pytest.mark.slow
def test_a_run_that_its_rule_ends_hands_on_the_snapshot_that_the_rule_names(smoke, monkeypatch):
    from colorgan.evaluation import inflection
    from colorgan.training import schedule
    from colorgan.training.run_folder import is_done

    def second(series):
        return inflection.Choice(int(series[min(1, len(series) - 1)]["step"]), {}, over=len(series) >= 3)

    monkeypatch.setitem(inflection.RULES, "artefact_area", second)
    rule = ["schedule.stages.gan.handover=inflection", "schedule.stages.gan.inflection.end_early=true"]
    options = [*rule, "schedule.stages.gan.validate_every=2", "schedule.stages.gan.snapshots=2"]
    run = schedule.Schedule(smoke(*options))
    folder = run.run().parent / "03-gan"
    done = json.loads((folder / "done.json").read_text())
    assert done["steps"] == 4
    assert done["ended_early"] == {"rule": "artefact_area", "planned_steps": 8}
    chosen = folder / "snapshots" / "step=000002.safetensors"
    whole = (folder / "handover.safetensors").read_bytes()
    assert whole == chosen.read_bytes()
    assert is_done(run.plan[-1])
    # killed behind the validation that ended it: the stage ends at once when it is run again
    (folder / "done.json").unlink()
    again = schedule.Schedule(smoke(*options))
    monkeypatch.setattr(schedule, "hand_over", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        again.run()
    monkeypatch.undo()
    monkeypatch.setitem(inflection.RULES, "artefact_area", second)
    assert (folder / "last.ckpt").exists()
    schedule.Schedule(smoke(*options)).run()
    assert (folder / "handover.safetensors").read_bytes() == whole
    assert not (folder / "last.ckpt").exists()
