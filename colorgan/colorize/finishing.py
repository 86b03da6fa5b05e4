"""Finish the colours of a film, shot by shot: saturation, dark guard, hue ranges. Luma is not touched."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from colorgan.colorize.looks import HueRange, Look
from colorgan.colorize.pipeline import Colored, SegmentEnd
from colorgan.colorize.shot_list import ShotList
from colorgan.media.film_facts import FilmFacts

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601, see `colorgan.color`
_SOFT = 10.0  # degrees beside a range of hues in which its change fades out


def finished(
    items: Iterable[Colored | SegmentEnd], shots: ShotList, facts: FilmFacts
) -> Iterator[Colored | SegmentEnd]:
    """Finish each frame as its shot says; over a dissolve from the look of one shot to that of the next."""
    for item in items:
        if isinstance(item, SegmentEnd) or item.frame.rgb is not None:
            yield item
            continue
        gray, rgb = facts.gray(item.frame.luma), item.rgb
        (first, second), share = looks_at(shots, item.frame.number)
        done = finish(rgb, gray, first)
        if share:
            done = cv2.addWeighted(done, 1 - share, finish(rgb, gray, second), share, 0)
        yield Colored(item.frame, done)


def looks_at(shots: ShotList, frame: int) -> tuple[tuple[Look, Look], float]:
    """Find the look of a frame: two and the share of the second, which is 0 outside of dissolves."""
    index = shots.index(frame)
    for later in (index, index + 1):
        if 0 < later < len(shots.shots):
            shot, before = shots.shots[later], shots.shots[later - 1]
            since = frame - shot.start + (shot.dissolve + 1) / 2  # the dissolve's middle is at the start
            if shot.dissolve and 0 < since < shot.dissolve + 1 and before.look != shot.look:
                return (before.look, shot.look), since / (shot.dissolve + 1)
    return (shots.shots[index].look,) * 2, 0.0


def finish(rgb: np.ndarray, gray: np.ndarray, look: Look) -> np.ndarray:
    """Finish a picture.

    Args:
        rgb: (H, W, 3) uint8.
        gray: (H, W) uint8, which is kept.
        look: how; its strength is for `blend`.
    """
    if (look.saturation, look.dark, look.hues) == (1.0, 0.0, ()):
        return rgb
    color, luma = rgb.astype(np.float32) / 255, gray.astype(np.float32) / 255
    offset = color - (color @ _LUMA)[..., None]
    if look.hues:
        hue = cv2.cvtColor(color, cv2.COLOR_RGB2HSV)[..., 0]
        for change in look.hues:
            offset = _change_hues(offset, hue, change)
    scale = np.full_like(luma, look.saturation)
    if look.dark:
        rise = np.clip(luma / np.float32(look.dark), 0, 1)
        scale *= rise * rise * (3 - 2 * rise)
    offset *= scale[..., None]
    room = np.where(offset > 0, 1 - luma[..., None], luma[..., None])  # see `recombine` of `colorgan.color`
    offset *= np.minimum(1, (room / np.maximum(np.abs(offset), 1e-6)).min(axis=2, keepdims=True))
    finished_levels: np.ndarray = np.rint(255 * (luma[..., None] + offset)).clip(0, 255).astype(np.uint8)
    return finished_levels


def _change_hues(offset: np.ndarray, hue: np.ndarray, change: HueRange) -> np.ndarray:
    """Change the chroma of some hues; it keeps its size where it is moved to another hue."""
    half = (change.end - change.start) % 360 / 2 or (180.0 if change.end != change.start else 0.0)
    middle = (change.start + half) % 360
    away = np.abs((hue - middle + 180) % 360 - 180)
    inside = np.clip((half + _SOFT - away) / _SOFT, 0, 1).astype(np.float32)
    changed = offset * (1 + inside * (change.saturation - 1))[..., None]
    if change.to is None:
        return np.asarray(changed)
    moved = _directions()[np.rint(hue + change.to - middle).astype(int) % 360] * _size(offset)
    return np.asarray(changed + inside[..., None] * (moved - offset))


def _size(offset: np.ndarray) -> np.ndarray:
    """Measure chroma as the length in Cb and Cr."""
    length: np.ndarray = np.hypot(0.564 * offset[..., 2:], 0.713 * offset[..., :1])
    return length


def _directions() -> np.ndarray:
    """Compute the chroma of each full hue, of length 1: (360, 3)."""
    hsv = np.stack([np.arange(360), np.ones(360), np.ones(360)], axis=-1).astype(np.float32)
    rgb = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    offset = rgb - (rgb @ _LUMA)[:, None]
    return np.asarray(offset / _size(offset))
