"""Tell pictures from photos by a small critic, trained anew each time, that no generator has fooled yet."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from colorgan.color import quantize, rgb_to_lab
from colorgan.networks import TimmPyramid

_GRID = 4  # places a side; each is one item to tell
_AB_BINS, _AB_LIMIT = 6, 60.0  # of the histogram of a and b in CIE Lab, each way
_PENALTY, _NEWTON_STEPS = 10.0, 8


@torch.no_grad()
def fresh_accuracy(fake_rgb: Tensor, rgb: Tensor, groups: Tensor | None = None) -> float:
    """Compute how often a fresh critic tells a place of a photo from the same place of its picture; chance is .5.

    A classifier two-sample test (Lopez-Paz and Oquab 2017): logistic regression on the means and deviations of the
    first two maps of EfficientNet-Lite0 and on a histogram of a and b, over 4x4 places a photo. It is trained on the
    photos of every other group and tested on the rest, then the other way round. Nothing is drawn.

    Args:
        fake_rgb: (N, 3, H, W) in [0, 1], on the CPU.
        rgb: the photos that they were made from.
        groups: (N,), the number of each photo's group, counted from 0; None: each photo is one of its own.

    Returns:
        The share told; NaN for fewer than two groups.
    """
    groups = torch.arange(len(rgb)) if groups is None else groups
    if int(groups.max()) == 0:
        return float("nan")
    features = torch.stack([_features(quantize(images)) for images in (rgb, fake_rgb)])  # (2, N, places, F)
    halves = features[:, groups % 2 == 0], features[:, groups % 2 == 1]
    right = [_right(halves[trained], halves[1 - trained]) for trained in (0, 1)]
    return float(torch.cat(right).double().mean())


def _right(train: Tensor, test: Tensor) -> Tensor:
    """Train on photos and pictures (2, N, places, F); list for each place of the others whether it was told."""
    mean, deviation = train.mean(dim=(0, 1, 2)), train.std(dim=(0, 1, 2)).clamp_min(1e-6)
    labels = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat_interleave(train[0, ..., 0].numel())
    weights = _logistic(_with_one((train - mean) / deviation), labels)
    scores = (_with_one((test - mean) / deviation) @ weights).view(2, -1)
    return torch.cat([scores[0] > 0, scores[1] <= 0])


def _with_one(features: Tensor) -> Tensor:
    flat = features.flatten(0, -2).clamp(-6, 6)
    return torch.cat([flat, flat.new_ones(len(flat), 1)], dim=1)


def _logistic(inputs: Tensor, labels: Tensor) -> Tensor:
    """Fit a logistic regression with an L2 penalty by Newton's method: no autograd, no chance."""
    weights = inputs.new_zeros(inputs.shape[1])
    penalty = _PENALTY * torch.eye(len(weights), dtype=inputs.dtype)
    for _ in range(_NEWTON_STEPS):
        shares = torch.sigmoid(inputs @ weights)
        gradient = inputs.T @ (shares - labels) + _PENALTY * weights
        curvature = inputs.T @ (inputs * (shares * (1 - shares)).unsqueeze(1)) + penalty
        weights = weights - torch.linalg.solve(curvature, gradient)
    return weights


def _features(rgb: Tensor) -> Tensor:
    """Describe each place of each image, (N, places, F) in double precision."""
    network = _shallow_network()
    return torch.cat([_of_batch(network, part) for part in torch.split(rgb, 32)])


def _of_batch(network: TimmPyramid, rgb: Tensor) -> Tensor:
    described = []
    for values in network(rgb):
        mean, square = (F.adaptive_avg_pool2d(power, _GRID) for power in (values, values.square()))
        described += [mean, (square - mean.square()).clamp_min(0).sqrt()]
    maps = torch.cat(described, dim=1).flatten(2).transpose(1, 2).double()
    return torch.cat([maps, _histograms_of_ab(rgb)], dim=2)


def _histograms_of_ab(rgb: Tensor) -> Tensor:
    """Count a and b in each place: shares, (N, places, bins)."""
    count, _, height, width = rgb.shape
    ab = rgb_to_lab(rgb)[:, 1:].clamp(-_AB_LIMIT, _AB_LIMIT)
    level = ((ab + _AB_LIMIT) * (_AB_BINS / (2 * _AB_LIMIT))).long().clamp(max=_AB_BINS - 1)
    row, column = (torch.arange(size, device=rgb.device) * _GRID // size for size in (height, width))
    place = row.view(-1, 1) * _GRID + column + torch.arange(count, device=rgb.device).view(-1, 1, 1) * _GRID**2
    bins = (place * _AB_BINS + level[:, 0]) * _AB_BINS + level[:, 1]
    counts = torch.bincount(bins.flatten(), minlength=count * _GRID**2 * _AB_BINS**2).double()
    counts = counts.view(count, _GRID**2, _AB_BINS**2)
    return counts / counts.sum(dim=2, keepdim=True)


@lru_cache(maxsize=1)
def _shallow_network() -> TimmPyramid:
    # Building a network draws numbers, and validation makes tensors that no gradient may meet later.
    with torch.random.fork_rng(), torch.inference_mode(False):
        network = TimmPyramid("tf_efficientnet_lite0", weights="package", layers=[0, 1])
    return network.eval().requires_grad_(False)
