"""What a run survives: signals, a second process, damaged files, broken photos, a loss that is not finite."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stopping import run_and_stop

import train
from colorgan.stages.base import Stage
from colorgan.training.run_folder import locked, resume_file
from colorgan.training.schedule import Schedule

ROOT = Path(__file__).parents[2]


def words(tmp_path, *overrides):
    places = [f"runs_dir={tmp_path}/runs", f"data.cache_dir={tmp_path}/cache", "trainer.enable_progress_bar=false"]
    return ["experiment=smoke", "name=run", "schedule.times=0", *places, *overrides]


@pytest.fixture(scope="module")
def undisturbed(smoke_in, tmp_path_factory):
    """The folder of a run that nothing disturbed, a stage long."""
    return Schedule(smoke_in(tmp_path_factory.mktemp("undisturbed"), "schedule.times=0")).run().parent


@pytest.fixture
def whole(undisturbed):
    """Its result."""
    return (undisturbed / "final.safetensors").read_bytes()


def stop_at(monkeypatch, step, act):
    """Do something at the end of a step, before callbacks see it."""
    step_before = Stage.take_step

    def taken(self, *args):
        loss = step_before(self, *args)
        if self.steps == step:
            act()
        return loss

    monkeypatch.setattr(Stage, "take_step", taken)


@pytest.mark.parametrize(("signum", "step", "code"), [(signal.SIGTERM, 5, 143), (signal.SIGINT, 3, 130)])
def test_a_signal_saves_the_step_and_the_same_command_goes_on(script, monkeypatch, tmp_path, whole, signum, step, code):
    with monkeypatch.context() as patch:
        stop_at(patch, step, lambda: os.kill(os.getpid(), signum))
        got, _, err = script(train, *words(tmp_path, "save_every=1000"))
    assert got == code, err
    assert f"stopped; step {step} of 01-generator_pretrain is saved; the same command goes on" in err
    saved = torch.load(tmp_path / "runs/run/01-generator_pretrain/last.ckpt", weights_only=True)
    assert saved["counts"]["steps"] == step
    assert script(train, *words(tmp_path, "save_every=1000"))[0] == 0
    assert (tmp_path / "runs/run/final.safetensors").read_bytes() == whole


@pytest.mark.parametrize("step", [3, 6])  # in the middle; in the last one, to which no save belongs
def test_the_requeue_signal_of_slurm_requeues_the_job_and_loses_no_step(script, monkeypatch, tmp_path, whole, step):
    command = tmp_path / "bin" / "scontrol"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    slurm = {"NTASKS": 1, "JOB_NAME": "train", "JOB_ID": 7, "PROCID": 0, "LOCALID": 0, "NNODES": 1, "NODELIST": "here"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    stop_at(monkeypatch, step, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    code, _, err = script(train, *words(tmp_path))
    assert code == 0, err
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert (tmp_path / "runs/run/final.safetensors").read_bytes() == whole
    assert not list((tmp_path / "runs/run").rglob("hpc_ckpt*"))


def test_a_second_interrupt_stops_at_once(script, monkeypatch, tmp_path):
    stop_at(monkeypatch, 5, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
    code, _, err = script(train, *words(tmp_path))
    assert code == 130
    assert "stopped; the same command goes on from the last saved step" in err


def test_a_second_process_on_a_run_folder_is_refused(script, tmp_path):
    hold = "import sys, time; from pathlib import Path; from colorgan.training.run_folder import locked\n"
    hold += "with locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", hold, str(tmp_path / "runs" / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        code, _, err = script(train, *words(tmp_path))
        assert code == 2
        assert f"another process is at work in {tmp_path}/runs/run (process {other.pid} on " in err
        other.kill()  # the lock goes with the process
        other.wait()
        with locked(tmp_path / "runs" / "run"):
            pass


@pytest.mark.parametrize(("damage", "both"), [("cut", False), ("flipped", True), ("empty", False), ("text", False)])
def test_a_damaged_last_save_gives_way_to_the_one_before(smoke, monkeypatch, caplog, whole, damage, both):
    config = smoke("schedule.times=0")
    run_and_stop(monkeypatch, config, 1, 5)
    folder = Schedule(config).folder / "01-generator_pretrain"
    for name in ("last.ckpt", "previous.ckpt")[: 1 + both]:
        content = bytearray((folder / name).read_bytes())
        if damage == "cut":
            content = content[: len(content) // 2]
        elif damage == "flipped":
            content[len(content) // 2] ^= 1
        else:
            content = b"" if damage == "empty" else b"no checkpoint"
        (folder / name).write_bytes(content)
    assert resume_file(folder) == (None if both else folder / "previous.ckpt")
    assert "last.ckpt is damaged" in caplog.text
    assert Schedule(config).run().read_bytes() == whole


def test_a_save_that_holds_code_is_not_opened(script, monkeypatch, tmp_path, smoke):
    class Bomb:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/exploded",))

    assert_stopped = words(tmp_path)
    with monkeypatch.context() as patch:
        stop_at(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert script(train, *assert_stopped)[0] == 143
    torch.save({"state_dict": Bomb()}, tmp_path / "runs/run/01-generator_pretrain/last.ckpt")
    code, _, err = script(train, *words(tmp_path))
    assert code == 2
    assert "is no file of this run, and is not opened" in err
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_not_finite_stops_and_names_step_and_photos(script, monkeypatch, tmp_path, what):
    loss_of = Stage.weighted_sum

    def poisoned(self, *args):
        total = loss_of(self, *args)
        if self.steps != 4:
            return total
        return total * float("inf") if what == "loss" else total + (total - total.detach()).abs().sqrt()

    monkeypatch.setattr(Stage, "weighted_sum", poisoned)
    code, _, err = script(train, *words(tmp_path))
    assert code == 2
    assert "01-generator_pretrain diverged in step 5" in err
    assert err.count("scene0") == 4
    assert "schedule.stages.generator_pretrain.module.optimizer.lr" in err
    saved = torch.load(tmp_path / "runs/run/01-generator_pretrain/last.ckpt", weights_only=True)
    assert saved["counts"]["steps"] == 4
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_breaks_in_training_is_replaced_and_listed(script, monkeypatch, tmp_path, draw_photos, workers):
    folder = draw_photos(tmp_path / "photos", 12)
    data = ["data=folder", f"data.path={folder}", "data.store_size=null", f"data.num_workers={workers}"]
    data += ["schedule.stages.generator_pretrain.steps=4"]

    def break_one():
        lines = (tmp_path / "runs/run/manifest.csv").read_text().splitlines()
        name = next(line.split(",")[1] for line in lines if line.startswith("train"))
        (folder / name).write_bytes((folder / name).read_bytes()[:500])

    with monkeypatch.context() as patch:
        if workers:  # they have read ahead by then: break it before the first step
            patch.setattr(Stage, "on_fit_start", lambda self, before=Stage.on_fit_start: (before(self), break_one()))
        else:
            stop_at(patch, 1, break_one)
        code, _, err = script(train, *words(tmp_path, *data))
    assert code == 0, err
    assert "1 photos could not be read in training and were replaced" in err
    assert len((tmp_path / "runs/run/skipped.txt").read_text().splitlines()) >= 1


def test_a_folder_of_photos_that_goes_away_stops_the_run(script, monkeypatch, tmp_path, draw_photos):
    folder = draw_photos(tmp_path / "photos", 12)
    data = ["data=folder", f"data.path={folder}", "data.store_size=null"]
    stop_at(monkeypatch, 1, lambda: folder.rename(tmp_path / "elsewhere"))
    code, _, err = script(train, *words(tmp_path, *data))
    assert code == 2
    assert "10 photos in a row cannot be read" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.yaml", "manifest.csv", "done.json", "metrics.jsonl", "handover.safetensors"])
def test_damaged_files_of_a_run_are_explained_or_made_again(script, tmp_path, undisturbed, whole, name):
    run = shutil.copytree(undisturbed, tmp_path / "runs" / "run")
    file = next(path for path in (run / name, run / "01-generator_pretrain" / name) if path.exists())
    file.write_bytes(np.random.default_rng(0).bytes(300))
    code, _, err = script(train, *words(tmp_path))
    if name == "config.yaml":
        assert code == 2
        assert f"{file} is damaged" in err
    else:
        assert code == 0, err
        assert (run / "final.safetensors").read_bytes() == whole


@pytest.mark.slow
def test_a_full_disk_is_explained_and_nothing_is_lost(tmp_path, whole):
    command = [sys.executable, "train.py", *words(tmp_path)]
    limit = 4_000_000  # bytes a file may have, below that of a checkpoint: the errors are those of a full disk

    def narrow():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=narrow)
    assert result.returncode == 2, result.stderr
    assert "make room, then the same command goes on" in result.stderr
    assert "Traceback" not in result.stderr
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "runs/run/final.safetensors").read_bytes() == whole
