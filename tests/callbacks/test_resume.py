"""Signals, and the file from which a stopped stage goes on."""

import os
import signal
from functools import partial

import pytest
import torch
from stopping import stop_at, words

from colorgan.callbacks import ResumeCheckpoint, ResumeFile
from colorgan.files import Writer
from colorgan.training.schedule import Schedule


def test_a_signal_saves_the_step_and_the_command_goes_on(command, monkeypatch, tmp_path, whole):
    for signum, step, code in [(signal.SIGINT, 3, 130), (signal.SIGTERM, 5, 143)]:
        with monkeypatch.context() as patch:
            stop_at(patch, step, partial(os.kill, os.getpid(), signum))
            got, _, err = command("train", *words(tmp_path, "save_every=1000"))
        assert got == code, err
        assert f"stopped; step {step} of 01-generator_pretrain is saved; the same command goes on" in err
        saved = torch.load(tmp_path / "runs/run/01-generator_pretrain/last.ckpt", weights_only=True)
        assert saved["counts"]["steps"] == step
    assert command("train", *words(tmp_path, "save_every=1000"))[0] == 0
    assert (tmp_path / "runs/run/final.safetensors").read_bytes() == whole


def test_the_requeue_signal_of_slurm_requeues_the_job_and_loses_no_step(smoke, monkeypatch, tmp_path, whole):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    slurm = {"NTASKS": 1, "JOB_NAME": "train", "JOB_ID": 7, "PROCID": 0, "LOCALID": 0, "NNODES": 1, "NODELIST": "here"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    for step in (3, 6):  # in the middle; in the last one, to which no save belongs
        stop_at(monkeypatch, step, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    assert Schedule(smoke("schedule.times=0")).run().read_bytes() == whole
    assert (tmp_path / "requeued").read_text() == 2 * "requeue 7\n"
    assert not list((tmp_path / "runs/run").rglob("hpc_ckpt*"))


def test_what_is_saved_is_the_moment_of_the_save_and_the_one_before_stays(tmp_path):
    writer, weight = ResumeFile(Writer()), torch.zeros(2)
    for step in (1, 2):
        writer.save_checkpoint({"weight": weight, "step": step}, tmp_path / "last.ckpt")
        weight += 1  # training goes on while the file is written
    writer.teardown()
    saved = [torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("previous", "last")]
    assert [(file["step"], file["weight"].tolist()) for file in saved] == [(1, [0, 0]), (2, [1, 1])]


def test_a_save_that_fails_in_its_thread_is_told_at_the_latest_at_the_end(tmp_path):
    (tmp_path / "stage").write_text("a file where a folder is wanted")
    writer = ResumeFile(Writer())
    writer.save_checkpoint({"step": 1}, tmp_path / "stage" / "last.ckpt")
    with pytest.raises(OSError, match="stage"):
        writer.teardown()


def test_a_second_interrupt_stops_at_once(command, monkeypatch, tmp_path):
    stop_at(monkeypatch, 5, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
    code, _, err = command("train", *words(tmp_path))
    assert code == 130
    assert "stopped; the same command goes on from the last saved step" in err


def test_a_save_that_holds_code_is_not_opened(command, tmp_path, stopped):
    class Bomb:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/exploded",))

    torch.save({"state_dict": Bomb()}, stopped / "01-generator_pretrain" / "last.ckpt")
    code, _, err = command("train", *words(tmp_path))
    assert code == 2
    assert "is no file of this run, and is not opened" in err
    assert not (tmp_path / "exploded").exists()


def test_half_written_files_do_not_disturb(smoke, stopped, whole):
    """A crash while `last.ckpt` is being written leaves a temporary name; the save before it counts."""
    (stopped / "01-generator_pretrain" / ".last.ckpt.tmp").write_bytes(b"half")
    with (stopped / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "01-g')
    assert Schedule(smoke("schedule.times=0")).run().read_bytes() == whole


def test_resume_file_is_written_after_the_validation_of_its_step(smoke, monkeypatch):
    saved = []
    save = ResumeCheckpoint._save
    monkeypatch.setattr(
        ResumeCheckpoint, "_save", lambda self, t: (saved.append(t.lightning_module.steps), save(self, t))
    )
    Schedule(smoke("schedule.times=0")).run()
    assert saved == [2, 3, 4]  # every 2; 3 has a validation; 6 is the end
