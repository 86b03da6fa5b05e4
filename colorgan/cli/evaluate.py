"""`colorgan evaluate` and `evaluate.py`: compose a config from overrides, measure checkpoints, write a report."""

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from colorgan.cli.overrides import run


def main(words: Sequence[str] | None = None) -> None:
    """Run the command with overrides, those typed unless some are given."""
    run("evaluate", _evaluate, sys.argv[1:] if words is None else words)


def _evaluate(config: DictConfig) -> None:
    """Measure the checkpoints of a config, print the tables, write the report."""
    from colorgan.evaluation.compare import compare, write_report  # here, so that a mistake is answered at once
    from colorgan.evaluation.report import print_table

    tables = compare(config)
    for table, _ in tables:
        print_table(table)
    report = write_report(tables, Path(config.out), with_truth=config.truth)
    sys.stdout.write(f"report with paired tests and pictures: {report}\n")
