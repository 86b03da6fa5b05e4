"""Measure the colorfulness of pictures, and its difference to that of the photos."""

from typing import Any

from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from colorgan.color import colorfulness, quantize
from colorgan.metrics.base import MeanOverPictures, PictureMetric, check_pictures, weighted_means

_FORMULAS = ("signed", "abs")


def _check_formula(formula: str) -> None:
    if formula not in _FORMULAS:
        raise ValueError(
            f"formula={formula!r} is unknown; allowed: {', '.join(_FORMULAS)} (metrics.colorfulness.formula)"
        )


class Colorfulness(MeanOverPictures):
    """Mean colorfulness M3 of 8-bit pictures (Hasler and Süsstrunk 2003; see `color.colorfulness`).

    Neither direction is better: the photos' own value, reported beside it, is the aim.

    Args:
        formula: `signed`, the paper's, or `abs`, the variant in the code of DDColor, CT2, ColorFormer and ColorMNet,
            which takes absolute values of the opponent channels first and lies about 8 % lower on photos.
    """

    higher_is_better = None
    needs_truth = False

    def __init__(self, formula: str = "signed", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check_formula(formula)
        self.formula = formula

    def describe(self) -> dict[str, Any]:
        """Also say the formula."""
        return {**super().describe(), "formula": self.formula}

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the colorfulness of each picture; the photos are not looked at."""
        return colorfulness(fake_rgb, absolute=self.formula == "abs")


class ColorfulnessDifference(PictureMetric):
    """Absolute difference between the mean colorfulness of pictures and photos (Kang et al. 2023, "delta CF").

    Args:
        formula: see `Colorfulness`.
    """

    higher_is_better = False
    fakes: list[Tensor]
    reals: list[Tensor]

    def __init__(self, formula: str = "signed", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check_formula(formula)
        self.formula = formula
        self.add_state("fakes", [], dist_reduce_fx="cat")
        self.add_state("reals", [], dist_reduce_fx="cat")

    def describe(self) -> dict[str, Any]:
        """Also say the formula."""
        return {**super().describe(), "formula": self.formula}

    def update(self, fake_rgb: Tensor, rgb: Tensor) -> None:
        """Add pictures and photos, (N, 3, H, W) in [0, 1]."""
        check_pictures(fake_rgb, rgb)
        absolute = self.formula == "abs"
        self.fakes.append(colorfulness(quantize(fake_rgb), absolute=absolute).double())
        self.reals.append(colorfulness(quantize(rgb), absolute=absolute).double())

    def _differences(self) -> Tensor:
        differences: Tensor = dim_zero_cat(self.fakes) - dim_zero_cat(self.reals)
        return differences

    def compute(self) -> Tensor:
        """Compute the absolute difference of the two means."""
        return self._differences().mean().abs().float()

    def replicates(self, counts: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute absolute differences of the means over resampled sets."""
        return weighted_means(self._differences(), counts, groups).abs()
