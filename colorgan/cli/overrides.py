"""Run a command whose words are Hydra overrides."""

import os
import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig

from colorgan.cli.help import help_page
from colorgan.config import CONFIGS
from colorgan.errors import one_line_errors


def run(command: str, task: Callable[[DictConfig], float | None], words: Sequence[str]) -> None:
    """Compose a command's config from its words, and run its task on it; or print its help.

    Args:
        command: `train` or `evaluate`, which names the yaml too.
        task: what to do with the config; returns the objective of a sweep.
        words: what was typed behind the command.
    """
    if {"-h", "--help"} & set(words):
        sys.stdout.write(help_page(command))
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets errors through, and `one_line_errors` words them
    typed = sys.argv

    def with_typed_words(config: DictConfig) -> float | None:
        sys.argv = typed  # Lightning starts the other processes of a run by it
        return task(config)

    sys.argv = [typed[0], *words]  # Hydra takes its words from here alone
    try:
        with one_line_errors():
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=command)(with_typed_words)()
    finally:
        sys.argv = typed
