"""What an Optuna study is told, and what it answers."""

from types import SimpleNamespace

import pytest

from colorgan.callbacks import PruneTrial

optuna = pytest.importorskip("optuna")


@pytest.fixture
def study(tmp_path):
    """A study with five trials that have got down to 0 at step 9."""
    study = optuna.create_study(study_name="sweep", storage=f"sqlite:///{tmp_path}/study.db")
    for _ in range(5):
        trial = study.ask()
        trial.report(0.0, 9)
        study.tell(trial, 0.0)
    return study


def validate(study, tmp_path, value, *, trains=("generator",)):
    """Report a value of a new trial at step 3 of a stage that starts behind step 6; returns the trial's values."""
    trial = study.ask()
    callback = PruneTrial(sweep="sweep", storage=f"sqlite:///{tmp_path}/study.db", id=trial._trial_id, objective="kid")
    trainer = SimpleNamespace(is_global_zero=True, callback_metrics={"val/kid": value})
    try:
        callback.on_validation_end(trainer, SimpleNamespace(trains=trains, first_step=6, steps=3))
    finally:
        values = study.trials[trial.number].intermediate_values
    return values


def test_the_objective_is_reported_at_the_step_of_the_whole_schedule(study, tmp_path):
    assert validate(study, tmp_path, -1.0) == {9: -1.0}


def test_a_trial_behind_the_others_is_ended(study, tmp_path):
    with pytest.raises(optuna.TrialPruned, match="kid 5 at step 9"):
        validate(study, tmp_path, 5.0)


def test_stages_that_do_not_train_the_generator_tell_nothing(study, tmp_path):
    assert validate(study, tmp_path, 5.0, trains=("discriminator",)) == {}
