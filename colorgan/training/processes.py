"""Train in several processes as in one: start and connect them, share values, compute layers over the whole batch."""

import signal
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.layer_sync import LayerSync
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, distributed, nn

Value = TypeVar("Value")


class Processes:
    """Start, connect and end the processes of a run. Lightning starts them, or finds that SLURM or torchrun has.

    They are started once, before the first stage, so that the first one can prepare the run folder alone.

    Args:
        trainer: with the strategy, the devices and the nodes of the run.

    Attributes:
        count: how many there are, over all nodes.
        first: whether this is the one that writes.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        self._strategy = trainer.strategy
        self.count, self.first = trainer.world_size, trainer.global_rank == 0
        launcher = self._strategy.launcher
        if isinstance(launcher, _MultiProcessingLauncher):
            raise ValueError(
                "trainer.strategy: processes that are spawned or forked cannot run a schedule; take trainer=ddp"
            )
        self._launcher = launcher if isinstance(launcher, _SubprocessScriptLauncher) else None

    @property
    def are_ours_to_start(self) -> bool:
        """Whether this command has to start the others."""
        return self._launcher is not None and not self._launcher.cluster_environment.creates_processes_externally

    def start(self) -> None:
        """Start the other processes if nobody has, and connect with them."""
        if self.count > 1:
            if self._launcher is not None:
                self._launcher.launch(lambda: None)
            self._strategy.setup_environment()

    def agree(self, value: Value) -> Value:
        """Return the first process's value in all of them."""
        return self._strategy.broadcast(value)

    def end(self) -> None:
        """Disconnect the processes; what follows is done by the first one alone."""
        if distributed.is_initialized():
            distributed.barrier()
            distributed.destroy_process_group()

    def kill(self) -> None:
        """Kill the processes that this one has started: they would wait for it."""
        if self._launcher is not None:
            self._launcher.kill(signal.SIGKILL)


class SharedLayers(LayerSync):
    """Make layers compute on the global batch, so that a result does not depend on the number of processes.

    Batch norm takes its statistics over all processes: torch's `SyncBatchNorm` on GPUs, our own on CPUs, for which
    torch has none, so that two processes of any machine can be tested against one. Dropout draws for the whole batch,
    seeded alike everywhere, and each process takes its pictures' share.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Convert the layers of a stage."""
        _replace(model, nn.Dropout2d, _SharedDropout2d)
        if distributed.get_backend() == "nccl":
            # timm's: torch's own loses the activations of timm's batch norm
            converted: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
            return converted
        _replace(model, nn.BatchNorm2d, _SharedBatchNorm2d)
        _replace(model, BatchNormAct2d, _SharedBatchNormAct2d)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Leave the layers as they are: after a stage its networks are only saved."""
        return model


def _replace(model: nn.Module, kind: type[nn.Module], shared: type[nn.Module]) -> None:
    for module in model.modules():
        if type(module) is kind:
            module.__class__ = shared


class _SharedBatchNorm2d(nn.BatchNorm2d):
    """Normalize over the equal shares of all processes, in float32."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return super().forward(features)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        wide = features.float()
        mean = _mean_over_processes(wide.mean(dim=(0, 2, 3)))
        centred = wide - mean[:, None, None]
        variance = _mean_over_processes(centred.square().mean(dim=(0, 2, 3)))
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            count = distributed.get_world_size() * features.numel() / features.shape[1]
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
        normal = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normal = normal * self.weight[:, None, None] + self.bias[:, None, None]
        return normal.to(features.dtype)


class _SharedBatchNormAct2d(_SharedBatchNorm2d, BatchNormAct2d):
    """Normalize like `_SharedBatchNorm2d` in timm's batch norm, which ends in an activation."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return BatchNormAct2d.forward(self, features)  # type: ignore[no-untyped-call, no-any-return]
        activated: Tensor = self.act(self.drop(super().forward(features)))
        return activated


class _SharedDropout2d(nn.Dropout2d):
    """Drop channels of the pictures that `StepBatchSampler` gives this process: every n-th of the batch."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        rank, count = distributed.get_rank(), distributed.get_world_size()
        kept = features.new_empty(features.shape[0] * count, features.shape[1], 1, 1).bernoulli_(1 - self.p)
        return features * kept[rank::count].div_(1 - self.p)


class _MeanOverProcesses(torch.autograd.Function):
    """Average a tensor over processes; every loss depends on the mean, so its gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    backward = forward


def _mean_over_processes(value: Tensor) -> Tensor:
    mean: Tensor = _MeanOverProcesses.apply(value)
    return mean
