"""Tell an Optuna study how a trial does; end the trial when the study says so."""

from typing import TYPE_CHECKING

import pytorch_lightning as pl

from colorgan.stages.base import Stage

if TYPE_CHECKING:
    import optuna


class PruneTrial(pl.Callback):
    """Report the objective after each validation, at the step of the whole schedule; stop a trial that lags behind.

    It finds its trial by the study's storage, so it works in whatever process or machine the run is.

    Args:
        sweep: name of the study.
        storage: its URL.
        id: of the trial in that storage.
        objective: name of a metric of the validation.

    Raises:
        optuna.TrialPruned: in the validation after which the study gives the trial up.
    """

    def __init__(self, *, sweep: str, storage: str, id: int, objective: str) -> None:
        self.sweep, self.storage, self.id, self.objective = sweep, storage, id, objective
        self._trial: optuna.Trial | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Stage) -> None:
        """Report the objective; ask whether to go on."""
        if "generator" not in pl_module.trains or not trainer.is_global_zero:
            return
        import optuna

        if self._trial is None:
            self._trial = optuna.Trial(optuna.load_study(study_name=self.sweep, storage=self.storage), self.id)
        value = float(trainer.callback_metrics[f"val/{self.objective}"])
        step = pl_module.first_step + pl_module.steps
        self._trial.report(value, step)
        if self._trial.should_prune():
            raise optuna.TrialPruned(f"{self.objective} {value:.4g} at step {step}")
