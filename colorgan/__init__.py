"""Train and use GAN and NoGAN networks that colorize photos and film."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorgan.checkpoint import load_generator
    from colorgan.colorize.colorizer import Colorizer
    from colorgan.evaluation.photos import MeasuredSet
    from colorgan.evaluation.report import Table
    from colorgan.training.run import Run

__version__ = "0.1.0"
__all__ = ["Colorizer", "evaluate", "load_generator", "train"]


def train(*overrides: str) -> "Run | None":
    """Train a colorizer as `colorgan train OVERRIDES` does.

    Args:
        overrides: as one types them: `colorgan.train("experiment=smoke", "data=folder", "data.path=my_photos")`.

    Returns:
        The run; None where `plan` asks only for the cost, and in all but the first of several processes.
    """
    from colorgan.config import compose
    from colorgan.training.run import train

    return train(compose("train", *overrides))


def evaluate(*overrides: str) -> "list[tuple[Table, MeasuredSet]]":
    """Measure checkpoints as `colorgan evaluate OVERRIDES` does, without a report.

    Args:
        overrides: as one types them: `colorgan.evaluate("checkpoints=runs/a", "data=folder", "data.path=my_photos")`.

    Returns:
        A table for each data set, with the photos or clips that it is about.
    """
    from colorgan.config import compose
    from colorgan.evaluation.compare import compare

    return compare(compose("evaluate", *overrides))


def __getattr__(name: str) -> Any:  # `import colorgan` stays light
    if name == "Colorizer":
        from colorgan.colorize.colorizer import Colorizer

        return Colorizer
    if name == "load_generator":
        from colorgan.checkpoint import load_generator

        return load_generator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
