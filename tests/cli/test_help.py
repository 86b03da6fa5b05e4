"""The help of `train` and `evaluate`: one screen, from the yamls' own comments."""

import subprocess
import sys
from pathlib import Path

import pytest

from colorgan.cli.help import help_page
from colorgan.config import CONFIGS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_help_is_one_screen(name):
    lines = help_page(name).splitlines()
    assert len(lines) <= 46
    assert max(map(len, lines)) <= 100


def test_help_names_every_choice_and_marks_the_defaults():
    words = set(help_page("train").replace(",", " ").split())
    for group in ("experiment", "scale", "data", "generator", "loss/feature", "metrics", "trainer", "logger", "sweep"):
        choices = {path.stem for path in (CONFIGS / group).glob("*.yaml")} - {"base"}
        assert choices <= {word.rstrip("*") for word in words}
    assert {"nogan_video*", "laptop*", "samples*", "queries_lite0*", "l1*", "grid*"} <= words


def test_help_says_what_each_experiment_says_of_itself():
    (line,) = [line for line in help_page("train").splitlines() if line.startswith("    nogan_image ")]
    text = (CONFIGS / "experiment" / "nogan_image.yaml").read_text()
    assert line.split(maxsplit=1)[1] in text


@pytest.mark.parametrize("name", ["train", "evaluate"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_scripts_and_commands_print_it(command, name, flag):
    assert command(name, flag) == (0, help_page(name), "")
    script = subprocess.run([sys.executable, f"{name}.py", flag], cwd=ROOT, capture_output=True, text=True)
    assert script.stdout == help_page(name), script.stderr


def test_all_values_are_behind_cfg_job(command):
    code, out, err = command("train", "experiment=smoke", "seed=7", "--cfg", "job")
    assert code == 0, err
    assert "seed: 7" in out
    assert "_target_: colorgan.networks.QueryGenerator" in out


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["evaluate", "--help"], ["train", "--cfg", "job"]])
def test_composing_and_help_import_no_torch(words):
    """A second is what a person waits for; importing torch alone takes longer, so its absence is the fact to test."""
    code = f"import sys; sys.argv = ['colorgan', *{words!r}]\nfrom colorgan.cli.main import main\ntry: main()\n"
    code += "finally: assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
