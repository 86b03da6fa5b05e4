"""Photos as batches of gray and colour."""

from colorgan.data.clips import ClipsSource
from colorgan.data.datamodule import ColorizationDataModule
from colorgan.data.degrade import PixelNoise
from colorgan.data.sources import FolderSource, HubSource, SamplesSource, SyntheticSource

__all__ = [
    "ClipsSource",
    "ColorizationDataModule",
    "FolderSource",
    "HubSource",
    "PixelNoise",
    "SamplesSource",
    "SyntheticSource",
]
