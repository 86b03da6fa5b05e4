"""Run train.py and die by SIGKILL at a step of a stage: `train_and_die.py STAGE STEP OVERRIDES...`."""

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

from colorgan.stages.base import Stage

stage_index, step = int(sys.argv[1]), int(sys.argv[2])
after_step = Stage.on_train_batch_end


def die(self: Stage, *args: Any) -> None:
    if self.seed % 1000 == stage_index and self.steps == step:
        os.kill(os.getpid(), signal.SIGKILL)
    after_step(self, *args)


Stage.on_train_batch_end = die  # type: ignore[method-assign]
train = Path(__file__).parent.parent / "train.py"
sys.argv = [str(train), *sys.argv[3:]]
runpy.run_path(str(train), run_name="__main__")
