"""What a checkpoint says of the runs behind it goes on to the runs that start from it."""

import csv
import hashlib
import shutil

import pytest
from rewriting import rewritten

from colorgan.checkpoint import read_header


@pytest.mark.slow
def test_a_judge_keeps_its_mark_in_runs_that_start_from_what_it_taught(run, place, photos, tmp_path, command):
    def start(name, checkpoint):
        return command(
            "train", "experiment=smoke", "data=folder", f"data.path={photos}", f"runs_dir={tmp_path}", f"name={name}",
            f"data.cache_dir={place}/cache", "trainer.enable_progress_bar=false", f"init_from={checkpoint}", "seed=3",
            "data.validation_share=0.4", "schedule.first=[]", "schedule.repeat=[critic_pretrain]",
            "schedule.stages.critic_pretrain.steps=1",
        )  # fmt: skip

    taught = rewritten(
        run / "final.safetensors",
        tmp_path / "taught.safetensors",
        lambda h: h.update(trained_through=["efficientnet_lite2"], source={"x.pth": "sha256 0"}),
    )
    code, _, err = start("child", taught)
    assert code == 0, err
    code, _, err = start("grandchild", tmp_path / "child")
    assert code == 0, err
    header = read_header(tmp_path / "grandchild" / "final.safetensors")
    assert header["trained_through"] == ["efficientnet_lite0", "efficientnet_lite2"]
    assert [(a["stage"], a.get("source")) for a in header["started_from"]] == [
        ("01-critic_pretrain", None),
        ("03-gan", {"x.pth": "sha256 0"}),
    ]
    scenes = ["data=synthetic", "data.source.num_images=40", "protocol.photos=all"]  # enough for a distance of sets
    wanted = [f"checkpoints=[{tmp_path}/grandchild]", *scenes, f"out={tmp_path}/out", "metrics=default"]
    code, out, err = command("evaluate", *wanted, f"data.cache_dir={place}/cache")
    assert code == 0, err
    assert "trained through: not an independent number" in out

    shutil.copyfile(run / "final.safetensors", taught)
    code, _, err = start("child", taught)  # the same name, other content
    assert code == 2
    assert "holds a run with another config (started_from" in err


def test_a_start_whose_run_trained_on_all_that_is_held_out_is_refused_before_training(
    run, place, photos, tmp_path, command
):
    older = rewritten(run / "final.safetensors", tmp_path / "older.safetensors", lambda h: h.pop("splits"))
    words = ["experiment=smoke", "data=folder", f"data.path={photos}", f"runs_dir={tmp_path}/runs", "name=x"]
    words += [f"data.cache_dir={place}/cache", "trainer.enable_progress_bar=false", "data.validation_share=0.1"]
    trained = [line.split(",")[1] for line in (run / "manifest.csv").read_text().splitlines() if line[:5] == "train"]
    held_out = {seed: _held_out_by(seed, run) for seed in range(20)}
    seed = next(seed for seed, name in held_out.items() if name in trained)
    code, _, err = command("train", *words, f"init_from={run}", f"seed={seed}")
    assert code == 2
    assert f"init_from={run}: the runs behind it trained on all photos that seed={seed} holds out" in err
    assert "take seed=3, or a larger data.validation_share, got 0.1" in err
    assert not list((tmp_path / "runs" / "x").glob("0*"))
    code, _, err = command("train", *words, f"init_from={older}")
    assert code == 2
    assert "does not say which photos its run held out" in err


def _held_out_by(seed, run):
    """The photo that a run over these photos holds out under a seed, if it holds out one."""
    with (run / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return min(rows, key=lambda row: hashlib.sha256(f"{seed}:{row['group']}".encode()).hexdigest())["name"]
