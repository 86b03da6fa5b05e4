"""Images/s, waiting for data and peak memory of each stage, in this order of the schedule.

python benchmarks/training_speed.py                      laptop scale
python benchmarks/training_speed.py --resnet34           ResNet34 U-Net at 128 px, batch 8
python benchmarks/training_speed.py --steps 100 trainer.precision=bf16-mixed      (any override of train.py)

Each stage trains in a process of its own, after `WARMUP` steps that do not count; validation and saving are left
out. Waiting is the time in which the training process asks for a batch and has none, as Lightning's loop sees it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

WARMUP = 10
STAGES = ("generator_pretrain", "critic_pretrain", "gan")
RESNET34 = ("generator=unet_resnet34", "generator.encoder.weights=null")


def measure(stage: str, steps: int, overrides: list[str]) -> dict[str, Any]:
    """Train one stage of the laptop scale and time its steps."""
    import pytorch_lightning as pl
    import torch

    from colorgan.config import compose
    from colorgan.stages.base import Stage
    from colorgan.training.schedule import Schedule

    class Clock(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            self.waited, self.ends = 0.0, []
            self.asked = time.perf_counter()

        def on_train_batch_start(self, *args: Any) -> None:
            if len(self.ends) >= WARMUP:
                self.waited += time.perf_counter() - self.asked

        def on_train_batch_end(self, *args: Any) -> None:
            self.asked = time.perf_counter()
            self.ends.append(self.asked)

    clock = Clock()
    build_trainer = Schedule._build_trainer

    def with_clock(self: Schedule, planned: Any, module: Stage, *args: Any) -> pl.Trainer:
        trainer = build_trainer(self, planned, module, *args)
        trainer.callbacks = [clock]  # no progress bar, pictures, metrics: the training loop alone
        trainer.limit_val_batches = 0
        return trainer

    Schedule._build_trainer = with_clock
    total = WARMUP + steps
    with tempfile.TemporaryDirectory() as folder:
        config = compose(
            "train",
            "name=speed",
            f"runs_dir={folder}",
            "metrics=fast",
            "objective=psnr",
            f"schedule.first=[{stage}]",
            "schedule.times=0",
            f"schedule.stages.{stage}.steps={total}",
            "schedule.stages.gan.handover=last",
            *overrides,
        )
        Schedule(config).run()
        batch_size = config.schedule.stages[stage].batch_size
    seconds = clock.ends[-1] - clock.ends[WARMUP - 1]
    return {
        "stage": stage,
        "images/s": steps * batch_size / seconds,
        "waiting %": 100 * clock.waited / seconds,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Measure every stage and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--resnet34", action="store_true", help="ResNet34 U-Net at 128 px, batch 8")
    parser.add_argument("--stage", choices=STAGES, help="only this stage, as JSON (used by the parent process)")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    overrides = list(arguments.overrides)
    if arguments.resnet34:
        overrides += RESNET34
        overrides += [f"schedule.stages.{s}.{k}" for s in STAGES for k in ("image_size=128", "batch_size=8")]
    if arguments.stage:
        print(json.dumps(measure(arguments.stage, arguments.steps, overrides)))
        return
    print(f"{'stage':20} {'images/s':>9} {'waiting %':>10} {'peak MiB':>9}  threads")
    for stage in STAGES:
        command = [sys.executable, __file__, "--stage", stage, "--steps", str(arguments.steps), *overrides]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        row = json.loads(output.splitlines()[-1])
        numbers = f"{row['images/s']:9.1f} {row['waiting %']:10.2f} {row['peak MiB']:9.0f}  {row['threads']}"
        print(f"{stage:20} {numbers}")


if __name__ == "__main__":
    main()
