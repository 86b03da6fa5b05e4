"""Images/s of each stage in `train.py`'s loop, beside those of its bare step; waiting for data and peak memory.

python benchmarks/training_speed.py                      laptop scale
python benchmarks/training_speed.py --resnet34           ResNet34 U-Net at 128 px, batch 8
python benchmarks/training_speed.py --steps 100 trainer.precision=bf16-mixed      (any override of train.py)

Each stage trains in a process of its own, after `WARMUP` steps that do not count; validation is left out, saving is
not. Then the same networks take bare steps (loss, gradients, optimizer) on one batch, as many of each player as the
loop took. Waiting is the time in which the training process asks for a batch and has none, as Lightning's loop sees it.
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
    from steps import bare_steps, seconds

    from colorgan.callbacks import GeneratorEMA, ResumeCheckpoint
    from colorgan.config import compose
    from colorgan.stages.base import Stage
    from colorgan.training.schedule import Schedule

    class Clock(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
            self.waited, self.ends, self.players = 0.0, [], []
            self.module, self.asked = pl_module, time.perf_counter()

        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Stage, batch: Any, batch_idx: int) -> None:
            self.batch = batch
            if len(self.ends) >= WARMUP:
                self.waited += time.perf_counter() - self.asked

        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Stage, *args: Any) -> None:
            counts = (pl_module.generator_steps, pl_module.discriminator_steps)
            self.players.append(counts)
            if len(self.ends) + 1 in (WARMUP, total) and torch.cuda.is_available():
                torch.cuda.synchronize()
            self.asked = time.perf_counter()
            self.ends.append(self.asked)

    clock, total = Clock(), WARMUP + steps
    build_trainer = Schedule._build_trainer

    def with_clock(self: Schedule, planned: Any, module: Stage, *args: Any) -> pl.Trainer:
        trainer = build_trainer(self, planned, module, *args)
        loop = [c for c in trainer.callbacks if isinstance(c, GeneratorEMA | ResumeCheckpoint)]
        trainer.callbacks = [*loop, clock]  # no validation, pictures, bar
        trainer.limit_val_batches = 0
        return trainer

    Schedule._build_trainer = with_clock
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
            f"schedule.stages.{stage}.validate_every={total}",
            "schedule.stages.gan.handover=last",
            *overrides,
        )
        Schedule(config).run()
    entry, module = config.schedule.stages[stage], clock.module
    spent = clock.ends[-1] - clock.ends[WARMUP - 1]
    device = str(clock.batch["rgb"].device.type)
    peak = (
        torch.cuda.max_memory_allocated()
        if device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    module.to(device)
    bare = seconds(
        bare_steps(module, clock.batch, bf16="bf16" in str(config.trainer.precision)),
        device,
        repeats=max(5, steps // 4),
    )
    turns = [last - first for first, last in zip(clock.players[WARMUP - 1], clock.players[-1], strict=True)]
    of_players = dict(zip(("generator", "discriminator"), turns, strict=True))
    bare_seconds = sum(bare[player][0] * of_players[player] for player in bare)
    return {
        "stage": stage,
        "images/s": steps * entry.batch_size / spent,
        "bare": steps * entry.batch_size / bare_seconds,
        "waiting %": 100 * clock.waited / spent,
        "peak MiB": peak / 2**20,
        "device": device,
        "threads": torch.get_num_threads(),
    }


def in_its_own_process(stage: str, steps: int, overrides: list[str]) -> dict[str, Any]:
    """Measure a stage; a failure of the child is shown as it stands.

    Raises:
        SystemExit: with the child's error.
    """
    command = [sys.executable, __file__, "--stage", stage, "--steps", str(steps), *overrides]
    child = subprocess.run(command, check=False, capture_output=True, text=True)
    if child.returncode:
        sys.exit(f"{stage} failed:\n{child.stderr}")
    return dict(json.loads(child.stdout.splitlines()[-1]))


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
    print(f"{'stage':20} {'images/s':>9} {'bare':>9} {'share':>6} {'waiting %':>10} {'peak MiB':>9}  device, threads")
    for stage in STAGES:
        row = in_its_own_process(stage, arguments.steps, overrides)
        speed = f"{row['images/s']:9.1f} {row['bare']:9.1f} {row['images/s'] / row['bare']:6.2f}"
        print(f"{stage:20} {speed} {row['waiting %']:10.2f} {row['peak MiB']:9.0f}  {row['device']}, {row['threads']}")


if __name__ == "__main__":
    main()
