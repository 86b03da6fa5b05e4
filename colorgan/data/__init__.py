"""Photos as batches of gray and colour."""

from colorgan.data.datamodule import ColorizationDataModule
from colorgan.data.degrade import PixelNoise
from colorgan.data.sources import FolderSource, HubSource, SamplesSource, SyntheticSource

__all__ = [
    "ColorizationDataModule",
    "FolderSource",
    "HubSource",
    "PixelNoise",
    "SamplesSource",
    "SyntheticSource",
]
