"""Several processes give the result of one: the commands as people type them, on CPUs with gloo."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from colorgan.checkpoint import load_generator
from colorgan.config import build_metrics
from colorgan.data.order import StepBatchSampler

ROOT = Path(__file__).parents[2]
STAGES = ("01-generator_pretrain", "02-critic_pretrain", "03-gan")
# sums round differently with another number of threads, which Lightning sets by the processes of each machine
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
MEASURED = ["metrics=default", "data.validation_share=0.3", "schedule.stages.generator_pretrain.steps=3"]


def command(tmp_path, name, *overrides, script="train.py"):
    places = [f"runs_dir={tmp_path}", f"name={name}", f"data.cache_dir={tmp_path}/cache"]
    return [sys.executable, script, "experiment=smoke", *places, "trainer.enable_progress_bar=false", *overrides]


def train(tmp_path, name, *overrides, **environment):
    result = subprocess.run(
        command(tmp_path, name, *overrides, script="tests/fixtures/train_on_ranks.py"),
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=240,
        env={**ENVIRONMENT, "TRACE": f"{tmp_path}/trace-{name}", **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return tmp_path / name


def trace(tmp_path, name, rank):
    return [json.loads(line) for line in (tmp_path / f"trace-{name}" / f"rank{rank}.jsonl").read_text().splitlines()]


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run in two processes that nothing disturbed; its cache and trace lie beside it."""
    return train(tmp_path_factory.mktemp("two"), "two", *MEASURED, *TWO)


def largest_difference(one, other, network):
    pairs = [(one[name].double(), other[name].double()) for name in one if name.startswith(network)]
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-2)) for a, b in pairs)


def test_ranks_share_the_batch_of_one_process():
    def batches(rank, world_size):
        sampler = StepBatchSampler(
            num_items=10, batch_size=4, seed=1, num_steps=9, start_step=2, rank=rank, world_size=world_size
        )
        return list(sampler)

    for whole, *parts in zip(batches(0, 1), *(batches(rank, 4) for rank in range(4)), strict=True):
        assert whole == [key for part in parts for key in part]


@pytest.mark.slow
def test_two_processes_end_where_one_does(two):
    place = two.parent
    one = train(place, "one", *MEASURED)
    whole, *parts = trace(place, "one", 0), trace(place, "two", 0), trace(place, "two", 1)
    assert len(whole) == 17
    for step, *shares in zip(whole, *parts, strict=True):
        assert all(share["player"] == step["player"] for share in shares)
        assert sorted(step["photos"]) == sorted(p for share in shares for p in share["photos"])
        # The first step is equal; from the third on AdamW has blown up the rounding of gradients near zero.
        rel = 1e-5 if step["step"] == 1 else 1e-2
        assert sum(share["loss"] for share in shares) / 2 == pytest.approx(step["loss"], rel=rel)
    for stage in STAGES:
        mine, theirs = (load_file(run / stage / "handover.safetensors") for run in (one, two))
        if stage != STAGES[0]:
            assert largest_difference(mine, theirs, "discriminator") < 1e-2, stage

    # What two processes have measured together is what one measures of the same networks.
    measured = [r for r in records(two) if r["stage"] == "03-gan"]
    for record in measured:
        alone = measure(two, record["step"], place)
        assert alone == pytest.approx({k: record["metrics"][k] for k in alone}, rel=1e-6, abs=1e-6)


def measure(run, step, tmp_path):
    from omegaconf import OmegaConf

    from colorgan.config import build_datamodule

    config = OmegaConf.load(run / "config.yaml")
    config.data.cache_dir = f"{tmp_path}/cache"
    data = build_datamodule(config.data, seed=config.seed)
    data.examine(min_size=32)
    data.begin_stage(gray_rule="luma601", image_size=32, batch_size=1, num_steps=1, stage_index=1)
    metrics = build_metrics(config.metrics)
    generator = load_generator(run / "03-gan" / "snapshots" / f"step={step:06d}.safetensors")
    with torch.no_grad():
        for batch in data.validation_loader(32, limit=data.validation_panel):
            metrics.update(generator(batch["gray"].contiguous(memory_format=torch.channels_last)), batch["rgb"])
    return {name: float(value) for name, value in metrics.compute().items()}


