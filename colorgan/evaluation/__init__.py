"""Measure how good a generator is: on photos and clips, beside baselines, under a stated protocol."""

from colorgan.evaluation.measure import evaluate

__all__ = ["evaluate"]
