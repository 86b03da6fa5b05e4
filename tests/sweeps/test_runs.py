"""What `colorgan runs` reads from run folders."""

import pytest
from typer.testing import CliRunner

from colorgan.cli.main import app
from colorgan.sweeps.runs import find_runs


def test_metrics_on_clips_stand_beside_those_on_photos(add_run, tmp_path):
    add_run("one", {"psnr": 20.0, "ciede": 5.0}, clips={"psnr": 33.0, "flicker": 0.5})
    (run,) = find_runs(tmp_path / "runs")
    (measurement,) = run.measurements
    assert measurement.metrics == {"psnr": 20.0, "ciede": 5.0, "motion_psnr": 33.0, "motion_flicker": 0.5}
    assert run.state == "finished"


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


def test_several_folders_are_read_and_each_run_once(add_run, tmp_path):
    first, second = add_run("a/one", {"psnr": 20.0}), add_run("b/two", {"psnr": 21.0})
    found = find_runs(tmp_path / "runs" / "b", first, tmp_path / "runs")
    assert sorted(run.path for run in found) == [first, second]
    with pytest.raises(FileNotFoundError, match="no folder"):
        find_runs(first, tmp_path / "nowhere")


def test_a_run_has_a_measurement_for_each_size_and_clips_of_the_same_size(add_run):
    folder = add_run("one", {"psnr": 20.0}, clips={"flicker": 0.5}, sizes=(64, 256))
    (run,) = find_runs(folder)
    assert [m.setting for m in run.measurements] == [{"image_size": size, "counts_groups": True} for size in (64, 256)]
    assert [set(m.metrics) for m in run.measurements] == [{"psnr", "motion_flicker"}] * 2
