"""Power-function averages of weights over training, and any other one as a mixture of those kept (EDM2).

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and appendix C. The
average after t steps weighs the network after step s by about s^g. Its *length* is the spread of these weights, as a
share of t: an average of length .10 looks back over about the last tenth of the training, at any time.
"""

from collections.abc import Sequence

import numpy as np

KEPT_LENGTHS = (0.05, 0.10)  # EDM2, training/phema.py
LENGTHS = (0.02, 0.25)  # that can be asked for; at 1 / sqrt(12) = .289 all steps weigh alike


def exponent(length: float) -> float:
    """Compute g of an average from its length: length^2 = (g + 1) / ((g + 2)^2 (g + 3)) (equation 123)."""
    squared = length**-2
    roots = np.roots([1, 7, 16 - squared, 12 - squared])
    return float(roots.real.max())


def decay(step: int, power: float) -> float:
    """Compute the share of the old average that stays at a step, counted from 1, at which it is none."""
    return float((1 - 1 / step) ** (power + 1))


def profile(last: int, power: float, steps: int) -> np.ndarray:
    """Compute what an average kept up to step `last` weighs the networks after step 1, 2 ... `steps` with.

    The updates by `decay` multiply to just this: the integral of the paper's continuous profile over each step.
    """
    edges = np.minimum(np.arange(steps + 1) / last, 1)
    weights: np.ndarray = np.diff(edges ** (power + 1))
    return weights


def solve(kept: Sequence[tuple[int, float]], wanted: tuple[int, float]) -> tuple[np.ndarray, float]:
    """Find the mixture of kept averages that is nearest to another one, by least squares over their profiles.

    The shares add up to 1, some may be negative.

    Args:
        kept: last step and length of each.
        wanted: last step and length.

    Returns:
        The shares, and how far the mixture's profile is from the wanted one: norm of the difference over the norm.
    """
    steps = max(last for last, _ in (*kept, wanted))
    profiles = np.stack([profile(last, exponent(length), steps) for last, length in kept], axis=1)
    target = profile(wanted[0], exponent(wanted[1]), steps)
    # The last share is 1 less the others.
    others, *_ = np.linalg.lstsq(profiles[:, :-1] - profiles[:, -1:], target - profiles[:, -1], rcond=1e-10)
    shares = np.append(others, 1 - others.sum())
    return shares, float(np.linalg.norm(profiles @ shares - target) / np.linalg.norm(target))
