"""Save the file from which a stopped stage goes on, and stop at a signal."""

import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from colorgan.errors import StoppedError
from colorgan.files import Writer, atomic
from colorgan.stages.base import Stage

_ASK_EVERY = 10  # steps between two questions to the other processes whether to stop


class ResumeFile(TorchCheckpointIO):
    """Write Lightning's checkpoint in a thread, under a temporary name, then rename; training goes on meanwhile.

    What is written is a copy of that moment, in the memory of the host. The file before is kept as `previous.ckpt`,
    should this one be damaged. (Lightning's `AsyncCheckpointIO` writes in place, and lets saves pile up.)

    Args:
        writer: the thread.
    """

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Copy the checkpoint and begin to write it."""
        copied = apply_to_collection(checkpoint, torch.Tensor, lambda tensor: tensor.detach().to("cpu", copy=True))
        self.writer.submit(partial(self._write, copied, Path(path)))

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        with atomic(path) as temporary:
            super().save_checkpoint(checkpoint, temporary)
            if path.exists():
                path.replace(path.with_name("previous.ckpt"))

    def teardown(self) -> None:
        """Wait, at the end of a stage."""
        self.writer.wait()


class StopRequest:
    """Note SIGINT and SIGTERM while a stage trains, so that it can save at the end of the step and stop.

    A second SIGINT interrupts at once. SLURM's requeue signal, where Lightning listens to it, waits for the end of
    the step too: in the middle of one, networks and counts do not fit together.

    Attributes:
        signum: the signal that has come; 0 for none.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._requeue: Any = None

    def listen(self) -> None:
        """Replace Lightning's handlers; it puts the ones before its own back when the stage ends."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._note)
        if callable(handler := signal.getsignal(signal.SIGUSR1)):
            self._requeue = handler
            signal.signal(signal.SIGUSR1, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum == signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = signum
        if signum == signal.SIGINT:
            print("\nstopping at the end of this step; press again to stop at once", file=sys.stderr)

    def agreed(self, trainer: pl.Trainer) -> int:
        """Return the signal that any of the processes has got; 0 for none. All of them must ask."""
        if trainer.world_size == 1:
            return self.signum
        signum = torch.tensor(self.signum, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(signum, reduce_op="max"))

    def obey(self, signum: int, trainer: pl.Trainer, saved: str) -> None:
        """Requeue the SLURM job, which trains on until it is ended, or stop.

        Args:
            signum: what all processes have agreed on; 0 for nothing to do.
            trainer: of the stage.
            saved: the point that has been saved.

        Raises:
            StoppedError: the signal asks to stop.
        """
        if signum == signal.SIGUSR1:
            self._requeue_job(trainer)
        elif signum:
            raise StoppedError(signum, f"stopped; {saved}")

    def _requeue_job(self, trainer: pl.Trainer) -> None:
        """Let Lightning requeue the SLURM job; its own checkpoint is not needed, `last.ckpt` is of the same step."""
        self.signum = 0
        self._requeue(signal.SIGUSR1, None)
        if trainer.is_global_zero:
            trainer.strategy.checkpoint_io.teardown()
            for file in Path(trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"):
                file.unlink()


class ResumeCheckpoint(Checkpoint):
    """Write Lightning's checkpoint of the stage every few steps, through `ResumeFile`.

    At a step with a validation it is written after it, so that a resumed run neither skips nor repeats one. The last
    step of a stage is not saved: its hand-over follows at once.

    Args:
        path: the file.
        every: steps between two saves.
        validate_every: steps between two validations.
        stop: notes signals from outside.

    Attributes:
        saved_step: of the file.
    """

    def __init__(self, path: Path, *, every: int, validate_every: int, stop: StopRequest) -> None:
        self.path, self.every, self.validate_every, self.stop = path, every, validate_every, stop
        self.saved_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Listen to signals."""
        self.saved_step = pl_module.steps
        self.stop.listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Stage, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at a step without validation."""
        steps = pl_module.steps
        if steps % self.validate_every and steps < pl_module.num_steps:
            save = steps % self.every == 0
            alone = trainer.world_size == 1
            signum = self.stop.agreed(trainer) if alone or save or steps % _ASK_EVERY == 0 else 0
            if signum or save:
                self._save(trainer)
            self._obey(signum, trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Save after a validation."""
        if pl_module.steps < pl_module.num_steps:
            signum = self.stop.agreed(trainer)
            self._save(trainer)
            self._obey(signum, trainer)

    def _obey(self, signum: int, trainer: pl.Trainer) -> None:
        if signum:
            trainer.strategy.checkpoint_io.teardown()  # waits until what is said to be saved is so
        self.stop.obey(signum, trainer, f"step {self.saved_step} of {self.path.parent.name} is saved")

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)  # all processes gather what the first one writes, and wait for one another
        self.saved_step = int(trainer.lightning_module.steps)  # type: ignore[arg-type]  # a `Stage`
