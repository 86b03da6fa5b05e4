"""Loggers, as a run uses them."""

import pytest


@pytest.fixture
def places(tmp_path):
    return [f"runs_dir={tmp_path}/runs", f"data.cache_dir={tmp_path}/cache", "trainer.enable_progress_bar=false"]


@pytest.mark.parametrize("logger", ["csv", "tensorboard", "wandb"])
def test_every_logger_works_without_network_or_key(command, monkeypatch, tmp_path, places, logger):
    for variable in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = [
        "experiment=smoke",
        f"logger={logger}",
        *places,
        "name=run",
        "schedule.times=0",
        "trainer.log_every_n_steps=1",
    ]
    code, _, err = command("train", *words)
    assert code == 0, err
    run = tmp_path / "runs" / "run"
    if logger == "csv":
        rows = (run / "csv" / "version_0" / "metrics.csv").read_text()
        assert "train/loss_pixel" in rows
        assert "val/psnr" in rows
    elif logger == "tensorboard":
        assert list(run.glob("tensorboard/**/events.out.tfevents.*"))
    else:
        assert list(run.glob("wandb/offline-run-*"))
        assert (run / "wandb_id.txt").read_text()
