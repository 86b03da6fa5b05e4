"""Sweep: make many runs with one command, `python train.py -m KEY=A,B`, each in its own folder, and tabulate them.

    runs/<sweep>/<trial>/   a run folder as any other, named after what was swept
                 study.db   with `sweep=optuna`: its trials

What Hydra's own sweepers do not do: a trial keeps its folder when the command is given again, so that finished ones
are recognised and stopped ones go on; a trial that fails is written down and stops no other; and a trial can be
pruned. The Optuna plugin of Hydra asks for Optuna 2 and hides the trial from the run, so there is no pruning with it.
"""

import hashlib
import re
import sys
import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from colorgan.config import check_name
from colorgan.errors import one_line
from colorgan.files import write_json

if TYPE_CHECKING:
    pass

_LONGEST_NAME = 120  # characters; a file system allows 255, and pictures and logs add theirs


def trial_name(swept: Mapping[str, str]) -> str:
    """Name the folder of a trial after its values by key, whatever the order in which they were typed.

    Keys are cut to their last part where that is not ambiguous. What a file name cannot hold, or is too long, is
    replaced, and a hash of the whole then tells names apart.
    """
    keys = sorted(swept, key=lambda key: (key == "seed", key))
    last = [key.rpartition(".")[2].lstrip("+") for key in keys]
    short = [end if last.count(end) == 1 else key.lstrip("+") for key, end in zip(keys, last, strict=True)]
    exact = ",".join(f"{name}={swept[key]}" for name, key in zip(short, keys, strict=True))
    name = re.sub(r"[^\w.,=+-]", "_", exact)[:_LONGEST_NAME]
    return name if name == exact else f"{name}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


class TrialSweeper(Sweeper):
    """Launch trials, write down those that fail, print a table; how trials are chosen is for subclasses.

    Args:
        params: sweeps by key, as one would type them; the command line comes after.
    """

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params = dict(params or {})
        self.num_launched, self.failures = 0, dict[str, str]()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Build the launcher; Hydra calls this before `sweep`."""
        self.config, self.hydra_context = config, hydra_context
        self.common: DictConfig = config  # what all trials share
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run all trials, print the table.

        Raises:
            ValueError: the folder of the sweep is a run, or what is swept makes no trials.
            SystemExit: with 1, trials failed.
        """
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        by_key = {o.get_key_element(): o for o in overrides}  # of a key that comes twice, the last counts
        swept = {key: override for key, override in by_key.items() if override.is_sweep_override()}
        fixed = {key: o.get_value_element_as_str() for key, o in by_key.items() if key not in swept}
        if own := {"name", "runs_dir"} & swept.keys():
            raise ValueError(f"{own.pop()} cannot be swept: trials are named after what is")
        if "test_size" in swept:
            raise ValueError("test_size cannot be swept: trials are compared at one size")
        fixed.pop("name", None)
        HydraConfig.instance().set_config(self.common)  # the default name reads the chosen experiment from it
        self.name = str(self.common.name) if "name" in by_key else f"{self.common.name}-sweep"
        check_name(self.name)
        self.folder, self.fixed = Path(self.common.runs_dir) / self.name, fixed
        self.test_size = self.common.test_size or _last_size(self.common.schedule)
        fixed["test_size"] = str(self.test_size or "null")  # else each trial is measured at the size it trained at
        if (self.folder / "config.yaml").exists():
            raise ValueError(f"{self.folder} is a run; give the sweep its own folder with name=...")
        self.run_trials(swept)
        if self.common.plan is False:
            self._report()

    @abstractmethod
    def run_trials(self, swept: Mapping[str, Override]) -> None:
        """Launch what is to be tried."""

    def launch(self, trials: Sequence[Mapping[str, str]], extra: Sequence[Sequence[str]] = ()) -> list[JobReturn]:
        """Run trials, side by side if the launcher does, and write failures down.

        Args:
            trials: swept values by key.
            extra: further overrides of each.
        """
        names = [trial_name(trial) for trial in trials]
        jobs = []
        for number, (name, trial) in enumerate(zip(names, trials, strict=True)):
            given = [f"{key}={value}" for key, value in {**self.fixed, **trial}.items()]
            own = [f"name={quoted(f'{self.name}/{name}')}", f"+trial.sweep={quoted(self.name)}"]
            jobs.append([*given, *own, *(extra[number] if extra else ())])
            (self.folder / name / "failed.json").unlink(missing_ok=True)
        self.validate_batch_is_legal(jobs)  # a mistyped key fails now
        done = list(self.launcher.launch(jobs, initial_job_idx=self.num_launched))
        self.num_launched += len(jobs)
        for name, job in zip(names, done, strict=True):
            if job.status == JobStatus.FAILED:
                self._write_down(name, job._return_value)
        return done

    def _write_down(self, name: str, error: Exception) -> None:
        state = "pruned" if type(error).__name__ == "TrialPruned" else "failed"
        if state == "failed":
            self.failures[name] = one_line(error)
            print(f"{self.folder / name} failed: {one_line(error)}", file=sys.stderr)
        trace = "".join(traceback.format_exception(error))
        facts = {"state": state, "error": one_line(error), "traceback": trace}
        write_json(self.folder / name / "failed.json", facts)

    def _report(self) -> None:
        from colorgan.sweeps.runs import find_runs
        from colorgan.sweeps.sections import print_runs

        print_runs(find_runs(self.folder))
        if self.failures:
            print(f"error: {len(self.failures)} of {self.num_launched} trials failed (failed.json)", file=sys.stderr)
            sys.exit(1)


class GridSweeper(TrialSweeper):
    """Try all combinations of the values given."""

    def run_trials(self, swept: Mapping[str, Override]) -> None:
        """Launch a trial for each combination."""
        if endless := [key for key, override in swept.items() if not override.is_discrete_sweep()]:
            raise ValueError(f"{endless[0]} is an interval, which only sweep=optuna can search; give values: a,b,c")
        values = [list(override.sweep_string_iterator()) for override in swept.values()]
        self.launch([dict(zip(swept, combination, strict=True)) for combination in product(*values)])


def _last_size(schedule: DictConfig) -> int | None:
    """Find the size of the last stage; None where the schedule is wrong, as each trial will say."""
    names = [*schedule.first, *(schedule.repeat if schedule.times else [])]
    return schedule.stages[names[-1]].image_size if names and names[-1] in schedule.stages else None


def quoted(text: str) -> str:
    """Quote text for an override."""
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"
