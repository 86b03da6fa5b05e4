"""Show photos and pictures to the discriminator: what the stages that train with it share."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from colorgan.losses import LeCamPenalty
from colorgan.networks.hints import takes_hints
from colorgan.stages.augment import FILL, DiffAugment, Transform
from colorgan.stages.base import Batch, Stage


class AdversarialStage(Stage):
    """Base of the stages with a discriminator: compute what their losses ask for.

    Args:
        augment: changes what the discriminator sees, in the steps of both networks; None for nothing. Validation sees
            photos as they are.
        common: see `Stage`.
    """

    needs: ClassVar = ("generator", "discriminator")

    def __init__(self, *, augment: DiffAugment | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.augment = augment
        if not self.loss_weights.get("discriminator"):
            raise ValueError(
                f"{type(self).__name__} needs loss_weights.discriminator above 0 (schedule.stages.*.module)"
            )
        for name in self.loss_weights:
            if self._losses["discriminator"].paired and isinstance(self._losses[name], LeCamPenalty):
                kind = type(self._losses["discriminator"]).__name__
                raise ValueError(
                    f"loss_weights.{name}: {kind} knows only differences of logits, so their averages mean nothing; "
                    f"take another loss/adversarial=, or leave loss_weights.{name} out"
                )
            if "fake_maps" in self._losses[name].inputs and not hasattr(self.discriminator, "maps"):
                kind = type(self.discriminator).__name__
                raise ValueError(f"loss.{name} compares maps inside the discriminator; {kind} has no method maps")

    def discriminator_inputs(self, batch: Batch, fake_rgb: Tensor, *, augmented: bool = True) -> dict[str, Any]:
        """Compute what losses of the discriminator may ask for.

        Args:
            batch: photos and their grays.
            fake_rgb: the generator's pictures of them, without its graph.
            augmented: whether the discriminator sees them changed by `augment`.
        """
        assert self.discriminator is not None
        change = self._draw(batch) if augmented else _same
        condition, uncompiled = self._condition(batch, change), self.discriminator.forward
        real_logits = self.discriminator(change(batch["rgb"]), *condition)
        fake_logits = self.discriminator(change(fake_rgb), *condition)
        if augmented and self.augment is not None:
            loss = self._losses["discriminator"]
            self.augment.note(real_logits.detach() - (fake_logits.detach() if loss.paired else loss.neutral))
        return {
            **batch,
            "fake_rgb": fake_rgb,
            "real_logits": real_logits,
            "fake_logits": fake_logits,
            "discriminate": lambda rgb: uncompiled(change(rgb), *condition),
            "batch_size": self.batch_size,
        }

    def generator_inputs(self, batch: Batch, fake_rgb: Tensor) -> dict[str, Any]:
        """Compute what losses of the generator may ask for; of the photos only what one does ask for.

        Args:
            batch: photos and their grays.
            fake_rgb: the generator's pictures of them.
        """
        asked = {wanted for name in self.due_losses("generator") for wanted in self._losses[name].inputs}
        change = self._draw(batch)
        condition = self._condition(batch, change)
        step: dict[str, Any] = {"hints": None, **batch, "fake_rgb": fake_rgb, "colorize": self.training_picture}
        step |= self._judged("fake", change(fake_rgb), condition, with_maps="fake_maps" in asked)
        if {"real_logits", "real_maps"} & asked:
            with torch.no_grad():
                step |= self._judged("real", change(batch["rgb"]), condition, with_maps="real_maps" in asked)
        return step

    def discriminator_stepped(self) -> None:
        """Count a finished step of the discriminator, and let what follows it follow."""
        self.discriminator_steps += 1
        if self.augment is not None:
            self.augment.adapt(self.batch_size)
            self.note("train/augment_probability", self.augment.probability)

    def _draw(self, batch: Batch) -> Transform:
        return _same if self.augment is None else self.augment.draw(batch["rgb"])

    def _condition(self, batch: Batch, change: Transform) -> tuple[Tensor, ...]:
        """List what the discriminator sees beside colour: the gray, and hints if it takes them."""
        gray = change(batch["gray"])
        if "hints" not in batch or not takes_hints(self.discriminator):
            return (gray,)
        return gray, change(batch["hints"], fill=0.0)  # of what lies outside nothing is known

    def _judged(self, of: str, rgb: Tensor, condition: tuple[Tensor, ...], *, with_maps: bool) -> dict[str, Any]:
        network: nn.Module | None = self.discriminator
        assert network is not None
        if not with_maps:
            return {f"{of}_logits": network(rgb, *condition)}
        maps: list[Tensor] = network.maps(rgb, *condition)  # type: ignore[operator]
        return {f"{of}_maps": maps[:-1], f"{of}_logits": maps[-1]}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the augmentation follows, too."""
        super().on_save_checkpoint(checkpoint)
        if self.augment is not None:
            checkpoint["augment"] = self.augment.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        super().on_load_checkpoint(checkpoint)
        if self.augment is not None:
            self.augment.load_state_dict(checkpoint["augment"])


def _same(image: Tensor, /, *, fill: float = FILL) -> Tensor:
    return image
