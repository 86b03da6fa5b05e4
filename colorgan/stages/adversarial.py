"""Show photos and pictures to the discriminator: what the stages that train with it share."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from colorgan.stages.base import Batch, Stage


class AdversarialStage(Stage):
    """Base of the stages with a discriminator: compute what their losses ask for."""

    needs: ClassVar = ("generator", "discriminator")

    def discriminator_inputs(self, batch: Batch, fake_rgb: Tensor) -> dict[str, Any]:
        """Compute what losses of the discriminator may ask for.

        Args:
            batch: photos and their grays.
            fake_rgb: the generator's pictures of them, without its graph.
        """
        assert self.discriminator is not None
        gray, uncompiled = batch["gray"], self.discriminator.forward
        return {
            **batch,
            "fake_rgb": fake_rgb,
            "real_logits": self.discriminator(batch["rgb"], gray),
            "fake_logits": self.discriminator(fake_rgb, gray),
            "discriminate": lambda rgb: uncompiled(rgb, gray),
            "batch_size": self.batch_size,
        }

    def generator_inputs(self, batch: Batch, fake_rgb: Tensor) -> dict[str, Any]:
        """Compute what losses of the generator may ask for; of the photos only what one does ask for.

        Args:
            batch: photos and their grays.
            fake_rgb: the generator's pictures of them.
        """
        assert self.discriminator is not None
        step = {
            **batch,
            "fake_rgb": fake_rgb,
            "colorize": self.training_picture,
            "fake_logits": self.discriminator(fake_rgb, batch["gray"]),
        }
        if "real_logits" in self._asked("generator"):
            with torch.no_grad():
                step["real_logits"] = self.discriminator(batch["rgb"], batch["gray"])
        return step

    def _asked(self, player: str) -> set[str]:
        """List what the losses that are part of a network's next step ask for."""
        return {wanted for name in self.due_losses(player) for wanted in self._losses[name].inputs}
