"""Power-function averages go on where they were stopped."""

import torch
from stage_fixture import gan

from colorgan.callbacks import PowerAverages


def begun(stage):
    averages = PowerAverages(steps=(), save=lambda *_: None)
    averages.setup(None, stage, "fit")
    return averages


def stepped(averages, stage, values):
    for value in values:
        with torch.no_grad():
            stage.generator.to_color.weight.fill_(value)
        stage.generator_steps += 1
        averages.on_train_batch_end(None, stage, None, None, 0)
    checkpoint = {}
    averages.on_save_checkpoint(None, stage, checkpoint)
    return checkpoint, averages.state_dict()


def test_averages_that_were_stopped_end_as_those_that_were_not(tmp_path):
    stage = gan(num_steps=8)
    whole = begun(stage)
    stepped(whole, stage, [1.0, 2.0, 5.0])
    torch.save(stepped(whole, stage, [3.0]), tmp_path / "at.ckpt")
    resumed = begun(stage)
    checkpoint, state = torch.load(tmp_path / "at.ckpt", weights_only=True)
    resumed.on_load_checkpoint(None, stage, checkpoint)
    resumed.load_state_dict(state)

    ends = []
    for averages in (whole, resumed, begun(stage)):
        stage.generator_steps = 4
        (end, _) = stepped(averages, stage, [7.0, 4.0])
        ends.append({length: one["to_color.weight"] for length, one in end["generator_power_averages"].items()})
    for length, weight in ends[0].items():
        assert torch.equal(weight, ends[1][length]), length
        assert not torch.equal(weight, ends[2][length]), length
