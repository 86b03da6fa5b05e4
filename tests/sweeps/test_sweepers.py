"""Sweeps as people type them: `python train.py -m ...`; grid, joblib and Optuna, killed and resumed."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from colorgan.sweeps.runs import find_runs
from colorgan.sweeps.study import _create_study
from colorgan.sweeps.sweepers import trial_name
from colorgan.training.run_folder import locked

optuna = pytest.importorskip("optuna", reason="pip install -e .[sweep]")
ROOT = Path(__file__).parents[2]
STAGE = "schedule.stages.generator_pretrain"


@pytest.fixture
def words(tmp_path):
    """A smoke run of one stage of two steps."""
    places = [f"runs_dir={tmp_path}/runs", f"data.cache_dir={tmp_path}/cache", "trainer.enable_progress_bar=false"]
    return ["experiment=smoke", *places, "schedule.times=0", f"{STAGE}.steps=2"]


def test_names_follow_from_values_not_from_the_order_typed():
    assert trial_name({"seed": "0", "a.rate": "0.5"}) == trial_name({"a.rate": "0.5", "seed": "0"}) == "rate=0.5,seed=0"


def test_names_tell_apart_what_file_systems_cannot():
    assert trial_name({"a.lr": "1", "b.lr": "1"}) == "a.lr=1,b.lr=1"
    names = {trial_name({"path": value}) for value in ("a/b", "a b", "a_b", "x" * 500, "x" * 501)}
    assert len(names) == 5
    assert all("/" not in name and len(name) < 140 for name in names)


@pytest.mark.slow
def test_a_failing_trial_stops_no_other_and_the_table_follows(command, words, tmp_path):
    code, out, err = command("train", "-m", *words, "name=heads", "generator.head=hsv,lab")
    assert code == 1, err
    assert "1 of 2 trials failed" in err
    good, bad = (tmp_path / "runs" / "heads" / f"head={head}" for head in ("lab", "hsv"))
    assert f"{bad}: failed: head='hsv' is unknown; allowed: chroma, lab, rgb" in out
    assert str(good) in out.splitlines()[-4] + out.splitlines()[-3] + out.splitlines()[-2]
    assert "Traceback" in json.loads((bad / "failed.json").read_text())["traceback"]
    before = (good / "final.safetensors").stat().st_mtime_ns, (good / "metrics.jsonl").stat().st_mtime_ns

    config = yaml.safe_load((good / "config.yaml").read_text())
    assert config["trial"] == {"sweep": "heads"}
    single = [*words, "generator.head=lab", "name=alone"]
    assert command("train", *single)[0] == 0  # the same run without a sweep: the same networks
    alone = tmp_path / "runs" / "alone" / "final.safetensors"
    assert alone.read_bytes() == (good / "final.safetensors").read_bytes()
    code, _, err = command("train", *single[:-1], "name='heads/head=lab'")
    assert code == 0, err  # and it is recognised as finished under its own name
    assert (good / "metrics.jsonl").stat().st_mtime_ns == before[1]


@pytest.mark.slow
def test_trials_of_other_sizes_are_measured_at_one(command, words, tmp_path):
    scenes = ["data.source.size=48", "data.store_size=48"]
    code, out, err = command("train", "-m", *words, *scenes, "name=sizes", f"{STAGE}.image_size=32,48")
    assert code == 0, err
    runs = find_runs(tmp_path / "runs" / "sizes")
    assert [run.values[f"{STAGE}.image_size"] for run in runs] == [32, 48]
    assert [[m.setting["image_size"] for m in run.measurements] for run in runs] == [[32], [32]]
    assert out.count("(best)") == 1


@pytest.mark.slow
def test_an_objective_that_the_photos_cannot_carry_ranks_nothing(command, words):
    given = [*words, "objective=chroma_distance", "generator.head=lab,rgb"]
    code, out, _ = command("train", "-m", "name=grid", *given)
    assert code == 0
    assert "none is marked as best" in out
    code, _, err = command("train", "-m", "name=study", "sweep=optuna", "hydra.sweeper.num_trials=1", *given)
    assert code == 1
    assert "objective=chroma_distance needs 30 independent groups of photos; here are" in err
    assert "data.validation_share" in err


def test_a_run_whose_objective_is_left_out_says_so_and_ends_well(command, words):
    code, out, err = command("train", *words, "name=alone", "objective=chroma_distance")
    assert code == 0, err
    assert "left out, for want of 30 independent groups of photos" in out
    assert "chroma_distance; so no checkpoint is marked as the best" in out


def test_a_test_size_that_no_photo_has_is_refused_before_training(command, words, tmp_path):
    code, _, err = command("train", *words, "name=large", "test_size=2000")
    assert code == 2
    assert "photos has 2000 px" in err
    assert "test_size" in err
    assert not (tmp_path / "runs" / "large" / "01-generator_pretrain").exists()


@pytest.mark.slow
def test_optuna_does_not_compare_trials_on_other_photos(command, words):
    swept = ["data.validation_share=0.2,0.5", "hydra.sweeper.num_trials=5", "hydra.sweeper.prune=false"]
    code, out, err = command("train", "-m", "sweep=optuna", *words, "name=study", *swept)
    assert code == 1, err
    assert "psnr cannot be compared" in err
    assert "2 tables: on other photos or at another size" in out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["test_size=32,64"], "test_size cannot be swept"),
        (["seed=interval(0,1)"], "seed is an interval, which only sweep=optuna can search"),
        (["name=a,b"], "name cannot be swept"),
        (["sweep=optuna", "seed=0,1"], "sweep=optuna has nothing to search"),
        (["sweep=optuna", "hydra.sweeper.num_trials=0", "generator.head=lab,rgb"], "num_trials=0"),
        (["generatr.head=lab,rgb"], "generatr"),
        (["hydra/launcher=dask", "seed=0,1"], "pip install -e .[sweep]"),
    ],
)
def test_mistakes_get_one_line(command, words, given, message):
    code, _, err = command("train", "-m", *words, *given)
    assert code == 2, err
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_run_is_no_folder_for_a_sweep(command, words, tmp_path):
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "config.yaml").write_text("{}")
    code, _, err = command("train", "-m", *words, "name=run", "seed=0,1")
    assert code == 2
    assert "is a run; give the sweep its own folder" in err


def launch(*words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    )  # fmt: skip


def kill_when(process, condition):
    """SIGKILL to the command and all it started, as soon as something is on disk."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["joblib", "optuna"])  # a grid is joblib's with one process
