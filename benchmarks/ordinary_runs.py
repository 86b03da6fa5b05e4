"""Run ordinary `python train.py` commands for studies: one at a time, each once, resumed where it was stopped."""

import fcntl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def train_once(runs: Path, name: str, words: Sequence[str]) -> Path:
    """Train a run unless it is done; returns its folder. Another process that wants the same run waits for it."""
    runs.mkdir(parents=True, exist_ok=True)
    folder = runs / name
    with (runs / f".{name}.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if (folder / "final.png").exists():  # what `train.py` writes last
            return folder
        print(f"training {folder}", flush=True)
        command = [sys.executable, str(ROOT / "train.py"), *words, f"name={name}", f"runs_dir={runs}"]
        with (runs / f"{name}.log").open("a") as log:
            subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=True)
    return folder


def part_of(items: Sequence[str], part: str) -> list[str]:
    """Take every n-th of some items, from the i-th on, where `part` is i/n: so n processes share them."""
    index, count = map(int, part.split("/"))
    return list(items[index::count])
