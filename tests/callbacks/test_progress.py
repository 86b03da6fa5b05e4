"""The bar of a stage."""

import pytorch_lightning as pl
from stage_fixture import batches, pretrain
from torch.utils.data import DataLoader

from colorgan.callbacks import StageProgressBar


def test_the_bar_of_a_resumed_stage_starts_at_its_step_and_shows_losses_by_short_names():
    stage, bar = pretrain(num_steps=5), StageProgressBar("1/3 generator_pretrain", batch_size=4)
    stage.steps = 2
    started = []
    bar_of_stage = bar.on_train_epoch_start
    bar.on_train_epoch_start = lambda *a: (bar_of_stage(*a), started.append(bar.train_progress_bar.n))
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_model_summary=False,
        callbacks=[bar],
    )  # fmt: skip
    trainer.fit(stage, DataLoader(batches(3), batch_size=None))
    assert started == [2]
    assert bar.train_progress_bar.total == 5
    names = list(bar.get_metrics(trainer, stage))
    assert names[0] == "img/s"
    assert "pixel" in names
