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
import time
import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from colorgan.config import check_name
from colorgan.errors import one_line
from colorgan.files import write_json

if TYPE_CHECKING:
    import optuna

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
            own = [f"name={_quoted(f'{self.name}/{name}')}", f"+trial.sweep={_quoted(self.name)}"]
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


class StudySweeper(TrialSweeper):
    """Try what Optuna suggests, with its storage in the sweep's folder and pruning by validations of the objective.

    `seed=0,1` is not searched: each suggestion runs under every seed, and its value is the mean.

    Args:
        params: as in `TrialSweeper`.
        num_trials: suggestions in all, those of earlier commands counted.
        parallel: suggestions tried at once; more than 1 needs a launcher that runs jobs side by side.
        storage: URL of the study; None: a SQLite file in the sweep's folder.
        prune: end trials whose objective lags behind the median of the others at the same step (from the 6th on).
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        num_trials: int = 20,
        parallel: int = 1,
        storage: str | None = None,
        prune: bool = True,
    ) -> None:
        super().__init__(params)
        if num_trials < 1 or parallel < 1:
            raise ValueError(f"num_trials={num_trials} and parallel={parallel} must be at least 1 (hydra.sweeper)")
        self.num_trials, self.parallel, self.storage, self.prune = num_trials, parallel, storage, prune

    def run_trials(self, swept: Mapping[str, Override]) -> None:
        """Go on with trials that were stopped, then ask for new ones."""
        seeds: list[str | None] = [None]
        if "seed" in swept:
            seeds = [*swept["seed"].sweep_string_iterator()]
        searched = {key: override for key, override in swept.items() if key != "seed"}
        if not searched:
            raise ValueError("sweep=optuna has nothing to search: give KEY=interval(a,b), or KEY=a,b")
        from colorgan.training.run_folder import locked

        with locked(self.folder):  # two commands would take up each other's trials
            self._search(self._open_study(swept), searched, seeds)

    def _search(self, study: "optuna.Study", searched: Mapping[str, Override], seeds: list[str | None]) -> None:
        space = {key: _distribution(override) for key, override in searched.items()}
        waiting = [_reopen(study, trial) for trial in study.trials if not trial.state.is_finished()]
        while waiting or len(study.trials) < self.num_trials:
            room = min(self.parallel - len(waiting), self.num_trials - len(study.trials))
            batch = [*waiting[: self.parallel], *(study.ask(space) for _ in range(room))]
            waiting = waiting[self.parallel :]
            self._run_batch(study, batch, seeds)

    def _open_study(self, swept: Mapping[str, Override]) -> "optuna.Study":
        try:
            import optuna
        except ImportError as error:
            raise ValueError("sweep=optuna needs Optuna: pip install -e .[sweep]") from error
        from colorgan.sweeps.sections import higher_is_better

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = self.storage or f"sqlite:///{(self.folder / 'study.db').resolve()}"
        direction: Literal["maximize", "minimize"] = (
            "maximize" if higher_is_better(self.common, self.common.objective) else "minimize"
        )
        study = _create_study(self.storage, self.name, direction)
        # A sampler begins anew with each command: seeded alike, it would suggest again what was tried.
        seed = self.common.seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=self.parallel > 1)
        self._check_study(study, swept)
        return study

    def _check_study(self, study: "optuna.Study", swept: Mapping[str, Override]) -> None:
        """Refuse to add trials that cannot be compared with those of the study."""
        from colorgan.config import flat_values, plain

        config = plain(OmegaConf.masked_copy(self.common, [str(key) for key in self.common if key != "hydra"]))
        searched = {f"sweep of {key}": str(o.input_line).partition("=")[2] for key, o in swept.items()}
        wanted = {"objective": config["objective"], **flat_values(config), **searched}
        before = study.user_attrs.get("config", wanted)
        changed = [key for key in {**before, **wanted} if before.get(key, "<absent>") != wanted.get(key, "<absent>")]
        if changed:
            was, now = (values.get(changed[0], "<absent>") for values in (before, wanted))
            raise ValueError(
                f"{self.storage} holds a sweep with another {changed[0]}: {was}, not {now}; give this "
                "sweep its own folder with name=..., or the old values to go on"
            )
        study.set_user_attr("config", wanted)

    def _run_batch(self, study: "optuna.Study", batch: list["optuna.Trial"], seeds: list[str | None]) -> None:
        """Run each trial under the seeds in turn; one that fails or is pruned under a seed is spared the next."""
        import optuna

        values: dict[int, list[float]] = {trial.number: [] for trial in batch}
        for seed in seeds:
            swept = [{key: str(value) for key, value in trial.params.items()} for trial in batch]
            given = [values_of if seed is None else {**values_of, "seed": seed} for values_of in swept]
            extra = [
                [f"+trial.objective={self.common.objective}"]
                + [f"+trial.storage={_quoted(str(self.storage))}", f"+trial.id={trial._trial_id}"]
                * (self.prune and seed == seeds[0])  # one curve a trial is enough to prune by
                for trial in batch
            ]
            alive = []
            for trial, swept_values, job in zip(batch, given, self.launch(given, extra), strict=True):
                value = job._return_value
                if (
                    isinstance(value, float)
                    and value == value
                    and self._comparable(study, trial_name(swept_values), seed)
                ):
                    values[trial.number].append(value)
                    alive.append(trial)
                else:
                    pruned = isinstance(value, optuna.TrialPruned)
                    study.tell(trial, state=optuna.trial.TrialState[("FAIL", "PRUNED")[pruned]])
            batch = alive
            if not batch:
                return
        for trial in batch:
            study.tell(trial, fmean(values[trial.number]))

    def _comparable(self, study: "optuna.Study", name: str, seed: str | None) -> bool:
        """Tell whether a trial was measured as the first one under this seed was; write down one that was not."""
        from colorgan.sweeps.runs import find_runs

        (run,) = find_runs(self.folder / name)
        measured = [m for m in run.measurements if m.setting["image_size"] == self.test_size][-1]
        photos, setting, key = list(measured.photos), measured.setting, f"measured, seed {seed}"
        first = study.user_attrs.get(key, [photos, setting])
        study.set_user_attr(key, first)
        if [photos, setting] == first:
            return True
        problem = (
            f"measured on {photos[1]} photos, the first trial on {first[0][1]}; these, or how they were measured, "
            f"differ, and {self.common.objective} cannot be compared"
        )
        self._write_down(name, ValueError(problem))
        return False


def register_sweepers() -> None:
    """Tell Hydra of these classes, under the names that configs/hydra/sweeper gives them.

    Hydra makes plugins only of what is called `hydra_plugins.*`, and looks for such a package on the path; a second
    top-level package would be in the way of other people's plugins.
    """
    for sweeper in (GridSweeper, StudySweeper):
        Plugins.instance().class_name_to_class[f"hydra_plugins.colorgan.{sweeper.__name__}"] = sweeper


def _create_study(storage: str, name: str, direction: Literal["maximize", "minimize"]) -> "optuna.Study":
    """Open a study, or make it; another sweep may be making the tables of the same file at this moment."""
    import optuna
    from sqlalchemy.exc import DBAPIError

    for wait_s in (0.5, 1.0, 2.0, 4.0):
        try:
            return optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        except (DBAPIError, RuntimeError):  # the latter where the tables have no version yet
            time.sleep(wait_s)
    return optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)


def _last_size(schedule: DictConfig) -> int | None:
    """Find the size of the last stage; None where the schedule is wrong, as each trial will say."""
    names = [*schedule.first, *(schedule.repeat if schedule.times else [])]
    return schedule.stages[names[-1]].image_size if names and names[-1] in schedule.stages else None


def _reopen(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> "optuna.Trial":
    """Take a stopped trial up again."""
    import optuna

    return optuna.Trial(study, trial._trial_id)


def _distribution(override: Override) -> "optuna.distributions.BaseDistribution":
    """Build what Optuna draws from: numbers of an interval, else the values as they were typed."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        assert low is not None
        assert high is not None
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _quoted(text: str) -> str:
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"
