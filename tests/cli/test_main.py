"""The commands as a whole: what they describe, and how quickly they help."""

import subprocess
import sys
from pathlib import Path

import pytest

from colorgan.training.schedule import Schedule

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture
def run(shared, smoke):
    """A finished run folder."""
    config = smoke(f"runs_dir={shared}", f"data.cache_dir={shared}/cache", "schedule.cycles=0", name="run")
    return Schedule(config).run().parent


def test_inspect_says_what_a_checkpoint_is(run, colorgan):
    code, out, _ = colorgan("inspect", run)
    assert code == 0
    for word in ("generator", "UNetGenerator", "stage", "01-generator_pretrain", "luma601", "psnr", "sha256"):
        assert word in out


@pytest.mark.parametrize(
    "command", [["-m", "colorgan.cli.main", "--help"], ["train.py", "--help"], ["evaluate.py", "--help"]]
)
def test_help_needs_no_heavy_import(command):
    """A second is what a person waits for; importing torch alone takes longer, so its absence is the fact to test."""
    code = "import sys, runpy; sys.argv = sys.argv[1:]\ntry: runpy.{}\nfinally: assert 'torch' not in sys.modules"
    call = f"run_module({command[1]!r}, run_name='__main__')" if command[0] == "-m" else (
        f"run_path({command[0]!r}, run_name='__main__')"
    )  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", code.format(call), command[0], "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "help" in result.stdout.lower() or "experiment" in result.stdout
