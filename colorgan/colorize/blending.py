"""Blend the colours of two networks, shot by shot."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import tee

import cv2
import numpy as np

from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.finishing import looks_at
from colorgan.colorize.shot_list import ShotList
from colorgan.media.film_facts import Frame


class BlendedColorizer:
    """Colorize frames by two networks and mix their colours; the luma of both is that of the frame.

    Args:
        first: the one.
        second: the other.
        share: of the first, in [0, 1]; at 1 and 0 one network works alone.
    """

    def __init__(self, first: Colorizer, second: Colorizer, share: float) -> None:
        self.first, self.second, self.share = first, second, share

    def colorize_frames(self, frames: Iterable[np.ndarray], *, batch_size: int = 8) -> Iterator[np.ndarray]:
        """Colorize frames as `Colorizer.colorize_frames` does."""
        if self.share in (0, 1):
            alone = self.first if self.share else self.second
            yield from alone.colorize_frames(frames, batch_size=batch_size)
            return
        both = zip((self.first, self.second), tee(frames), strict=True)
        colored = [colorizer.colorize_frames(own, batch_size=batch_size) for colorizer, own in both]
        for first, second in zip(*colored, strict=True):
            yield cv2.addWeighted(first, self.share, second, 1 - self.share, 0)


def by_strength(
    first: Colorizer, second: Colorizer, shots: ShotList
) -> Callable[[Frame], Colorizer | BlendedColorizer]:
    """Choose for each frame the mix that its shot's strength asks for; over a dissolve it changes."""
    mixed = cache(lambda share: BlendedColorizer(first, second, share))

    def choose(frame: Frame) -> BlendedColorizer:
        (before, after), share = looks_at(shots, frame.number)
        return mixed(
            before.strength + share * (after.strength - before.strength)
        )  # equal ones stay exactly as they are

    return choose
