import json

import pytest
import torch
from PIL import Image

from colorgan.callbacks import Records, save_grid


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


def test_facts_are_added_to_the_record_of_their_step_and_go_with_it(tmp_path):
    records = Records(tmp_path / "metrics.jsonl", "03-gan")
    for step in (10, 20):
        records.append(step, {"a": 1.0})
        records.add(step, {"warnings": {f"kind {step}": f"text {step}"}})
    assert records.warnings() == {"kind 10": "text 10", "kind 20": "text 20"}
    records.drop_after(10)
    assert records.warnings() == {"kind 10": "text 10"}


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
