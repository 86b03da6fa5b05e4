"""Colorfulness of pictures, against that of the photos."""

from torch import Tensor

from colorgan.color import colorfulness
from colorgan.metrics.mean import MeanOverPictures


class Colorfulness(MeanOverPictures):
    """Mean colorfulness M3 of 8-bit pictures (Hasler and Süsstrunk 2003, signed; see `color.colorfulness`).

    Neither direction is better: the photos' own value, reported beside it, is the aim.
    """

    higher_is_better = None

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Colorfulness of each picture; the photos are not looked at."""
        return colorfulness(fake_rgb)
