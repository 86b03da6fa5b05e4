"""Loggers, as a run uses them."""

import pytest

from colorgan.training.schedule import Schedule


@pytest.mark.parametrize("logger", ["csv", "tensorboard", "wandb"])
def test_every_logger_works_without_network_or_key(smoke, monkeypatch, tmp_path, logger):
    for variable in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    short = ["schedule.times=0", "schedule.stages.generator_pretrain.steps=1", "trainer.log_every_n_steps=1"]
    run = Schedule(smoke(f"logger={logger}", *short)).run().parent
    if logger == "csv":
        rows = (run / "csv" / "version_0" / "metrics.csv").read_text()
        assert "train/loss_pixel" in rows
        assert "val/psnr" in rows
    elif logger == "tensorboard":
        assert list(run.glob("tensorboard/**/events.out.tfevents.*"))
    else:
        assert list(run.glob("wandb/offline-run-*"))
        assert (run / "wandb_id.txt").read_text()
