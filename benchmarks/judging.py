"""Open what the benchmarks of evaluation measure: the first photos of a folder, and every metric."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from colorgan.data import FolderSource
from colorgan.evaluation.photos import PhotoSet
from colorgan.evaluation.protocol import Protocol

METRICS = Path(__file__).parent.parent / "configs" / "metrics"


def first_photos(folder: str, *, count: int, size: int, cache_dir: str | None = None) -> PhotoSet:
    """Take the first photos of a folder by file name, as centred squares."""
    protocol = Protocol(photos="all", first=count, image_size=size, gray_rule="luma601")
    return PhotoSet.of_source(FolderSource(folder), protocol, cache_dir=cache_dir)


def all_metrics() -> DictConfig:
    """Read the config of `metrics=full`."""
    config = OmegaConf.merge(OmegaConf.load(METRICS / "default.yaml"), OmegaConf.load(METRICS / "full.yaml"))
    assert isinstance(config, DictConfig)
    del config["defaults"]
    return config
