"""Give a shot the colours of another photo, by luma: it does not know what is what in either."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from colorgan.colorize.motion import small
from colorgan.colorize.pipeline import Colored, SegmentEnd
from colorgan.colorize.shot_list import ShotList
from colorgan.colorize.smoothing import change_frame, chroma, luma

_BANDS = 8  # of luma
_PRIOR = 0.02  # share of the picture that counts, in each band, for the picture as a whole
_SPREAD = (0.5, 2.0)  # by which the spread of colours may change


@dataclass(frozen=True)
class Tones:
    """The colours of a picture by luma: mean and standard deviation of chroma in each band, (bands, 2)."""

    mean: np.ndarray
    spread: np.ndarray


def tones(rgb: np.ndarray) -> Tones:
    """Measure the colours of a picture, (H, W, 3) uint8."""
    picture = small(rgb.astype(np.float32) / 255)
    colors = chroma(picture).reshape(-1, 2).astype(float)
    weights = _weights(luma(picture)).reshape(-1, _BANDS).astype(float) / len(colors)

    def averages(values: np.ndarray) -> np.ndarray:
        return np.asarray((weights.T @ values + _PRIOR * values.mean(axis=0)) / (weights.sum(axis=0)[:, None] + _PRIOR))

    mean = averages(colors)
    return Tones(mean, np.sqrt(np.maximum(averages(np.square(colors)) - np.square(mean), 1e-6)))


def repainted(
    items: Iterable[Colored | SegmentEnd], shots: ShotList, palettes: Mapping[int, tuple[Tones, Tones]], gray_rule: str
) -> Iterator[Colored | SegmentEnd]:
    """Change the colours of shots from one set of tones to another; the same change in all frames of a shot.

    Args:
        items: coloured frames.
        shots: the list.
        palettes: tones that a shot has and is to get, by its first frame.
        gray_rule: of the colorizer.
    """
    for item in items:
        pair = None
        if isinstance(item, Colored) and item.frame.rgb is None:
            pair = palettes.get(shots.at(item.frame.number).start)
        if pair is None or isinstance(item, SegmentEnd):
            yield item
        else:
            yield Colored(item.frame, change_frame(item.rgb, tone_change(item.rgb, *pair), gray_rule))


def tone_change(rgb: np.ndarray, own: Tones, wanted: Tones) -> np.ndarray:
    """Compute the change of chroma, (h, w, 2), that gives a picture with its own tones the wanted ones."""
    picture = small(rgb.astype(np.float32) / 255)
    weights, colors = _weights(luma(picture)), chroma(picture)
    scale = np.clip(wanted.spread / own.spread, *_SPREAD)
    changed = (colors - weights @ own.mean) * (weights @ scale) + weights @ wanted.mean
    return np.asarray(changed - colors, np.float32)


def _weights(gray: np.ndarray) -> np.ndarray:
    """Say how much each pixel belongs to each band of luma, (..., bands); neighbouring bands overlap."""
    places = np.clip(gray, 0, 1)[..., None] * (_BANDS - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(places - np.arange(_BANDS))), np.float32)
