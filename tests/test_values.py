"""Every value of every key is checked against the signature of what it goes to."""

import copy
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from omegaconf import DictConfig, OmegaConf

from colorgan.config import compose
from colorgan.evaluation.compare import EvaluateOptions
from colorgan.ranges import Count, Range, Share
from colorgan.training.options import TrainOptions
from colorgan.values import check_options


class Thing:
    def __init__(self, size: Count, *, share: Share = 0.5, mode: Literal["a", "b"] = "a", others: Sequence[int] = ()):
        pass


class BetterThing(Thing):
    def __init__(self, name: str | None = None, **common: object) -> None:
        super().__init__(**common)


@dataclass
class Options:
    thing: Thing
    weights: Mapping[str, float]
    steps: Annotated[int, Count | None]
    flag: bool = False


THING = {"_target_": "things.BetterThing", "size": 3}
GOOD = {"thing": THING, "weights": {"x": 1}, "steps": None}


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setitem(sys.modules, "things", sys.modules[__name__])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("thing.size", 0, "thing.size=0 must be a whole number of at least 1"),
        ("thing.size", True, "thing.size=True must be a whole number"),
        ("thing.share", 2, "thing.share=2 must be a number of at least 0 and at most 1"),
        ("thing.share", math.nan, "thing.share=nan must be a number"),
        ("thing.mode", "c", "thing.mode='c' must be a, b"),
        ("thing.others", [1, "x"], "thing.others[1]='x' must be a whole number"),
        ("thing.name", 5, "thing.name=5 must be text or null"),
        ("thing.nam", "x", "thing.nam is unknown; BetterThing takes mode, name, others, share, size"),
        ("thing._target_", "things.gone", "thing._target_='things.gone' cannot be imported"),
        ("thing._target_", "builtins.dict", "thing._target_=builtins.dict must be a Thing"),
        ("thing", {}, "thing={} must be a mapping whose _target_ makes a Thing"),
        ("thing", None, "thing=None must be a mapping whose _target_ makes a Thing"),
        ("weights", {"x": "y"}, "weights.x='y' must be a number"),
        ("weights", [1], "weights=[1] must be a mapping"),
        ("steps", 0, "steps=0 must be a whole number of at least 1"),
        ("flag", 1, "flag=1 must be true or false"),
        ("falg", True, "falg is unknown; the config takes flag, steps, thing, weights"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_is_allowed(key, value, message):
    config = OmegaConf.create(GOOD)
    check_options(config, Options)
    OmegaConf.update(config, key, value, merge=False)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        check_options(config, Options)
    assert message in str(error.value)


def test_a_value_taken_from_another_key_is_named_by_that_key():
    thing = {**THING, "size": "${steps}", "share": "${.size}"}
    with pytest.raises(ValueError, match=r"^steps=None must be a whole number of at least 1"):
        check_options(OmegaConf.create({"weights": {}, "thing": thing, "steps": None}), Options)
    thing["size"] = 3
    with pytest.raises(ValueError, match=r"^thing.size=3 must be a number of at least 0 and at most 1"):
        check_options(OmegaConf.create({"weights": {}, "thing": thing, "steps": 1}), Options)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="steps is missing"):
        check_options(OmegaConf.create({key: GOOD[key] for key in ("thing", "weights")}), Options)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [(Range(0), [0, 9], [-1]), (Range(0, 1, above=True), [1], [0, 2]), (Range(0, 1, below=True), [0], [1])],
)
def test_ranges_hold_their_bounds_unless_they_are_open(bounds, inside, outside):
    assert all(value in bounds for value in inside)
    assert not any(value in bounds for value in outside)


def keys_of(node, prefix=""):
    for name in node:
        key = f"{prefix}.{name}".lstrip(".")
        yield key
        if not OmegaConf.is_interpolation(node, name) and isinstance(node[name], DictConfig):
            yield from keys_of(node[name], key)


WRONG = (-1, 0, 1.5, "abc", None, [], {}, "", math.nan, math.inf, 10**30)


@pytest.mark.parametrize(
    ("command", "words", "options"),
    [
        ("train", ["experiment=smoke"], TrainOptions),
        ("train", ["experiment=nogan_archival", "data=hub_stream", "data.path=x", "trainer=ddp"], TrainOptions),
        ("evaluate", ["checkpoints=x", "motion=panel"], EvaluateOptions),
    ],
)
def test_any_value_of_any_key_passes_or_is_refused_by_its_key(command, words, options):
    config, answers = compose(command, *words), []
    for number, key in enumerate(keys_of(config)):
        for value in (WRONG[number % len(WRONG)], WRONG[(number * 7 + 3) % len(WRONG)]):
            changed = copy.deepcopy(config)
            OmegaConf.update(changed, key, value, merge=False, force_add=True)
            answers.append((key, value, refusal(changed, options)))
    refused = [(key, answer) for key, _, answer in answers if answer]
    assert all(key.rpartition(".")[2] in answer for key, answer in refused)
    assert len(answers) > len(refused) > 0.7 * len(answers)


def refusal(config, options):
    try:
        check_options(config, options)
    except ValueError as error:
        return str(error)
    return ""
