"""The notebooks run as they stand on a small run, and hold no output in git."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture
def checkpoints(run):
    first, second = (run / stage / "handover.safetensors" for stage in ("01-generator_pretrain", "02-critic_pretrain"))
    return {
        "compare_checkpoints": f"[{first},{run}]",
        "choose_gan_snapshot": f"[{second},'{run}/03-gan/snapshots/*.safetensors']",
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, checkpoints, place, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(path.parent.parent))
    notebook = nbformat.read(path, as_version=4)
    (settings,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    data = ["data=folder", f"data.path={photos}", f"data.cache_dir={place}/cache", "protocol.photos=all"]
    chosen = [f"checkpoints={checkpoints[path.stem]}", *data, "metrics=default", "objective=psnr"]
    chosen.append(f"out={tmp_path}/out")
    settings.source = f"SETTINGS = {chosen!r}"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == {"compare_checkpoints": 2, "choose_gan_snapshot": 3}[path.stem]
    text = "".join(output.get("data", {}).get("text/plain", output.get("text", "")) for output in outputs)
    for word in ("mean tint", "truth", "confidence", "best by psnr"):
        assert word in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_no_output(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_both_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["choose_gan_snapshot", "compare_checkpoints"]
