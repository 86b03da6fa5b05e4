"""Six small photos, sets of them under any protocol, and tables without a measurement."""

import numpy as np
import pytest
import torch
from PIL import Image

from colorgan.data import FolderSource
from colorgan.data.library import build_library
from colorgan.evaluation.photos import PhotoSet
from colorgan.evaluation.protocol import Protocol
from colorgan.evaluation.report import Table
from colorgan.evaluation.results import Results
from colorgan.metrics import PSNR, Colorfulness
from colorgan.metrics.histograms import CHROMA_BINS, HUE_BINS

PHOTO_SIZES = {
    "a.png": (48, 32),
    "b.png": (32, 32),
    "c/d.png": (20, 60),
    "c/e.png": (40, 64),
    "f.png": (36, 36),
    "g.png": (33, 50),
}


@pytest.fixture(scope="session")
def photo_sizes():
    """Width and height of the photos by name."""
    return PHOTO_SIZES


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Six photos of (width, height), smooth and colourful; c/d.png is smaller than 32 px."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, size in PHOTO_SIZES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture
def library(folder, tmp_path):
    def build(validation_share=1.0, seed=0):
        return build_library(
            FolderSource(str(folder)),
            min_size=1,
            store_size=None,
            min_colorfulness=0,
            validation_share=validation_share,
            max_validation=100,
            seed=seed,
            cache_dir=tmp_path,
        )

    return build


@pytest.fixture
def photo_set(library):
    """Test photos of a protocol with 32 px and luma unless said otherwise."""

    def of(**options):
        protocol = Protocol(**{"photos": "all", "image_size": 32, "gray_rule": "luma601", **options})
        return PhotoSet(library(), protocol, {"kind": "folder"})

    return of


@pytest.fixture
def pictures(photo_set):
    """The five photos that are large enough, 32 px, in [0.2, 0.8]: chroma has room."""
    return 0.2 + 0.6 * photo_set().rgb(range(5))


@pytest.fixture(scope="session")
def as_tensor():
    """Turn a PIL image into (3, H, W) in [0, 1]."""
    return lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


@pytest.fixture
def make_table(tmp_path):
    """A table as if measured: rows of metrics by name; those that begin with `step=` are checkpoints of a run."""

    def make(rows, *, each=None, metrics=None, **options):
        results, records = Results(tmp_path / "results"), []
        for name, values in rows.items():
            record = {"key": name, "name": name, "metrics": values, "metric_protocols": {}, "seconds": {}}
            record["intervals"] = {m: None if v is None else [v - 1, v + 1] for m, v in values.items()}
            record["protocol"] = {
                "name": "default",
                "num_photos": 12,
                "num_groups": 12,
                "with_truth": True,
                "image_size": 64,
            }
            if name.startswith("step="):
                step = int(name.removeprefix("step="))
                record["checkpoint"] = {"path": f"runs/x/{name}", "stage": "03-gan", "step": step, "total_step": step}
            arrays = {f"replicates/{m}": np.full(20, v) for m, v in values.items() if v is not None}
            arrays |= {f"each/{m}": np.asarray(v) for m, v in (each or {}).get(name, {}).items()}
            results.add(record, {**arrays, "histograms": np.ones(HUE_BINS + CHROMA_BINS)})
            records.append(record)
        kinds = metrics or {"psnr": PSNR(), "colorfulness": Colorfulness()}
        given = {"missing": {}, "objective": "psnr", "protocol": Protocol(), "left_out": {}, **options}
        return Table(title="photos", records=records, metrics=kinds, results=results, **given)

    return make
