"""A run folder: whose it is, whether its files are whole, what damage costs."""

import multiprocessing
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from stage_fixture import gan
from stopping import words
from torchmetrics import MetricCollection

from colorgan.checkpoint import read_header, read_tensors
from colorgan.config import differences
from colorgan.evaluation.compare import tabulate
from colorgan.files import Writer, write_text
from colorgan.training.plan import InflectionOptions, PlannedStage, StageEntry
from colorgan.training.run_folder import hand_over, locked, resume_file, save_networks, snapshot_file
from colorgan.training.schedule import Schedule

ROOT = Path(__file__).parents[2]


def test_a_second_process_on_a_run_folder_is_refused(command, tmp_path):
    context = multiprocessing.get_context("fork")
    held = context.Event()

    def hold():
        with locked(tmp_path / "runs" / "run"):
            held.set()
            time.sleep(60)

    other = context.Process(target=hold)
    other.start()
    assert held.wait(60)
    code, _, err = command("train", *words(tmp_path))
    assert code == 2
    assert f"another process is at work in {tmp_path}/runs/run (process {other.pid} on " in err
    other.kill()  # the lock goes with the process
    other.join()
    with locked(tmp_path / "runs" / "run"):
        pass


def test_a_second_process_is_refused_while_the_result_is_measured(command, run, run_words, monkeypatch):
    refused = []

    def try_once():
        try:
            with locked(run):
                pass
        except ValueError:
            sys.exit(7)

    def measure(*arguments, **options):
        other = multiprocessing.get_context("fork").Process(target=try_once)
        other.start()
        other.join()
        refused.append(other.exitcode == 7)
        return tabulate(*arguments, **options)

    monkeypatch.setattr("colorgan.training.run.tabulate", measure)
    code, _, err = command("train", *run_words)
    assert code == 0, err
    assert refused == [True]


@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_last_save_gives_way_to_the_one_before(smoke, stopped, caplog, whole, both):
    folder = stopped / "01-generator_pretrain"
    content = (folder / "last.ckpt").read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for damaged in (content[:middle], b"", b"no checkpoint", flipped):
        (folder / "last.ckpt").write_bytes(damaged)
        assert resume_file(folder) == folder / "previous.ckpt"
        assert caplog.text.count("last.ckpt is damaged") == 1
        caplog.clear()
    if both:
        (folder / "previous.ckpt").write_bytes(flipped)
        assert resume_file(folder) is None
    assert Schedule(smoke("schedule.times=0")).run().read_bytes() == whole


def test_another_config_is_refused_and_says_what_differs(finished, smoke_in, reference):
    before = (finished / "final.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"seed: 0 -> 7.*name="):
        Schedule(smoke_in(reference, "seed=7")).run()
    assert (finished / "final.safetensors").read_bytes() == before


def test_workers_and_logger_may_change_when_a_run_goes_on():
    before = {"data": {"num_workers": 0, "path": "a"}, "logger": {"_target_": "x"}}
    after = {"data": {"num_workers": 2, "path": "b"}, "logger": {"_target_": "y"}}
    assert differences(before, after) == ["data.path: a -> b"]


def test_a_damaged_handover_is_made_again(smoke, finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "runs" / "damaged")
    (folder / "03-gan" / "handover.safetensors").write_bytes(b"half a file")
    final = Schedule(smoke(name="damaged")).run()
    assert final.read_bytes() == (finished / "final.safetensors").read_bytes()


def test_a_snapshot_is_of_its_moment_though_training_goes_on(tmp_path):
    module, writer, go_on = gan(num_steps=8), Writer(), threading.Event()
    module.on_train_end()  # finds the singular vectors
    entry = StageEntry(module=OmegaConf.create(), steps=8, batch_size=4, image_size=32, validate_every=2)
    stage = PlannedStage(1, "gan", entry, 0, tmp_path)
    snapshot_file(stage, 2).parent.mkdir()
    snapshot_file(stage, 2).touch()  # not the first
    module.steps, weight = 4, module.generator.to_color.weight
    before = weight.detach().clone()
    writer.submit(go_on.wait)
    configs = OmegaConf.create({"generator": {}, "discriminator": {}})
    save_networks(snapshot_file(stage, 4), stage, module, {}, config=configs, provenance={}, writer=writer)
    module.steps = 5
    weight.data += 1
    go_on.set()
    writer.wait()
    assert torch.equal(read_tensors(snapshot_file(stage, 4), "generator")["to_color.weight"], before)
    assert read_header(snapshot_file(stage, 4))["step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.yaml", "manifest.csv", "done.json", "metrics.jsonl", "handover.safetensors"])
def test_damaged_files_of_a_run_are_explained_or_made_again(command, tmp_path, undisturbed, whole, name):
    run = shutil.copytree(undisturbed, tmp_path / "runs" / "run")
    file = next(path for path in (run / name, run / "01-generator_pretrain" / name) if path.exists())
    file.write_bytes(np.random.default_rng(0).bytes(300))
    code, _, err = command("train", *words(tmp_path))
    if name == "config.yaml":
        assert code == 2
        assert f"{file} is damaged" in err
    else:
        assert code == 0, err
        assert (run / "final.safetensors").read_bytes() == whole


@pytest.mark.slow
def test_a_full_disk_is_explained_and_nothing_is_lost(smoke, tmp_path, whole):
    command = [sys.executable, "train.py", *words(tmp_path)]
    limit = 4_000_000  # bytes a file may have, below that of a checkpoint: the errors are those of a full disk

    def narrow():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=narrow)
    assert result.returncode == 2, result.stderr
    assert "make room, then the same command goes on" in result.stderr
    assert "Traceback" not in result.stderr
    assert Schedule(smoke("schedule.times=0")).run().read_bytes() == whole


def test_snapshots_that_waited_for_a_rule_go_where_it_had_nothing_to_choose_by(tmp_path):
    options = {"steps": 6, "batch_size": 1, "image_size": 32, "validate_every": 2, "snapshots": 1}
    rule = InflectionOptions("held_out_critic")
    entry = StageEntry(module=OmegaConf.create({}), **options, handover="inflection", inflection=rule)
    stage, saved = PlannedStage(1, "gan", entry, 0, tmp_path), []
    for step in (2, 4, 6):
        write_text(snapshot_file(stage, step), "networks")
    measured = [{"step": step, "metrics": {}} for step in (2, 4, 6)]
    hand_over(stage, measured, MetricCollection({}), lambda *where: saved.append(where))
    assert saved == [(tmp_path / "handover.safetensors", {})]
    assert [file.name for file in (tmp_path / "snapshots").iterdir()] == ["step=000006.safetensors"]
