"""`colorgan runs`: what it reads from run folders, how it groups and ranks them."""

import csv
import hashlib
import json
import math

import pytest
import yaml
from typer.testing import CliRunner

from colorgan.cli.main import app
from colorgan.sweeps.runs import best_group, differing_keys, find_runs, group_runs, write_runs

METRICS = {"psnr": {"_target_": "colorgan.metrics.PSNR"}, "ciede": {"_target_": "colorgan.metrics.CIEDE2000"}}


@pytest.fixture
def add_run(tmp_path):
    """Write a run folder as training leaves it; `values` None: it is not finished."""

    def add(name, values=None, *, config=None, clips=None, **keys):
        folder = tmp_path / "runs" / name
        (folder / "evaluation").mkdir(parents=True)
        whole = {"seed": 0, "objective": "psnr", "metrics": METRICS, "name": name, "stage": keys}
        (folder / "config.yaml").write_text(yaml.safe_dump({**whole, **(config or {})}))
        if values is not None:
            (folder / "final.safetensors").write_bytes(b"")
            rows = [("gray", {"psnr": 99.0}, "photos"), ("final", values, "photos")]
            rows += [("gray", {"psnr": 99.0}, "clips"), ("final", clips, "clips")] if clips else []
            for row, metrics, unit in rows:
                record = {"key": row + unit, "name": row, "metrics": metrics, "protocol": {f"num_{unit}": 2}}
                record |= {part: {} for part in ("intervals", "metric_protocols", "seconds")}
                record |= {"checkpoint": {"sha256": hashlib.sha256(b"").hexdigest()}} if row == "final" else {}
                with (folder / "evaluation" / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps(record) + "\n")
        return folder

    return add


@pytest.fixture
def sweep(add_run, tmp_path):
    """Two values of a rate under two seeds; the worse rate has the best single run."""
    for seed, psnr in enumerate((20.0, 22.0)):
        add_run(f"rate=1,seed={seed}", {"psnr": psnr, "ciede": 5.0}, config={"seed": seed}, rate=1, twin=10)
    for seed, psnr in enumerate((17.0, 23.0)):
        add_run(f"rate=2,seed={seed}", {"psnr": psnr, "ciede": 6.0}, config={"seed": seed}, rate=2, twin=20)
    return tmp_path / "runs"


def test_runs_are_grouped_by_all_but_the_seed_and_free_keys(sweep):
    groups = group_runs(find_runs(sweep))
    assert [sorted(group.metrics["psnr"]) for group in groups] == [[20.0, 22.0], [17.0, 23.0]]
    assert [group.mean("psnr") for group in groups] == [21, 20]


def test_keys_that_always_differ_together_are_one_column(sweep):
    assert differing_keys(find_runs(sweep)) == ["stage.rate"]


def test_a_column_is_named_by_what_one_chose_and_not_by_the_class(add_run, tmp_path):
    for rate in (1, 2):
        add_run(f"{rate}", {"psnr": 1.0}, config={"a": {"_target_": f"colorgan.A{rate}"}, "b": rate})
    assert differing_keys(find_runs(tmp_path / "runs")) == ["b"]
    for number in (3, 4):
        add_run(f"{number}", {"psnr": 1.0}, config={"a": {"_target_": f"colorgan.A{number}"}})
    assert differing_keys(find_runs(tmp_path / "runs")) == ["a._target_", "b"]


def test_metrics_on_clips_stand_beside_those_on_photos(add_run, tmp_path):
    add_run("one", {"psnr": 20.0, "ciede": 5.0}, clips={"psnr": 33.0, "flicker": 0.5})
    (run,) = find_runs(tmp_path / "runs")
    assert run.metrics == {"psnr": 20.0, "ciede": 5.0, "motion_psnr": 33.0, "motion_flicker": 0.5}
    assert run.state == "finished"


@pytest.mark.parametrize(("objective", "best"), [("psnr", 1), ("ciede", 1)])
def test_best_is_by_the_mean_over_seeds_in_the_better_direction(sweep, add_run, objective, best):
    runs = find_runs(sweep)
    for run in runs:
        run.config["objective"] = objective
    assert best_group(group_runs(runs)).runs[0].values["stage.rate"] == best


