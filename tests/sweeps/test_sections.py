"""`colorgan runs`: how runs are grouped and ranked, and what is not compared."""

import csv
import json
import math

import pytest
from typer.testing import CliRunner

from colorgan.cli.main import app
from colorgan.sweeps.runs import find_runs
from colorgan.sweeps.sections import best_group, differing_keys, sections_of, write_runs


def test_runs_are_grouped_by_all_but_the_seed_and_free_keys(sweep):
    (section,) = sections_of(find_runs(sweep))
    groups = section.groups
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


@pytest.mark.parametrize(("objective", "best"), [("psnr", 1), ("ciede", 1)])
def test_best_is_by_the_mean_over_seeds_in_the_better_direction(sweep, add_run, objective, best):
    runs = find_runs(sweep)
    for run in runs:
        run.config["objective"] = objective
    assert best_group(*sections_of(runs)).runs[0].values["stage.rate"] == best


def test_values_that_a_run_lacks_are_left_out_of_the_mean(add_run, tmp_path):
    for seed, values in enumerate(({"psnr": 20.0}, {"psnr": None, "ciede": 5.0}, {"psnr": 24.0, "ciede": 7.0})):
        add_run(f"{seed}", values, config={"seed": seed})
    (section,) = sections_of(find_runs(tmp_path / "runs"))
    (group,) = section.groups
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
    assert len(sections_of(runs)[0].groups) == 2


def test_runs_of_different_objectives_are_not_ranked(sweep, add_run):
    add_run("other", {"psnr": 50.0}, config={"objective": "ciede"}, rate=1)
    assert best_group(*sections_of(find_runs(sweep))) is None


def test_a_metric_of_a_stranger_is_not_imported(add_run, tmp_path):
    for rate in (1, 2):
        add_run(f"{rate}", {"psnr": 1.0}, config={"metrics": {"psnr": {"_target_": "antigravity.fly"}}}, rate=rate)
    assert best_group(*sections_of(find_runs(tmp_path / "runs"))) is None


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


def test_runs_on_other_photos_or_at_another_size_are_in_tables_of_their_own(add_run, tmp_path):
    add_run("64", {"psnr": 20.0}, size=64)
    add_run("128", {"psnr": 30.0}, sizes=(128,), size=128)
    add_run("others", {"psnr": 40.0}, photos="b", size=32)
    sections = sections_of(find_runs(tmp_path / "runs"))
    assert sorted(section.groups[0].mean("psnr") for section in sections) == [20, 30, 40]
    assert [best_group(section) for section in sections] == [None] * 3
    result = CliRunner().invoke(app, ["runs", str(tmp_path / "runs")])
    assert "(best)" not in result.output
    assert "20 photos in 12 groups, 128 px, of my_photos" in result.output
    assert "3 tables: on other photos or at another size, numbers cannot be compared" in result.output


def test_runs_that_share_a_size_are_compared_at_it(add_run, tmp_path):
    add_run("64", {"psnr": 20.0}, sizes=(64, 256), size=64)
    add_run("128", {"psnr": 30.0}, sizes=(128, 256), size=128)
    sections = sections_of(find_runs(tmp_path / "runs"))
    by_size = {section.measured[0].setting["image_size"]: section for section in sections}
    assert {size: len(section.groups) for size, section in by_size.items()} == {64: 1, 128: 1, 256: 2}
    assert best_group(by_size[256]).runs[0].path.name == "128"


def test_seeds_that_hold_out_photos_of_their_own_are_compared_where_all_configs_have_them(add_run, tmp_path):
    for rate, seed in ((1, 0), (1, 1), (2, 0), (2, 1), (3, 0)):
        add_run(f"{rate},{seed}", {"psnr": 20.0 + rate}, photos=f"of seed {seed}", config={"seed": seed}, rate=rate)
    both, alone = sections_of(find_runs(tmp_path / "runs"))
    assert [group.runs[0].values["stage.rate"] for group in both.groups] == [1, 2]
    assert best_group(both).runs[0].values["stage.rate"] == 2
    assert both.title().startswith("2 sets of photos, by seed")
    assert [group.runs[0].values["stage.rate"] for group in alone.groups] == [3]


def test_runs_of_one_config_whose_photos_changed_are_not_averaged(add_run, tmp_path):
    add_run("before", {"psnr": 20.0}, photos="a")
    add_run("after", {"psnr": 30.0}, photos="b")
    folder = add_run("older", {"psnr": 40.0}, photos="a")
    lines = folder / "evaluation" / "metrics.jsonl"
    lines.write_text(lines.read_text().replace('"num_groups": 12, ', ""))  # as before groups were resampled
    sections = sections_of(find_runs(tmp_path / "runs"))
    assert sorted(section.groups[0].mean("psnr") for section in sections) == [20, 30, 40]


def test_metrics_that_were_measured_otherwise_are_not_compared(add_run, tmp_path):
    for rate, version in ((1, 1), (2, 2)):
        how = {"psnr": {"version": version}, "ciede": {"version": 1}}
        add_run(f"{rate}", {"psnr": 20.0, "ciede": 5.0}, how=how, rate=rate)
    (section,) = sections_of(find_runs(tmp_path / "runs"))
    assert (section.metrics(), section.left_out()) == (["ciede"], ["psnr"])
    assert best_group(section) is None
    assert "measured in different ways: psnr" in CliRunner().invoke(app, ["runs", str(tmp_path / "runs")]).output
