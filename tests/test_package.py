"""The package from Python and from a wheel: `colorgan.train`, `colorgan.evaluate`, the command elsewhere."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import colorgan
from colorgan.config import CONFIGS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def words(tmp_path):
    places = [f"runs_dir={tmp_path}/runs", f"data.cache_dir={tmp_path}/cache", "trainer.enable_progress_bar=false"]
    return ["experiment=smoke", *places, "schedule.times=0"]


def test_importing_it_is_light():
    code = "import sys, colorgan; assert not {'torch', 'hydra', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_it_exports_what_users_import():
    from colorgan.checkpoint import load_generator
    from colorgan.colorize.colorizer import Colorizer

    assert colorgan.Colorizer is Colorizer
    assert colorgan.load_generator is load_generator
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        colorgan.colour  # noqa: B018


def test_training_and_measuring_from_python(words, tmp_path, whole):
    run = colorgan.train(*words, "name=first")
    assert run.checkpoint.read_bytes() == whole  # as the command trains it: tests/callbacks/test_resume.py
    assert run.folder == tmp_path / "runs" / "first"
    assert run.checkpoint == run.folder / "final.safetensors"
    final = next(record for record in run.table.records if record["name"] == "final")
    assert run.metrics == final["metrics"]
    assert set(run.metrics) == {"psnr", "colorfulness"}  # distances need more photos
    generator = colorgan.load_generator(run.checkpoint)
    assert not generator.training

    data = ["data=synthetic_tiny", "metrics=fast", f"data.cache_dir={tmp_path}/cache", f"out={tmp_path}/evaluation"]
    ((table, photos),) = colorgan.evaluate(f"checkpoints={run.folder}", *data)
    again = next(record for record in table.records if "checkpoint" in record)
    assert again["metrics"] == run.metrics
    assert len(photos) == again["protocol"]["num_photos"]


def test_yamls_of_ones_own_are_found(command, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 77\n")
    code, out, err = command("train", "--config-dir", tmp_path / "mine", "experiment=mine", "--cfg", "job")
    assert code == 0, err
    assert "seed: 77" in out


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which the wheel of this checkout is installed, and the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"  # building leaves files beside the sources
    names = subprocess.run(
        ["git", "ls-files", "colorgan", "configs", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in names:
        if (ROOT / name).exists():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(sources)]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site", wheel


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_yaml(site):
    _, wheel = site
    held = set(ZipFile(wheel).namelist())
    assert {f"colorgan/configs/{path.relative_to(CONFIGS)}" for path in CONFIGS.rglob("*.yaml")} <= held
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "colorgan").rglob("*.py")} <= held
    assert "colorgan/py.typed" in held


@pytest.mark.slow
def test_the_wheel_trains_measures_and_colorizes_outside_the_checkout(site, tmp_path):
    from PIL import Image
    from skimage.data import astronaut

    folder, _ = site
    environment = {**os.environ, "PYTHONPATH": str(folder)}

    def run(*words):
        result = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert run("-c", "import colorgan; print(colorgan.__file__)").startswith(str(folder))
    assert "nogan_video*" in run("-m", "colorgan", "train", "--help")
    places = ["data.cache_dir=cache", "trainer.enable_progress_bar=false"]
    assert "final.safetensors" in run("-m", "colorgan", "train", "experiment=smoke", "schedule.times=0", *places)
    measured = ["data=synthetic_tiny", "metrics=fast", "data.cache_dir=cache"]
    assert "truth" in run("-m", "colorgan", "evaluate", "checkpoints=runs/smoke-synthetic_tiny", *measured)
    Image.fromarray(astronaut()[::8, ::8]).save(tmp_path / "photo.png")
    assert "1 colorized" in run("-m", "colorgan", "colorize", "photo.png", "-c", "runs/smoke-synthetic_tiny")
