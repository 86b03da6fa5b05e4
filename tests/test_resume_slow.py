"""kill -9 of the real command at random steps of each stage, with 0 and 2 data workers."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STEPS = {1: 6, 2: 6, 3: 8}  # of the smoke experiment
KILLS = [
    (stage, step) for stage, steps in STEPS.items() for step in random.Random(stage).sample(range(1, steps + 1), 3)
]


def train(tmp_path, name, *, die_at=None, workers=0):
    script = ["tests/train_and_die.py", *map(str, die_at)] if die_at else ["train.py"]
    overrides = [
        f"runs_dir={tmp_path}",
        f"name={name}",
        f"data.cache_dir={tmp_path}/cache",
        f"data.num_workers={workers}",
    ]
    command = [sys.executable, *script, "experiment=smoke", *overrides]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_kill_9_at_any_step_ends_in_the_bits_of_the_uninterrupted_run(tmp_path):
    assert train(tmp_path, "whole").returncode == 0
    expected = (tmp_path / "whole" / "final.safetensors").read_bytes()
    for number, kill in enumerate(KILLS):
        name = "killed-{}-{}".format(*kill)
        assert train(tmp_path, name, die_at=kill, workers=2 * (number % 2)).returncode == -signal.SIGKILL
        assert not (tmp_path / name / "final.safetensors").exists()
        result = train(tmp_path, name, workers=2 * ((number + number // 2) % 2))
        assert result.returncode == 0, result.stderr
        assert (tmp_path / name / "final.safetensors").read_bytes() == expected, kill