def test_values_that_a_run_lacks_are_left_out_of_the_mean(add_run, tmp_path):
    for seed, values in enumerate(({"psnr": 20.0}, {"psnr": None, "ciede": 5.0}, {"psnr": 24.0, "ciede": 7.0})):
        add_run(f"{seed}", values, config={"seed": seed})
    (group,) = group_runs(find_runs(tmp_path / "runs"))
    assert (group.mean("psnr"), group.mean("ciede")) == (22, 6)
    assert math.isnan(group.mean("ssim"))
    write_runs(group.runs, tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").open(newline="")))
    assert [(row["seed"], row["psnr"], row["ciede"]) for row in rows] == [
        ("0", "20.0", ""), ("1", "", "5.0"), ("2", "24.0", "7.0"),
    ]  # fmt: skip


def test_a_key_that_one_config_lacks_is_a_difference(add_run, tmp_path):
    add_run("with", {"psnr": 20.0}, config={"extra": None})
    add_run("without", {"psnr": 21.0})
    runs = find_runs(tmp_path / "runs")
    assert differing_keys(runs) == ["extra"]
    assert len(group_runs(runs)) == 2


def test_runs_of_different_objectives_are_not_ranked(sweep, add_run):
    add_run("other", {"psnr": 50.0}, config={"objective": "ciede"}, rate=1)
    assert best_group(group_runs(find_runs(sweep))) is None


def test_a_metric_of_a_stranger_is_not_imported(add_run, tmp_path):
    for rate in (1, 2):
        add_run(f"{rate}", {"psnr": 1.0}, config={"metrics": {"psnr": {"_target_": "antigravity.fly"}}}, rate=rate)
    assert best_group(group_runs(find_runs(tmp_path / "runs"))) is None


def test_the_command_prints_means_spread_states_and_the_best(sweep, add_run):
    add_run("rate=3", rate=3)
    (sweep / "rate=3" / "01-generator_pretrain").mkdir()
    (sweep / "rate=4").mkdir()
    (sweep / "rate=4" / "failed.json").write_text(json.dumps({"state": "failed", "error": "no such rate"}))
    result = CliRunner().invoke(app, ["runs", str(sweep), "--csv", str(sweep / "runs.csv")])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert next(line for line in lines if "21 ±1.4" in line).split()[:2] == ["1", "2"]
    assert "(best)" in next(line for line in lines if "21 ±1.4" in line)
    assert "(best)" not in next(line for line in lines if "20 ±4.2" in line)
    assert any(line.endswith("rate=3: unfinished: stopped in or still at 01-generator_pretrain") for line in lines)
    assert any(line.endswith("rate=4: failed: no such rate") for line in lines)
    with (sweep / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert [row["psnr"] for row in rows[:4]] == ["20.0", "22.0", "17.0", "23.0"]
    assert [row["state"].split(":")[0] for row in rows[4:]] == ["unfinished", "failed"]


def test_one_run_folder_is_enough_and_what_is_inside_is_not_searched(add_run):
    folder = add_run("one", {"psnr": 20.0})
    (folder / "wandb").mkdir()
    (folder / "wandb" / "config.yaml").write_text("{}")
    assert [run.path for run in find_runs(folder)] == [folder]


@pytest.mark.parametrize("text", ["- a list", "{broken", ""])
def test_a_damaged_config_is_named(add_run, text):
    folder = add_run("one", {"psnr": 20.0})
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"one/config\.yaml is damaged"):
        find_runs(folder)


@pytest.mark.parametrize("content", [b'{"state": "fai', b"\xff\xfe", b"[]", b"{}", b""])
def test_a_damaged_failure_is_said(add_run, content):
    folder = add_run("one")
    (folder / "failed.json").write_bytes(content)
    result = CliRunner().invoke(app, ["runs", str(folder)])
    assert result.exit_code == 0, result.output
    assert result.output.endswith("one: failed: unreadable failed.json\n")


def test_no_run_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run in"):
        find_runs(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        find_runs(tmp_path / "nowhere")
