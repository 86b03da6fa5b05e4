"""A loss for colours that stay the same from frame to frame."""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, distributed

from colorgan.color import rgb_to_chroma
from colorgan.flow import inside, similarity_flow, warp
from colorgan.losses.base import Loss
from colorgan.ranges import NotNegative, Share


class TemporalLoss(Loss):
    """Mean absolute difference of chroma between two views of a photo under known motion and noise.

    The second view is the first one moved by a random pan, zoom and rotation, with fresh noise; its colours, moved
    back, must be those of the first. The flow is exact, so no clip and no flow network is needed (Eilertsen et al.
    2019 train for stability on such transformed stills; Lai et al. 2018 on estimated flow). What the motion
    brings in from outside of the photo does not count.

    Args:
        max_shift: largest pan, as a share of the side.
        max_zoom: largest change of scale.
        max_angle: largest rotation, in degrees.
        noise: standard deviation of the fresh noise, on the [0, 1] scale.
    """

    inputs: ClassVar = ("fake_rgb", "gray", "colorize", "hints")

    def __init__(
        self, *, max_shift: Share = 0.05, max_zoom: Share = 0.05, max_angle: NotNegative = 3.0, noise: Share = 0.02
    ) -> None:
        super().__init__()
        self.max_shift, self.max_zoom, self.max_angle, self.noise = max_shift, max_zoom, max_angle, noise

    def forward(
        self, fake_rgb: Tensor, gray: Tensor, colorize: Callable[..., Tensor], hints: Tensor | None = None
    ) -> Tensor:
        """Draw the motion; compute the mean over photos, both chroma planes (B - Y, R - Y) and what both views show.

        Args:
            fake_rgb: (N, 3, H, W), the picture of the first view.
            gray: (N, 1, H, W), the first view.
            colorize: makes the picture of the second.
            hints: (N, 3, H, W), of the first view; the second gets them moved.
        """
        count, height, width = len(gray), *gray.shape[-2:]
        unit = 2 * _of_the_whole_batch(torch.rand, count, 4, device=gray.device).T - 1
        flow = similarity_flow(
            height,
            width,
            shift=self.max_shift * unit[:2].T * gray.new_tensor([width, height]),
            zoom=1 + self.max_zoom * unit[2],
            angle=math.radians(self.max_angle) * unit[3],
        )
        second = warp(gray, flow, padding="reflection")
        second = (second + self.noise * _of_the_whole_batch(torch.randn, *second.shape, device=gray.device)).clamp(0, 1)
        second_rgb = colorize(second) if hints is None else colorize(second, warp(hints, flow, padding="zeros"))
        expected = warp(rgb_to_chroma(fake_rgb.float()), flow)
        difference = (rgb_to_chroma(second_rgb.float()) - expected).abs().mean(dim=1, keepdim=True)
        visible = inside(flow).float()
        sums = ((difference * visible).sum(dim=(1, 2, 3)), visible.sum(dim=(1, 2, 3)))
        return (sums[0] / sums[1].clamp_min(1)).mean()


def _of_the_whole_batch(draw: Callable[..., Tensor], count: int, *shape: int, device: torch.device) -> Tensor:
    """Draw for the photos of this process, every n-th of the batch, what one process alone would draw for them."""
    if not distributed.is_initialized():
        return draw(count, *shape, device=device)
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    return draw(count * world_size, *shape, device=device)[rank::world_size]
