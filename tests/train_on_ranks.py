"""Run train.py; the folder TRACE gets what each process did at each step: `train_on_ranks.py OVERRIDES...`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import train
from colorgan.errors import one_line_errors
from colorgan.stages.base import Stage

folder = Path(os.environ["TRACE"])
folder.mkdir(parents=True, exist_ok=True)
take_step = Stage.take_step


def traced(self: Stage, optimizer: Any, batch: Any, loss_of: Any) -> Any:
    player = getattr(getattr(self, "turns", None), "player", None)
    loss = take_step(self, optimizer, batch, loss_of)
    photos = [round(float(value), 5) for value in batch["rgb"].mean(dim=(1, 2, 3))]
    line = {"stage": self.seed % 1000, "step": self.steps, "player": player, "loss": float(loss), "photos": photos}
    with (folder / f"rank{self.global_rank}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return loss


Stage.take_step = traced  # type: ignore[method-assign]
with one_line_errors():
    train.main()
