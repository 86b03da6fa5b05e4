"""Observe a generator in the middle of adversarial training: the numbers by which rules choose when to stop."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from colorgan.color import colorfulness, quantize
from colorgan.metrics.artefacts import artefact_areas
from colorgan.metrics.base import resampling_counts, weighted_means
from colorgan.metrics.chroma import ChromaDistance
from colorgan.metrics.fidelity import CIEDE2000
from colorgan.metrics.fresh_critic import fresh_accuracy
from colorgan.metrics.histograms import hue_by_chroma, jensen_shannon, orange_share

_REPLICATES, _KEPT_REPLICATES = 200, 100
_AT_ONCE = 32  # photos that a discriminator judges


@dataclass(frozen=True)
class ObservedPhotos:
    """What an observation looks at; all on the CPU.

    Attributes:
        gray: (N, 1, H, W) of photos that are held out.
        rgb: (N, 3, H, W), these photos.
        twin_rgb: their pictures by the generator before adversarial training.
        groups: (N,), the number of each photo's group, as crops of one photo are no independent evidence.
        seen_gray: of photos that are trained on; None where these cannot be had.
        seen_rgb: these photos.
        seen_groups: the number of each one's group.
    """

    gray: Tensor
    rgb: Tensor
    twin_rgb: Tensor
    groups: Tensor
    seen_gray: Tensor | None = None
    seen_rgb: Tensor | None = None
    seen_groups: Tensor | None = None

    @cached_property
    def unchanging(self) -> dict[str, float]:
        """Measure what is the same at each observation."""
        difference = CIEDE2000()
        difference.update(self.twin_rgb, self.rgb)
        truth = float(colorfulness(quantize(self.rgb)).mean())
        return {"ciede2000_twin": float(difference.compute()), "colorfulness_truth": truth}


@torch.no_grad()
def observe(
    fake_rgb: Tensor, discriminator: nn.Module | None, photos: ObservedPhotos
) -> dict[str, float | list[float]]:
    """Measure what the rules of `evaluation.inflection` look at; a function of its arguments, nothing is drawn.

    Args:
        fake_rgb: (N, 3, H, W) in [0, 1], pictures of the held-out photos.
        discriminator: of the training, in eval mode; None to leave out what needs it.
        photos: the photos, and the twin's pictures.

    Returns:
        Numbers by name: `critic_overfit` (r_v of ADA) and `critic_overfit_error`, `critic_real`, `critic_fake`,
        `critic_seen` (mean logits), `fresh_accuracy`, `artefact_area`, `chroma_distance`, `ciede2000` and the
        twin's, `colorfulness` and the photos', `chroma_divergence`, `orange` (times the photos'), `num_groups`.
        `chroma_distance_replicates`: of 100 resampled sets of groups, the same ones at each observation, less those
        that hold one group alone, of which there is no distance.
        The first two are missing where the discriminator does not tell photos that it trained on from pictures.
    """
    fake_rgb, rgb = quantize(fake_rgb), quantize(photos.rgb)
    distance, difference = ChromaDistance(), CIEDE2000()
    distance.update(fake_rgb, rgb)
    difference.update(fake_rgb, rgb)
    groups, num_groups = photos.groups, int(photos.groups.max()) + 1
    replicates = distance.replicates(resampling_counts(num_groups, _KEPT_REPLICATES), groups).tolist()
    return {
        **photos.unchanging,
        **_judged(fake_rgb, discriminator, photos),
        "num_groups": float(num_groups),
        "fresh_accuracy": fresh_accuracy(fake_rgb, rgb, groups),
        "artefact_area": float(artefact_areas(fake_rgb, photos.twin_rgb).mean()),
        "chroma_distance": float(distance.over_groups(groups)),
        "chroma_distance_replicates": [round(value, 3) for value in replicates if math.isfinite(value)],
        "ciede2000": float(difference.compute()),
        "colorfulness": float(colorfulness(fake_rgb).mean()),
        "chroma_divergence": float(jensen_shannon(hue_by_chroma(fake_rgb), hue_by_chroma(rgb))),
        "orange": orange_share(fake_rgb) / max(orange_share(rgb), 1e-6),
    }


def _judged(fake_rgb: Tensor, discriminator: nn.Module | None, photos: ObservedPhotos) -> dict[str, float]:
    """Say how a discriminator judges photos that it has trained on, others, and pictures of the others.

    r_v = (E D(seen) - E D(held out)) / (E D(seen) - E D(pictures)) of Karras et al. 2020 (ADA): 0 where it judges
    photos that it never saw like its own, 1 where it takes them for pictures. It means nothing, and is left out, where
    the denominator is within a standard error of 0 or below.
    """
    if discriminator is None or photos.seen_rgb is None or photos.seen_gray is None or photos.seen_groups is None:
        return {}
    seen = _mean_logits(discriminator, photos.seen_rgb, photos.seen_gray)
    real = _mean_logits(discriminator, photos.rgb, photos.gray)
    fake = _mean_logits(discriminator, fake_rgb, photos.gray)
    of_real, of_fake = (_resampled_means(logits, photos.groups, seed=0) for logits in (real, fake))  # the same photos
    of_seen = _resampled_means(seen, photos.seen_groups, seed=1)
    judged = {"critic_seen": seen.mean(), "critic_real": real.mean(), "critic_fake": fake.mean()}
    values = {name: float(value) for name, value in judged.items()}
    told = float(seen.mean() - fake.mean())
    if told > float((of_seen - of_fake).std()):
        overfit = (of_seen - of_real) / (of_seen - of_fake).clamp_min(1e-3)
        values["critic_overfit"] = float(seen.mean() - real.mean()) / told
        values["critic_overfit_error"] = float(overfit.std())
    return values


def _resampled_means(logits: Tensor, groups: Tensor, *, seed: int) -> Tensor:
    """Average logits over resampled sets of groups."""
    drawn = resampling_counts(int(groups.max()) + 1, _REPLICATES, seed=seed)
    return weighted_means(logits, drawn, groups)


def _mean_logits(discriminator: nn.Module, rgb: Tensor, gray: Tensor) -> Tensor:
    """Compute the mean logit of each image, (N,) in double precision."""
    device = next((weight.device for weight in discriminator.parameters()), rgb.device)
    pairs = zip(torch.split(rgb, _AT_ONCE), torch.split(gray, _AT_ONCE), strict=True)
    logits = [discriminator(x.to(device), y.to(device)).flatten(1).mean(dim=1) for x, y in pairs]
    return torch.cat(logits).cpu().double()
