"""`colorgan train` and `train.py`: compose a config from overrides, train, measure."""

import logging
import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from colorgan.cli.overrides import run
from colorgan.config import fix_choices
from colorgan.sweeps.plugins import register_sweepers


def main(words: Sequence[str] | None = None) -> None:
    """Run the command with overrides, those typed unless some are given."""
    register_sweepers()
    run("train", _train, sys.argv[1:] if words is None else words)


def _train(config: DictConfig) -> float | None:
    """Train as a config says; returns the objective, for sweeps."""
    from colorgan.training.run import train  # here, so that a mistyped override is answered at once

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    fix_choices(config)
    finished = train(config)
    return None if finished is None else finished.metrics.get(config.objective)
