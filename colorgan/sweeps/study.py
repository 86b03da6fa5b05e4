"""Sweep by an Optuna study: it suggests trials, prunes them, and goes on where it was stopped."""

import time
from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import OmegaConf

from colorgan.sweeps.sweepers import TrialSweeper, quoted, trial_name

if TYPE_CHECKING:
    import optuna


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
                + [f"+trial.storage={quoted(str(self.storage))}", f"+trial.id={trial._trial_id}"]
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
