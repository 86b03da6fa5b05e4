"""Measure how steady the colours of clips are over time. None of this says whether the colours are right.

Gray scores nearly perfectly on all of them: read them beside colorfulness, and beside the value of the truth.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from colorgan.color import quantize, rgb_to_lab
from colorgan.flow import Motion, warp
from colorgan.metrics.base import MeanOverPictures, check_pictures
from colorgan.metrics.histograms import jensen_shannon

_LEVELS = 256


class ClipMetric(MeanOverPictures):
    """Mean of a value of each clip, in double precision."""

    def update(self, fake_rgb: Tensor, rgb: Tensor, motion: Motion | None = None) -> None:
        """Add a clip.

        Args:
            fake_rgb: (T, 3, H, W) in [0, 1], its frames as they were colorized.
            rgb: (T, 3, H, W) in [0, 1], the frames they were made from.
            motion: of the clip.

        Raises:
            ValueError: another range or shape, or too few frames.
        """
        check_pictures(fake_rgb, rgb)
        value = self.value_of(quantize(fake_rgb), quantize(rgb), motion)
        self.per_picture.append(value.double().reshape(1))

    def value_of(self, fake_rgb: Tensor, rgb: Tensor, motion: Motion | None) -> Tensor:
        """Compute the value of a clip, a scalar; both are rounded to 8 bits already."""
        raise NotImplementedError


class ClipMean(ClipMetric):
    """Mean over frames, then clips, of a metric that gives each picture a value: frames of a clip are not independent.

    Args:
        metric: for example `Colorfulness` or `PSNR`.
        part: of the clip in which frames count, from its beginning 0 to its end 1.
    """

    def __init__(self, metric: MeanOverPictures, part: tuple[float, float] = (0.0, 1.0), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        first, last = self.part = part[0], part[1]
        if not 0 <= first < last <= 1:
            raise ValueError(f"part must be two rising numbers from 0 to 1, got {list(part)} (clip_metrics.NAME.part)")
        if not isinstance(metric, MeanOverPictures) or isinstance(metric, ClipMetric):
            raise ValueError(f"ClipMean needs a metric that gives each picture a value, got {type(metric).__name__}")
        self.metric = metric
        self.needs_truth, self.decimals = metric.needs_truth, metric.decimals
        # torchmetrics makes the direction a constant of the class; here it is that of the wrapped metric
        object.__setattr__(self, "higher_is_better", metric.higher_is_better)

    def describe(self) -> dict[str, Any]:
        """Describe the metric of the frames."""
        part = {} if self.part == (0, 1) else {"part": list(self.part)}
        return {**self.metric.describe(), "over": "clips", **part}

    def judge(self) -> str | None:
        """Name the network behind the metric of the frames."""
        return self.metric.judge()

    def value_of(self, fake_rgb: Tensor, rgb: Tensor, motion: Motion | None) -> Tensor:
        """Average over frames."""
        first, last = (round(place * len(rgb)) for place in self.part)
        _need_frames(fake_rgb[first:last], 1, f"the part {list(self.part)}")
        return self.metric.values(fake_rgb[first:last], rgb[first:last]).double().mean()


class CDC(ClipMetric):
    """Colour distribution consistency: how much the histogram of each channel changes (Liu et al. 2021, "TCVC").

    Jensen-Shannon divergence, natural logarithm, between 256-bin histograms of 8-bit R, G and B of frames t apart; mean
    over all pairs of the clip, over t, and over channels. From 0 to ln 2. No motion is looked at: it sees a
    flicker of the whole picture well, not where colours are, and hardly sees noise.

    Args:
        steps: the values of t; the published code has 1, 2 and 4.
    """

    higher_is_better = False
    needs_truth = False
    decimals = 5

    def __init__(self, steps: tuple[int, ...] = (1, 2, 4), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = tuple(steps)
        if not self.steps or min(self.steps) < 1:
            raise ValueError(f"steps must be numbers of at least 1, got {list(steps)} (clip_metrics.cdc.steps)")

    def describe(self) -> dict[str, Any]:
        """Also say the steps and the number of bins."""
        return {**super().describe(), "steps": list(self.steps), "bins": _LEVELS}

    def value_of(self, fake_rgb: Tensor, rgb: Tensor, motion: Motion | None) -> Tensor:
        """Compute the value; needs one frame more than the largest step."""
        _need_frames(fake_rgb, max(self.steps) + 1, "CDC")
        histograms = _histograms(fake_rgb)
        distances = [jensen_shannon(histograms[:-t], histograms[t:]).mean() for t in self.steps]
        return torch.stack(distances).mean()


class WarpError(ClipMetric):
    """Mean squared error between each frame and the next one warped to it (Lai et al. 2018, "E_warp").

    Over the pixels and channels that the motion's mask leaves, on the [0, 1] scale, mean over pairs. The
    number depends on whose motion it is: Lai et al. take FlowNet2 on colour, here the protocol says (`flow`).
    Luma is the same for all methods and is most of it.
    """

    higher_is_better = False
    needs_truth = False
    decimals = 6

    def value_of(self, fake_rgb: Tensor, rgb: Tensor, motion: Motion | None) -> Tensor:
        """Compute the value; needs two frames and the motion."""
        errors, visible = _warped_differences(fake_rgb, motion, "WarpError")
        return _masked_mean(errors.square().mean(dim=1, keepdim=True), visible)


class ChromaFlicker(ClipMetric):
    """Mean distance in the a, b plane of CIE Lab between each frame and the next one warped to it.

    Over the pixels that the motion's mask leaves, mean over pairs. Luma, the same for all methods, plays no part.
    """

    higher_is_better = False
    needs_truth = False
    decimals = 3

    def value_of(self, fake_rgb: Tensor, rgb: Tensor, motion: Motion | None) -> Tensor:
        """Compute the value; needs two frames and the motion."""
        differences, visible = _warped_differences(rgb_to_lab(fake_rgb)[:, 1:], motion, "ChromaFlicker")
        return _masked_mean(differences.square().sum(dim=1, keepdim=True).sqrt(), visible)


def _need_frames(frames: Tensor, least: int, metric: str) -> None:
    if len(frames) < least:
        raise ValueError(f"{metric} needs clips of at least {least} frames, got {len(frames)}")


def _warped_differences(planes: Tensor, motion: Motion | None, metric: str) -> tuple[Tensor, Tensor]:
    _need_frames(planes, 2, metric)
    if motion is None or motion.flow.shape != (len(planes) - 1, 2, *planes.shape[-2:]):
        got = "none" if motion is None else tuple(motion.flow.shape)
        raise ValueError(f"{metric} needs the motion of {len(planes)} frames of {tuple(planes.shape[-2:])}, got {got}")
    motion = motion.to(planes.device)
    return warp(planes[1:], motion.flow) - planes[:-1], motion.visible


def _masked_mean(values: Tensor, visible: Tensor) -> Tensor:
    """Average over the visible pixels of each pair, then over pairs; 0 where nothing is visible (Lai et al.)."""
    mask = visible.double()
    return ((values * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp_min(1)).mean()


def _histograms(frames: Tensor) -> Tensor:
    """Compute the share of the pixels at each 8-bit level, (T, 3, 256) in double precision."""
    levels = (frames * 255).round().long().flatten(2).cpu().numpy()
    counts = [[np.bincount(channel, minlength=_LEVELS) for channel in frame] for frame in levels]
    return torch.from_numpy(np.array(counts) / levels.shape[2])
