"""kill -9 at random moments over whole smoke schedules: every run must end in the bits of the undisturbed one.

python benchmarks/kill_anywhere.py --kills 200 --seed 0

Runs are forked from a process that has imported everything, so that a kill costs seconds. Each run is killed again
and again, at a moment drawn between its start and half the length of the undisturbed run, until it ends by itself.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path


def start(folder: Path, name: str) -> int:
    """Fork a run; returns its process id."""
    from colorgan.cli.train import main as train

    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        places = [f"runs_dir={folder}", f"name={name}", f"data.cache_dir={folder}/cache-{name}"]
        train(["experiment=smoke", "trainer.enable_progress_bar=false", *places])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        os._exit(code)


def finish(pid: int, seconds: float) -> bool:
    """Let a run go on for so many seconds, then kill it; returns whether it has ended by itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import colorgan.training.run  # noqa: F401  # before the forks

    rng, kills, runs, lost = random.Random(options.seed), 0, 0, 0
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    started = time.monotonic()
    if os.waitstatus_to_exitcode(os.waitpid(start(folder, "whole"), 0)[1]):
        sys.exit((folder / "whole.log").read_text())
    length = time.monotonic() - started
    expected = (folder / "whole" / "final.safetensors").read_bytes()
    while kills < options.kills:
        name, runs = f"run{runs:03d}", runs + 1
        while not finish(start(folder, name), rng.uniform(0, length / 2)):
            kills += 1
        final = folder / name / "final.safetensors"
        if not final.exists() or final.read_bytes() != expected:
            lost += 1
            print(f"lost: {folder / name} (seed {options.seed}), see {folder / name}.log")
            continue
        shutil.rmtree(folder / name)
        shutil.rmtree(folder / f"cache-{name}")
    print(f"{kills} kills in {runs} runs of {length:.1f} s: {lost} lost or different")
    if lost:
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
