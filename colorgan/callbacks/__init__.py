"""Callbacks of a stage: average, measure, draw, save, stop, show progress."""

from colorgan.callbacks.ema import GeneratorEMA
from colorgan.callbacks.health import StageHealth, warn_of_result
from colorgan.callbacks.inflection import InflectionObserver, observed
from colorgan.callbacks.power_averages import PowerAverages
from colorgan.callbacks.progress import StageProgressBar
from colorgan.callbacks.pruning import PruneTrial
from colorgan.callbacks.resume import ResumeCheckpoint, ResumeFile, StopRequest
from colorgan.callbacks.validation import Records, ValidationMetrics, ValidationPictures, save_grid

__all__ = [
    "GeneratorEMA",
    "InflectionObserver",
    "PowerAverages",
    "PruneTrial",
    "Records",
    "ResumeCheckpoint",
    "ResumeFile",
    "StageHealth",
    "StageProgressBar",
    "StopRequest",
    "ValidationMetrics",
    "ValidationPictures",
    "observed",
    "save_grid",
    "warn_of_result",
]
