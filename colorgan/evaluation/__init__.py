"""Measure how good a generator is: on photos and clips, beside baselines, under a stated protocol."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorgan.evaluation.measure import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:  # whoever only reads results does not wait for the networks
    if name == "evaluate":
        from colorgan.evaluation.measure import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
