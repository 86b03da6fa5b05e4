"""The base of all stages: counts steps, resumes exactly, weighs losses and takes optimizer steps."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from colorgan.color import color_planes
from colorgan.losses import Loss
from colorgan.networks.hints import grid_hints, takes_hints
from colorgan.networks.spectral import renew_spectral_norms, spectral_vectors
from colorgan.ranges import Count, NotNegative, Positive
from colorgan.stages.finite import FiniteWatch

Batch = dict[str, Tensor]


class Stage(pl.LightningModule):
    """Train one or both networks for a number of steps; a step is one batch and one optimizer step.

    Optimization is manual in every stage, so that clipping and accumulation are the same in all of them. Chance
    in a step (dropout) is a pure function of (seed, step): a resumed run draws what it would have drawn.

    Args:
        generator: gray to rgb.
        discriminator: rgb, and gray if conditional, to logits; None where the stage has no use for one.
        losses: by name; kept out of the state dict, as none of them is trained.
        loss_weights: weight by name of the loss; a loss of weight 0 is logged but costs no gradient.
        num_steps: after so many steps training stops.
        first_step: steps of the schedule before this stage; only for the x axis of loggers.
        index: place in the schedule, from 1.
        seed: of this stage.
        freeze_encoder: true: do not train the generator's encoder; its batch-norm statistics stay too.
            `convolutions`: only its convolutions stay, batch norm trains and its statistics move, as in fastai's
            `freeze`. What is frozen gets no gradient.
        gradient_clip: largest norm of the gradient of one step; None for no clipping.
        accumulate: split each batch into so many parts, one after the other, to save memory.
        channels_last: memory layout of networks and images.
        compiled: whether `torch.compile` makes the training steps of the networks.

    Attributes:
        averaged: whether an average is measured in the generator's place (`GeneratorEMA`).
        trains: names of the networks that this kind of stage trains.
        needs: names of those that it cannot do without.
        offers: what a loss may ask for (see `Loss.inputs`), by the network that the step trains.
    """

    trains: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("generator",)
    offers: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(
        self,
        *,
        generator: nn.Module,
        discriminator: nn.Module | None,
        losses: Mapping[str, Loss],
        loss_weights: Mapping[str, NotNegative],
        num_steps: int,
        first_step: int = 0,
        index: int = 0,
        seed: int = 0,
        freeze_encoder: bool | str = False,
        gradient_clip: Positive | None = None,
        accumulate: Count = 1,
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, got {accumulate} (schedule.stages.*.module.accumulate)")
        self.generator, self.discriminator = generator, discriminator
        self._losses = dict(losses)  # a plain dict hides feature networks from state_dict and optimizers
        self.loss_weights = dict(loss_weights)
        self.check_losses({name: type(losses[name]) for name in loss_weights})
        self.num_steps, self.first_step, self.index, self.seed = num_steps, first_step, index, seed
        self.gradient_clip, self.accumulate = gradient_clip, accumulate
        self.freeze_encoder, self.compiled = freeze_encoder, compiled
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.averaged = False
        self.steps = self.generator_steps = self.discriminator_steps = 0
        self._training_vectors: list[tuple[Tensor, Tensor]] = []
        self._step_loss = torch.zeros(())  # of the step that is being taken
        self._part_values: dict[str, Tensor] = {}  # of each loss, unweighted, in the last part of a step
        self.step_values: dict[str, Tensor] = {}  # the same of the whole step
        self.batch_size = 1  # photos of the step, in all parts and processes
        self._finite = FiniteWatch()
        self._noted: dict[str, Tensor | float] = {}  # what the next line of the logs says
        for name in ("generator", "discriminator"):
            if (network := getattr(self, name)) is not None:
                network.requires_grad_(name in self.trains)
        self._freeze()

    @classmethod
    def check_losses(cls, losses: Mapping[str, type[Loss]]) -> None:
        """Refuse losses that a step of this stage cannot compute.

        Args:
            losses: classes by name.

        Raises:
            ValueError: a class is no `Loss`, trains a network that this stage does not, or asks for an unknown input.
        """
        for name, loss in losses.items():
            if not issubclass(loss, Loss):
                raise ValueError(f"loss.{name} must be a colorgan.losses.Loss, got {loss.__name__}")
            if loss.trains not in cls.offers:
                raise ValueError(
                    f"{cls.__name__} does not train the {loss.trains}, so it has no use for the loss {name} "
                    "(schedule.stages.*.module.loss_weights)"
                )
            offered = cls.offers[loss.trains]
            if unknown := [wanted for wanted in loss.inputs if wanted not in offered]:
                raise ValueError(
                    f"loss.{name}: {loss.__name__}.inputs names {', '.join(unknown)}; a step of the {loss.trains} in "
                    f"{cls.__name__} has {', '.join(offered)}"
                )

    def _freeze(self) -> None:
        if self.freeze_encoder not in (True, False, "convolutions"):
            raise ValueError(
                f"freeze_encoder={self.freeze_encoder!r} is unknown; allowed: true, false, convolutions "
                "(schedule.stages.*.module.freeze_encoder)"
            )
        if self.freeze_encoder is True:
            self._encoder().requires_grad_(False)
        elif self.freeze_encoder:
            for layer in self._encoder().modules():
                if isinstance(layer, nn.Conv2d):
                    layer.requires_grad_(False)

    def _encoder(self) -> nn.Module:
        encoder = getattr(self.generator, "encoder", None)
        if not isinstance(encoder, nn.Module):
            raise ValueError(f"freeze_encoder needs a generator with an encoder, got {type(self.generator).__name__}")
        return encoder

    # Lightning's hooks, in the order in which they are called.

    def setup(self, stage: str) -> None:
        """Bring the networks into the memory layout, before several processes agree on that of the gradients."""
        self.to(memory_format=self.memory_format)

    def on_fit_start(self) -> None:
        """Move the losses, which Lightning does not know of, to the device and into the memory layout."""
        for module in self._losses.values():
            module.to(self.device).to(memory_format=self.memory_format)
        if self.compiled:
            self.compile_steps()

    def compile_steps(self) -> None:
        """Let `torch.compile` make what a training step calls: the generator's pictures, discriminator and losses."""
        self.training_picture = torch.compile(self.training_picture)  # type: ignore[method-assign]
        for network in (self.discriminator, *self._losses.values()):
            if network is not None:
                network.compile()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Bring images into the memory layout."""
        return {key: value.to(memory_format=self.memory_format) for key, value in batch.items()}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the step and set the modes of the networks."""
        torch.manual_seed(hash((self.seed, self.steps, 0)) % 2**63)  # alike in all processes: see `SharedLayers`
        self.set_modes(self.trains)

    def set_modes(self, training: tuple[str, ...]) -> None:
        """Set train mode for the named networks, eval mode for the others and for a frozen encoder."""
        for name in ("generator", "discriminator"):
            network = getattr(self, name)
            if network is not None and network.training != (name in training):  # to set it takes a while
                network.train(name in training)
        if self.freeze_encoder is True and self._encoder().training:
            self._encoder().eval()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log what was noted, every few steps; end the stage after its last step, a validation follows."""
        last = self.steps >= self.num_steps
        if last or self.steps % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]  # when loggers write
            self.log_step()
            for name, value in self._noted.items():
                self.log(name, value, prog_bar=name.startswith("train/loss_"), batch_size=1)
        if last:
            self.trainer.should_stop = True

    def on_validation_start(self) -> None:
        """Give spectral norms the singular vectors of their weights while networks are measured and kept.

        In training one power iteration a step follows weights that move; eval mode takes what it has left.
        """
        self._finite.check(self.trainer)
        measured = [getattr(self, name) for name in self.trains if not (name == "generator" and self.averaged)]
        vectors = [vector for network in measured for vector in spectral_vectors(network)]
        self._training_vectors = [(vector, vector.clone()) for vector in vectors]
        for network in measured:
            renew_spectral_norms(network)

    def on_validation_epoch_end(self) -> None:
        """Put the vectors of training back, behind the callbacks that keep networks: measuring changes no training."""
        for vector, before in self._training_vectors:
            vector.copy_(before)

    def on_train_end(self) -> None:
        """Hand networks on with the singular vectors of their weights."""
        for name in self.trains:
            renew_spectral_norms(getattr(self, name))

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Colorize a batch in full precision, as `evaluate.py` does; callbacks measure and draw what is returned."""
        self.log_step()
        with torch.autocast(self.device.type, enabled=False):
            fake_rgb = self.generator(batch["gray"])
            if takes_hints(self.generator):
                self._log_use_of_hints(batch, fake_rgb)
        return {"fake_rgb": fake_rgb}

    def _log_use_of_hints(self, batch: Batch, fake_rgb: Tensor) -> None:
        """Log how far colours are from the truth's without hints, and with nine points of the truth."""
        rule, rgb = str(self.generator.gray_rule), batch["rgb"]
        hinted_rgb = self.generator(batch["gray"], grid_hints(rgb, rule))
        truth = color_planes(rgb, rule)
        for name, picture in (("val/color_error", fake_rgb), ("val/color_error_9_points", hinted_rgb)):
            error = (color_planes(picture, rule) - truth).abs().mean()
            self.log(name, error, batch_size=rgb.shape[0], sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the counts and what losses remember, of weights that are finite."""
        self._finite.check(self.trainer)
        checkpoint["counts"] = self.counts()
        checkpoint["losses"] = {name: loss.state_dict() for name, loss in self._losses.items() if loss.remembers}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore them; the data module starts from `steps`."""
        counts = checkpoint["counts"]
        for name, state in checkpoint["losses"].items():
            self._losses[name].load_state_dict(state)
        self.steps = counts["steps"]
        self.generator_steps, self.discriminator_steps = (
            counts["generator_steps"],
            counts["discriminator_steps"],
        )

    def counts(self) -> dict[str, int]:
        """Count the finished steps of the stage and of each network."""
        return {
            "steps": self.steps,
            "generator_steps": self.generator_steps,
            "discriminator_steps": self.discriminator_steps,
        }

    # What stages are written with.

    def log_step(self) -> None:
        """Log the step of the whole schedule, the x axis of what is logged beside it."""
        self.log("step", float(self.first_step + self.steps), batch_size=1)

    def note(self, name: str, value: Tensor | float) -> None:
        """Keep a value of this step for the logs, which take the last one every few steps: none is waited for."""
        self._noted[name] = value

    def weighted_sum(self, player: str, step: Mapping[str, Any]) -> Tensor:
        """Add up the weighted losses of one network; each is kept, unweighted, for `step_values`.

        Args:
            player: the network that the step trains.
            step: what `offers` promises for it, by name.
        """
        names = self.due_losses(player)
        names.sort(key=lambda name: "fake_logits" in self._losses[name].inputs)  # sums round by their order: keep one
        total = torch.zeros((), device=self.device)
        for name in names:
            weight = self.loss_weights[name]
            with torch.set_grad_enabled(weight != 0):
                value = self.loss_value(name, step)
            self._part_values[name] = value.detach()
            if weight:
                total = total + weight * self._losses[name].every * value
        return total

    def due_losses(self, player: str) -> list[str]:
        """List the losses that are part of the next step of a network."""
        steps = self.counts()[f"{player}_steps"]
        names = (name for name in self.loss_weights if self._losses[name].trains == player)
        return [name for name in names if steps % self._losses[name].every == 0]

    def loss_value(self, name: str, step: Mapping[str, Any]) -> Tensor:
        """Compute one loss, unweighted, from what a step has."""
        loss = self._losses[name]
        value: Tensor = loss(*(step[wanted] for wanted in loss.inputs))
        return value

    def training_picture(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize as losses and discriminator see it: before the generator's clamp to [0, 1], if it has one."""
        make: Callable[..., Tensor] = getattr(self.generator, "unclamped", self.generator)
        return make(gray) if hints is None else make(gray, hints)

    def step_losses(self) -> dict[str, Callable[[Batch], Tensor]]:
        """Return what a step minimizes, as a function of the batch, by the network that the step trains."""
        raise NotImplementedError

    def take_step(self, optimizer: LightningOptimizer, batch: Batch, loss_of: Callable[[Batch], Tensor]) -> Tensor:
        """Take one optimizer step on a batch: add up the gradients of its parts, clip, apply.

        Returns:
            The mean loss, detached.
        """
        size = batch["rgb"].shape[0]
        self.batch_size, self.step_values = size * self.trainer.world_size, {}
        parts = zip(*(value.chunk(self.accumulate) for value in batch.values()), strict=True)
        total = torch.zeros((), device=self.device)
        optimizer.zero_grad()
        for part in parts:
            self._part_values, share = {}, part[0].shape[0] / size
            loss = loss_of(dict(zip(batch, part, strict=True))) * share
            self.manual_backward(loss)
            total += loss.detach()
            for name, value in self._part_values.items():
                self.step_values[name] = self.step_values.get(name, 0.0) + share * value
        for name, value in self.step_values.items():
            self.note(f"train/loss_{name}", value)
        self._step_loss = total
        optimizer.step()
        self.steps += 1
        return total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Bound the gradient, if so wanted; look whether the loss and its norm are finite.

        Under fp16 a gradient may overflow: its scaler then leaves the step out, and tries a smaller scale.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # of other optimizers Lightning has done it: the norm is the true gradient's
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.gradient_clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.gradient_clip, norm)
        if scaler is not None and scaler.get_scale() > 1:
            norm = torch.zeros_like(norm)
        self._finite.note(self.steps + 1, self._step_loss, norm, self.trainer)

    def step_scheduler(self) -> None:
        """Advance the learning rate of a stage that has one scheduler."""
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, LRScheduler):
            scheduler.step()
