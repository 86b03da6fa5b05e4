"""Rules that choose the snapshot of a GAN stage: pure functions of what the stage observed at each validation.

DeOldify's author chose the moment by eye and found no rule. These six come from neighbouring fields; what each is
worth here was measured by benchmarks/inflection_study.py (docs/results.md). A rule that has seen enough says so
(`Choice.over`), and training may end: later observations could change the choice of `one_standard_error` alone, should
what three of them in a row spoiled become better than ever.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Observation = Mapping[str, float | list[float]]  # `step`, and what `metrics.observation.observe` measures
Series = Sequence[Observation]  # in the order of the steps; the first one may be that of step 0, to compare with


@dataclass(frozen=True)
class Choice:
    """What a rule makes of a series.

    Attributes:
        step: of the snapshot that it chooses.
        curve: what it looks at, by step.
        over: whether it has seen enough.
        level: the value of the curve that decides; None if there is no single one.
    """

    step: int
    curve: Mapping[int, float]
    over: bool
    level: float | None = None


Rule = Callable[[Series], Choice]


def held_out_critic(series: Series, *, errors: float = 2.0) -> Choice:
    """Stop before the critic judges held-out photos less like its own than it did at first (ADA's r_v).

    The first step with r_v > r_v of the first observation + `errors` standard errors, and the snapshot before it.

    Note: Karras et al. 2020 steer augmentation by it, they do not stop. Once the generator has beaten the critic there
    is no ratio, and the rule sees nothing more.
    """
    level = _number(series[0], "critic_overfit") + errors * _number(series[0], "critic_overfit_error")
    return _before_the_first(series, "critic_overfit", lambda index, value: value > level, level)


def fresh_critic(series: Series, *, errors: float = 1.64) -> Choice:
    """Choose the pictures that a critic trained anew tells worst from photos (classifier two-sample test).

    The smallest accuracy of a snapshot before it has risen `errors` standard errors, sqrt(acc (1 - acc) / groups of
    photos), above it. It sees what losses hide: a generator that beats its own critic while a new one finds it easier.
    """
    series = _snapshots(series)
    accuracy = _column(series, "fresh_accuracy")
    groups = _number({"num_groups": 100.0, **series[0]}, "num_groups")  # a panel's, where an older record says none
    best = 0
    for index, value in enumerate(accuracy):
        if value > accuracy[best] + errors * math.sqrt(accuracy[best] * (1 - accuracy[best]) / groups):
            return _chosen(series, "fresh_accuracy", best, over=True)
        if value < accuracy[best]:
            best = index
    return _chosen(series, "fresh_accuracy", best, over=False)


def duality_gap(series: Series, *, confirmed_by: int = 2) -> Choice:
    """Choose the first snapshot at a minimum of the duality gap, a running median of three, below so many later values.

    `duality_gap` is measured by `evaluation.duality` (Grnarova et al. 2019): it trains, so a stage does not record it.
    """
    series = _snapshots(series)
    gaps = _column(series, "duality_gap")
    smooth = [float(np.median(gaps[max(0, i - 1) : i + 2])) for i in range(len(gaps))]
    curve = {_step(observation): value for observation, value in zip(series, smooth, strict=True)}
    for index in range(len(smooth) - confirmed_by - 1):  # the median at the end still changes
        later = smooth[index + 1 : index + 1 + confirmed_by]
        if smooth[index] <= min(later) and smooth[index] < later[-1]:
            return Choice(_step(series[index]), curve, over=True)
    return Choice(_step(series[int(np.argmin(smooth))]), curve, over=False)


def artefact_area(series: Series, *, deviations: float = 3.0, least_steps: int = 5, floor: float = 1e-3) -> Choice:
    """Stop before the area of new colour contrast jumps (DeSRA, Xie et al. 2023, against the generator before the GAN).

    A jump is a growth of more than `deviations` median absolute deviations above the median growth so far, and more
    than `floor` of the picture.
    """
    area = _column(series, "artefact_area")
    growth = np.diff(area)

    def jumps(index: int, value: float) -> bool:
        earlier = growth[: max(index - 1, 0)]
        if len(earlier) < least_steps:
            return False
        usual = float(np.median(earlier))
        deviation = float(np.median(np.abs(earlier - usual)))
        return bool(growth[index - 1] > usual + max(deviations * deviation, floor))

    return _before_the_first(series, "artefact_area", jumps)


def one_standard_error(series: Series, *, difference: float = 0.15, harm: float = 0.1) -> Choice:
    """Choose the earliest snapshot whose colours are as good as the best one's, within a standard error.

    The first whose `chroma_distance` exceeds the smallest by at most the standard error of this difference, on the same
    resampled photos, with colorfulness within `difference` of the photos' and CIEDE2000 at most 1 + `harm` times that
    of the generator before the GAN; where none meets the last two, the first alone counts. The earliest, as artefacts
    come later (after the 1-SE rule of Breiman et al. 1984, whose error is that of the best alone).
    """
    series = _snapshots(series)
    distance = _column(series, "chroma_distance")
    best = int(np.argmin(distance))
    replicates = np.array([observation["chroma_distance_replicates"] for observation in series])
    errors = (replicates - replicates[best]).std(axis=1)
    near = [index for index, value in enumerate(distance) if value <= distance[best] + errors[index]]
    colorful = np.array(_column(series, "colorfulness")) / np.array(_column(series, "colorfulness_truth"))
    harmed = np.array(_column(series, "ciede2000")) / np.array(_column(series, "ciede2000_twin"))
    sound = [index for index in near if abs(colorful[index] - 1) <= difference and harmed[index] <= 1 + harm]
    over = near[-1] < len(series) - 3
    return _chosen(series, "chroma_distance", (sound or near)[0], over=over)


def chroma_law(series: Series, *, rises: int = 3) -> Choice:
    """Stop before colours leave the law of the photos' colours: hue x chroma, and how colourful they are.

    At the first step at which the divergence of the histograms has risen `rises` times in a row (the snapshot before
    the rise is chosen) or colorfulness has passed the photos' (the one before).
    """
    divergence = _column(series, "chroma_divergence")
    colorful, truth = _column(series, "colorfulness"), _column(series, "colorfulness_truth")
    for index in range(len(series)):
        if index and colorful[index] > truth[index]:
            return _chosen(series, "chroma_divergence", index - 1, over=True)
        if index >= rises and all(divergence[i] > divergence[i - 1] for i in range(index - rises + 1, index + 1)):
            return _chosen(series, "chroma_divergence", index - rises, over=True)
    return _chosen(series, "chroma_divergence", len(series) - 1, over=False)


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (held_out_critic, fresh_critic, duality_gap, artefact_area, one_standard_error, chroma_law)
}
NEEDS = {
    "held_out_critic": "critic_overfit",
    "fresh_critic": "fresh_accuracy",
    "duality_gap": "duality_gap",
    "artefact_area": "artefact_area",
    "one_standard_error": "chroma_distance_replicates",
    "chroma_law": "chroma_divergence",
}


def choose(rule: str, series: Series) -> Choice | None:
    """Let a rule choose; None where nothing of what it looks at was observed, after the step 0."""
    known = [observation for observation in series if _is_known(observation.get(NEEDS[rule]))]
    if not any(_step(observation) for observation in known):
        return None
    choice = RULES[rule](known)
    first = min(_step(observation) for observation in _snapshots(known))
    # A rule that stops before the first snapshot has no other.
    return Choice(max(choice.step, first), choice.curve, choice.over, choice.level)


def _is_known(value: float | list[float] | None) -> bool:
    return bool(value) if isinstance(value, list) else value is not None and math.isfinite(value)


def _number(observation: Observation, name: str) -> float:
    value = observation[name]
    assert not isinstance(value, list)
    return value


def _step(observation: Observation) -> int:
    return int(_number(observation, "step"))


def _snapshots(series: Series) -> Series:
    """Leave out step 0, which has no snapshot: the first steps of a GAN may harm what later ones mend."""
    return [observation for observation in series if _step(observation)]


def _column(series: Series, name: str) -> list[float]:
    return [_number(observation, name) for observation in series]


def _chosen(series: Series, name: str, index: int, *, over: bool, level: float | None = None) -> Choice:
    curve = dict(zip(map(_step, series), _column(series, name), strict=True))
    return Choice(_step(series[index]), curve, over, level)


def _before_the_first(
    series: Series, name: str, ends: Callable[[int, float], bool], level: float | None = None
) -> Choice:
    """Choose the snapshot before the first that `ends` says it is too late at; the last one if there is none."""
    for index, value in enumerate(_column(series, name)):
        if index and ends(index, value):
            return _chosen(series, name, index - 1, over=True, level=level)
    return _chosen(series, name, len(series) - 1, over=False, level=level)
