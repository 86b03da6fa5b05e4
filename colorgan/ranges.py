"""Name the numbers that constructors take, so that a config can be checked against their signatures."""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """Bound a number in an annotation.

    Attributes:
        least: the smallest one allowed.
        most: the largest one.
        above: the smallest one itself is not allowed.
        below: the largest one itself is not allowed.
    """

    least: float
    most: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        inside = self.least <= value <= self.most
        return inside and not (self.above and value == self.least) and not (self.below and value == self.most)

    def __str__(self) -> str:
        start = f"{'above' if self.above else 'of at least'} {self.least:g}"
        end = f" and {'below' if self.below else 'at most'} {self.most:,.10g}"
        return start if self.most == math.inf else start + end


_LARGEST = 2**31 - 1  # what sizes of tensors can be
Count = Annotated[int, Range(1, _LARGEST)]
Natural = Annotated[int, Range(0, _LARGEST)]
Seed = Annotated[int, Range(0, 4_000_000)]  # a thousand times as much, and the stage, is what NumPy takes
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, above=True)]
ProperShare = Annotated[float, Range(0, 1, above=True, below=True)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
