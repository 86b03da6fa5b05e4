"""Change what the discriminator sees, photos and pictures alike, so that it cannot learn few photos by heart."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from colorgan.losses.temporal import of_the_whole_batch
from colorgan.ranges import Count, Share

FILL = 0.5  # zero of [-1, 1], where networks have their inputs: no colour


class Transform(Protocol):
    """A change of a step's photos, of whatever is shown of them."""

    def __call__(self, image: Tensor, /, *, fill: float = FILL) -> Tensor:
        """Change images (N, C, H, W) of the photos; `fill` is what is put where nothing of them is left."""


class DiffAugment:
    """Move each photo and cut a square out of it, in the same way as its picture and their gray (Zhao et al. 2020).

    Drawn anew in each step, and differentiable, so the generator is told through the same changes. Of the paper's
    three policies the one on colour is missing: it scales chroma by up to 2 before the discriminator sees it, and so
    teaches it to overlook saturation, which it is here for.

    Args:
        translation: largest shift, as a share of the side.
        cutout: side of the square, as a share of the picture's.
        probability: of each of the two, for a photo.
    """

    def __init__(self, *, translation: Share = 0.125, cutout: Share = 0.5, probability: Share = 1.0) -> None:
        self.translation, self.cutout, self.probability = translation, cutout, probability

    def draw(self, images: Tensor) -> Transform:
        """Draw the change of each of N photos; the result changes other images (N, C, H, W) of them alike."""
        count, height, width = len(images), *images.shape[-2:]
        drawn = of_the_whole_batch(torch.rand, count, 6, device=images.device)
        chance, place = drawn[:, :2], drawn[:, 2:]
        moved, cut = (chance < self.probability).long().T
        size = torch.tensor([height, width], device=images.device)
        reach = (self.translation * size + 0.5).long()
        shift = ((place[:, :2] * (2 * reach + 1)).long() - reach) * moved[:, None]
        side = (self.cutout * size + 0.5).long() * cut[:, None]
        start = (place[:, 2:] * (size + 1 - side % 2)).long() - side // 2  # squares reach over the border
        rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        inside = [_between(axis, start[:, i], side[:, i]) for i, axis in enumerate((rows, columns))]
        kept = ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])
        photos = torch.arange(count, device=images.device)[:, None, None]
        row = (rows + shift[:, :1] + 1).clamp(0, height + 1)[:, :, None]  # beyond the border lies one line of the fill
        column = (columns + shift[:, 1:] + 1).clamp(0, width + 1)[:, None, :]

        def transform(image: Tensor, /, *, fill: float = FILL) -> Tensor:
            lines = F.pad(image - fill, (1, 1, 1, 1)).permute(0, 2, 3, 1)
            changed = lines[photos, row, column].permute(0, 3, 1, 2) * kept + fill  # comes out in channels last
            return changed.contiguous() if image.is_contiguous() else changed

        return transform

    def note(self, score: Tensor) -> None:
        """See how the discriminator judges photos in a part of its step; above 0 is right."""

    def adapt(self, batch_size: int) -> None:
        """Follow a finished step of the discriminator."""

    def state_dict(self) -> dict[str, Any]:
        """Return plain values from which `load_state_dict` goes on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class AdaptiveDiffAugment(DiffAugment):
    """The same with a probability that follows how sure the discriminator is of training photos (Karras et al. 2020).

    Begins at 0. Every few steps of the discriminator the mean sign of its judgements of photos is compared with
    `target`; the probability then rises or falls by the photos it has seen over `num_images`. Of a loss that knows
    logits of a photo only against those of its picture, their difference is the judgement.

    Args:
        translation: see `DiffAugment`.
        cutout: see `DiffAugment`.
        target: of the mean sign; 0 is chance, 1 means that all photos are known (Karras et al.: 0.6).
        num_images: photos in which the probability can go from 0 to 1. Karras et al. take 500,000, of 25 million that
            they show; a NoGAN stage shows about 10,000.
        every: steps between two changes.
    """

    def __init__(
        self,
        *,
        translation: Share = 0.125,
        cutout: Share = 0.5,
        target: Share = 0.6,
        num_images: Count = 5000,
        every: Count = 4,
    ) -> None:
        super().__init__(translation=translation, cutout=cutout, probability=0.0)
        self.target, self.num_images, self.every = target, num_images, every
        self._signs, self._count, self._steps = torch.zeros(()), 0, 0

    def note(self, score: Tensor) -> None:
        """See `DiffAugment`."""
        mean = score.detach().float().sign().mean()
        if distributed.is_initialized():  # all processes have as many photos, and one of them saves the sum
            distributed.all_reduce(mean)
            mean = mean / distributed.get_world_size()
        self._signs = self._signs.to(score.device) + mean * len(score)
        self._count += len(score)

    def adapt(self, batch_size: int) -> None:
        """See `DiffAugment`."""
        self._steps += 1
        if self._steps < self.every:
            return
        mean = self._signs / self._count
        change = batch_size * self._steps / self.num_images
        wanted = self.probability + (change if float(mean) > self.target else -change)
        self.probability = min(1.0, max(0.0, wanted))
        self._signs, self._count, self._steps = torch.zeros(()), 0, 0

    def state_dict(self) -> dict[str, Any]:
        """See `DiffAugment`."""
        seen = {"signs": self._signs, "count": self._count, "steps": self._steps}
        return {"probability": self.probability, **seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `DiffAugment`."""
        self.probability = state["probability"]
        self._signs, self._count, self._steps = state["signs"], state["count"], state["steps"]


def _between(axis: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """(N, len(axis)): which places lie in the `length` ones from `start`."""
    return (axis >= start[:, None]) & (axis < (start + length)[:, None])
