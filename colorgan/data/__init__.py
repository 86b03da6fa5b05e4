"""Photos as batches of gray and colour."""

from colorgan.data.clips import ClipsSource
from colorgan.data.datamodule import ColorizationDataModule
from colorgan.data.defects import Blur, Fading, Flicker, Grain, Interlacing, Jpeg
from colorgan.data.degrade import ArchivalFilm, PixelNoise
from colorgan.data.folder import FolderSource, ReferencesSource
from colorgan.data.hints import RandomHints
from colorgan.data.hub import HubSource
from colorgan.data.sources import SamplesSource, SyntheticSource
from colorgan.data.stream import StreamingDataModule
from colorgan.data.wear import Dust, Scratches

__all__ = [
    "ArchivalFilm",
    "Blur",
    "ClipsSource",
    "ColorizationDataModule",
    "Dust",
    "Fading",
    "Flicker",
    "FolderSource",
    "Grain",
    "HubSource",
    "Interlacing",
    "Jpeg",
    "PixelNoise",
    "RandomHints",
    "ReferencesSource",
    "SamplesSource",
    "Scratches",
    "StreamingDataModule",
    "SyntheticSource",
]
