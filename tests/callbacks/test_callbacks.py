import json

import pytest
import torch
from PIL import Image

from colorgan.callbacks import Records, save_grid
from colorgan.training.schedule import Schedule


def test_records_of_steps_that_run_again_are_dropped_and_others_stay(tmp_path):
    records = Records(tmp_path / "metrics.jsonl", "03-gan")
    other = Records(tmp_path / "metrics.jsonl", "02-critic")
    other.append(50, {"a": 1.0})
    for step in (10, 20, 30):
        records.append(step, {"a": float(step)})
    records.drop_after(20)
    assert [r["step"] for r in records.of_stage()] == [10, 20]
    assert [r["step"] for r in other.of_stage()] == [50]
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [50, 10, 20]


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[1]", b"{}", b'{"stage": "03-gan", "step": "x", "metrics": {}}'])
def test_damaged_records_are_left_out_and_said(tmp_path, caplog, line):
    records = Records(tmp_path / "metrics.jsonl", "03-gan")
    records.append(10, {"a": 1.0})
    records.path.write_bytes(line + b"\n" + records.path.read_bytes())
    records.drop_after(20)
    records.append(20, {"a": 2.0})
    assert [r["step"] for r in records.of_stage()] == [10, 20]
    assert caplog.text.count("metrics.jsonl: 1 damaged lines are left out") == 1


def test_grid_shows_every_photo_once_with_its_columns(tmp_path):
    rows = [torch.full((3, 3, 8, 8), value / 10) for value in range(6)]
    save_grid(tmp_path / "grid.png", rows, at_least=8)
    image = Image.open(tmp_path / "grid.png")
    colors = {color for _, color in image.getcolors()}
    assert colors >= {(round(25.5 * value),) * 3 for value in range(6)}
    assert image.width > image.height  # two blocks side by side


def test_the_generator_handed_on_is_the_moving_average(smoke):
    """Without training of the generator's weights in between, average and raw differ: compare with a hand-made one."""
    from colorgan.callbacks import GeneratorEMA
    from colorgan.stages.base import Stage

    raw = []
    schedule = Schedule(smoke("schedule.times=0", "schedule.stages.generator_pretrain.ema_decay=0.5"))
    after_step = Stage.on_train_batch_end

    def watch(self, *args):
        raw.append(self.generator.to_color.weight.detach().clone())
        after_step(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "on_train_batch_end", watch)
        final = schedule.run()
    average = raw[0]  # the first update copies
    for weight in raw[1:]:
        average = 0.5 * average + 0.5 * weight
    from safetensors.torch import load_file

    torch.testing.assert_close(load_file(final)["generator.to_color.weight"], average, rtol=1e-5, atol=1e-8)
    assert not torch.equal(average, raw[-1])
    with pytest.raises(ValueError, match="ema_decay must be between 0 and 1"):
        GeneratorEMA(1.0)