def test_four_trials_killed_once_all_finish_and_none_is_done_twice(words, tmp_path, way):
    rate = f"{STAGE}.module.optimizer.lr"
    searched = [f"{rate}=1e-4,1e-3", "seed=0,1"]
    if way == "optuna":
        searched = ["generator.head=chroma,lab", f"{rate}=interval(1e-4,1e-3)", "seed=0,1"]
        searched += ["hydra.sweeper.num_trials=2", "hydra.sweeper.prune=false"]
    command = [f"sweep={way}", *words, "save_every=1", "name=sweep", *searched]
    folder = tmp_path / "runs" / "sweep"

    kill_when(launch(*command), lambda: [*folder.glob("*/final.png")] and [*folder.glob("*/0*/last.ckpt")])
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/03-gan/done.json")}
    again = launch(*command)
    out, err = again.communicate()
    assert again.returncode == 0, err
    trials = sorted(path.parent for path in folder.glob("*/final.safetensors"))
    assert len(trials) == 4
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    table = out.splitlines()[-6:]
    assert sum("±" in line and "seed=0" in line for line in table) == 2, out
    assert sum("(best)" in line for line in table) == 1
    if way == "optuna":
        study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder}/study.db")
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
        best = next(line for line in table if "(best)" in line)
        assert str(study.best_params[rate]) in best


@pytest.mark.slow
def test_optuna_prunes_by_validation_and_records_failures(command, words, tmp_path):
    typed = ["-m", "sweep=optuna", *words, "name=study"]
    typed += ["generator.head=chroma,hsv", "loss/pixel=l1,charbonnier", "hydra.sweeper.num_trials=8"]
    code, _, err = command("train", *typed)
    assert code == 1, err
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{tmp_path}/runs/study/study.db")
    states = [trial.state.name for trial in study.trials]
    assert len(states) == 8
    assert all((trial.params["generator.head"] == "hsv") == (trial.state.name == "FAIL") for trial in study.trials)
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert complete
    assert all(trial.intermediate_values.keys() == {2} for trial in complete[:1])
    code, _, err = command("train", *typed, "seed=5")
    assert code == 2
    assert "holds a sweep with another seed: 0, not 5" in err


def _make_study(storage, name, start, answers):
    start.wait()
    try:
        study = _create_study(storage, name, "minimize")
        study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), 0.5)
        answers.put("works")
    except Exception as error:
        answers.put(repr(error))


def test_sweeps_that_begin_together_share_an_optuna_file(tmp_path):
    context = multiprocessing.get_context("fork")
    for attempt in range(4):  # about every second time they met while the tables were made
        start, answers = context.Barrier(2), context.Queue()
        storage = f"sqlite:///{tmp_path}/{attempt}.db"
        processes = [context.Process(target=_make_study, args=(storage, name, start, answers)) for name in "ab"]
        for process in processes:
            process.start()
        assert [answers.get(timeout=60) for _ in processes] == ["works"] * 2
        for process in processes:
            process.join()


def test_a_second_sweep_in_the_same_folder_is_told_of_the_first(command, words, tmp_path):
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()

    def hold():
        with locked(tmp_path / "runs" / "study"):
            held.set()
            done.wait(60)

    process = context.Process(target=hold)
    process.start()
    held.wait(60)
    typed = ["sweep=optuna", *words, "name=study", "generator.head=chroma,lab", "hydra.sweeper.num_trials=1"]
    code, _, err = command("train", "-m", *typed)
    done.set()
    process.join()
    assert code == 2
    assert "another process is at work in" in err
    assert len(err.strip().splitlines()) == 1
