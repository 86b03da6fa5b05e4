"""What the benchmarks of evaluation measure: the first photos of a folder, with every metric."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from colorgan.data import ColorizationDataModule, FolderSource
from colorgan.evaluation.protocol import PhotoSet, Protocol

METRICS = Path(__file__).parent.parent / "configs" / "metrics"


def first_photos(folder: str, *, count: int, size: int, cache_dir: str | None = None) -> PhotoSet:
    """The first photos of a folder by file name, as centred squares."""
    data = ColorizationDataModule(FolderSource(folder), validation_share=1, cache_dir=cache_dir)
    library = data.examine(min_size=1)
    protocol = Protocol(photos="all", first=count, image_size=size, gray_rule="luma601")
    return PhotoSet(library, protocol, data.source.describe())


def all_metrics() -> DictConfig:
    """The config of `metrics=full`."""
    config = OmegaConf.merge(OmegaConf.load(METRICS / "default.yaml"), OmegaConf.load(METRICS / "full.yaml"))
    assert isinstance(config, DictConfig)
    del config["defaults"]
    return config