@pytest.mark.slow
def test_a_loss_that_is_not_finite_in_one_process_stops_all(tmp_path):
    words = command(tmp_path, "run", *TWO, "save_every=1", script="tests/fixtures/diverge_on_rank.py")
    result = subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 2, result.stderr
    assert "error: 01-generator_pretrain diverged in step 3: loss inf" in result.stderr
    assert "Traceback" not in result.stderr
    saved = torch.load(tmp_path / "run" / STAGES[0] / "last.ckpt", weights_only=True)
    assert saved["counts"]["steps"] == 2


@pytest.mark.slow
def test_two_processes_stopped_by_a_signal_go_on_in_the_same_bits(tmp_path, two):
    words = [*MEASURED, *TWO]
    with subprocess.Popen(command(tmp_path, "run", *words), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "run" / STAGES[1] / "last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 143, error
    assert "Traceback" not in error
    assert "is saved; the same command goes on" in error
    final = train(tmp_path, "run", *words) / "final.safetensors"
    assert final.read_bytes() == (two / "final.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_stopped_in_a_stream_go_on_in_the_same_bits(tmp_path, draw_photos):
    stream = ["data=hub_stream", f"data.path={draw_photos(tmp_path / 'photos', 24)}", "data.block_size=5"]
    words = [*TWO, *stream, "data.validation_share=0.3", "schedule.times=0", "save_every=1"]
    words += ["schedule.stages.generator_pretrain.batch_size=16"]
    expected = (train(tmp_path, "whole", *words) / "final.safetensors").read_bytes()
    with subprocess.Popen(command(tmp_path, "run", *words), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "run" / STAGES[0] / "last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 143, error
    assert (train(tmp_path, "run", *words) / "final.safetensors").read_bytes() == expected
    for rank in range(2):
        steps = {step["step"]: step["photos"] for step in trace(tmp_path, "whole", rank)}
        again = trace(tmp_path, "run", rank)
        assert again
        assert all(step["photos"] == steps[step["step"]] for step in again)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2")
def test_two_network_namespaces_train_as_two_machines(tmp_path, two):
    names, links = [f"cg{os.getpid()}{i}" for i in "ab"], ["cgv0", "cgv1"]

    def ip(*words):
        subprocess.run(["ip", *map(str, words)], check=True)

    nodes = []
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", links[0], "netns", names[0], "type", "veth", "peer", "name", links[1], "netns", names[1])
        for number, (name, link) in enumerate(zip(names, links, strict=True)):
            ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", "lo", "up")
        for number, (name, link) in enumerate(zip(names, links, strict=True)):
            words = ["trainer=ddp_multinode", "trainer.num_nodes=2", "trainer.devices=1", "trainer.accelerator=cpu"]
            environment = {
                **ENVIRONMENT, "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29511", "NODE_RANK": str(number),
                "GLOO_SOCKET_IFNAME": link, "TRACE": f"{tmp_path}/trace-nodes",
            }  # fmt: skip
            inside = [
                "ip",
                "netns",
                "exec",
                name,
                *command(tmp_path, "nodes", *MEASURED, *words, script="tests/fixtures/train_on_ranks.py"),
            ]
            nodes.append(subprocess.Popen(inside, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
        errors = [node.communicate(timeout=200)[1] for node in nodes]
        assert [node.returncode for node in nodes] == [0, 0], errors
    finally:
        for node in nodes:
            node.kill()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
    first, second = trace(tmp_path, "nodes", 0), trace(tmp_path, "nodes", 1)
    assert [step["player"] for step in first] == [step["player"] for step in second]
    assert (tmp_path / "nodes" / "final.safetensors").read_bytes() == (two / "final.safetensors").read_bytes()
