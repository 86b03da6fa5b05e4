"""kill -9 of the real command at random steps of each stage, with 0 and 2 data workers."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = {1: 6, 2: 6, 3: 8}  # of the smoke experiment
KILLS = [
    (stage, step)
    for stage, steps in STEPS.items()
    for step in sorted(random.Random(stage).sample(range(1, steps + 1), 3))
]


@pytest.mark.slow
def test_killed_nine_times_a_run_ends_in_the_bits_of_the_uninterrupted_one(tmp_path):
    """Each command goes on where the one before it was killed, with 0 and 2 workers in all four successions."""

    def line(name, *, die_at=None, workers=0):
        places = [f"runs_dir={tmp_path}", f"name={name}", f"data.cache_dir={tmp_path}/cache"]
        return json.dumps([die_at, ["experiment=smoke", *places, f"data.num_workers={workers}"]])

    lines = [line("whole")]
    lines += [line("killed", die_at=kill, workers=2 * (number // 2 % 2)) for number, kill in enumerate(KILLS)]
    lines.append(line("killed", workers=2))
    command = [sys.executable, "tests/fixtures/train_and_die.py"]
    ended = subprocess.run(command, input="\n".join(lines), cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["0", *["-9"] * len(KILLS), "0"], ended.stderr
    for stage in ("01-generator_pretrain", "02-critic_pretrain", "03-gan"):
        ends = [(tmp_path / name / stage / "handover.safetensors").read_bytes() for name in ("whole", "killed")]
        assert ends[0] == ends[1], stage
    measured = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "killed")]
    assert measured[0] == measured[1]
