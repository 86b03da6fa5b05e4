"""Marks that wear leaves on film: scratches, dust, hairs. Lengths are shares of the picture's height."""

from dataclasses import dataclass

import numpy as np

from colorgan.data.defects import Defect

_FINEST = 4.0  # pixels to each side: below, a damped cosine varies by more than half as it crosses from pixel to pixel


@dataclass(kw_only=True)
class Scratches(Defect):
    """Scratches along the film: near-vertical lines that stay in place over all frames of a clip.

    Across a scratch, tone follows a damped cosine: a bright line with dark flanks or the reverse (Kokaram 1996,
    "Detection and removal of line scratches in degraded motion picture sequences"). How deep a scratch is varies along
    the film, so from frame to frame. One too thin for the pixels is drawn wider and as much fainter, never jagged.

    Args:
        most: largest number of scratches; at least one is drawn.
        width: largest extent of a scratch to each side, flanks included, as a share of the height.
        strength: largest change of tone.
        weave: standard deviation of the sideways jitter of whole frames, as a share of the height.
    """

    most: int = 4
    width: float = 0.02
    strength: float = 0.8
    weave: float = 0.001

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        length, height, width = frames.shape
        jitter = rng.normal(0, self.weave * height, (length, 1))
        for _ in range(rng.integers(min(1, self.most), self.most + 1)):
            tilt = rng.normal(0, 0.01) * (np.arange(height) - height / 2)
            place = rng.uniform(0, width) + tilt + jitter
            extent = rng.uniform(0.3, 1) * self.width * height
            tone = rng.choice([-1, 1]) * rng.uniform(0.3, 1) * self.strength
            depth = _varying(rng.uniform(0.4, 1, (length, 8)), height)[..., None] * min(1, extent / _FINEST)
            extent = max(extent, _FINEST)
            left, right = np.clip([place.min() - 3 * extent, place.max() + 3 * extent + 1], 0, width).astype(int)
            u = abs(np.arange(left, right) + 0.5 - place[..., None]) / extent
            frames[..., left:right] += (tone * depth * np.exp(-2 * u) * np.cos(1.5 * np.pi * u)).astype(np.float32)
        return frames


def _varying(knots: np.ndarray, height: int) -> np.ndarray:
    """Values (T, height) that run straight between knots (T, K)."""
    at = np.linspace(0, knots.shape[1] - 1, height)
    below = np.minimum(at.astype(int), knots.shape[1] - 2)
    return np.asarray(knots[:, below] + (at - below) * (knots[:, below + 1] - knots[:, below]))


@dataclass(kw_only=True)
class Dust(Defect):
    """Dirt and hairs that lie on the film while one frame is copied: dark on a print, bright on its negative.

    Each frame has its own (dirt and sparkle of Kokaram 2004, "On missing data treatment for degraded video and film
    archives"); how dirty it is on average is drawn once for a clip.

    Args:
        most: largest mean number of specks in a frame.
        radius: largest radius of a speck, as a share of the height.
        hairs: share of the specks that are hairs, 6 radii long.
    """

    most: float = 12
    radius: float = 0.02
    hairs: float = 0.15

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        for frame, count in zip(frames, rng.poisson(rng.uniform(0, self.most), len(frames)), strict=True):
            for _ in range(count):
                self._lay_speck(frame, rng)
        return frames

    def _lay_speck(self, frame: np.ndarray, rng: np.random.Generator) -> None:
        height, width = frame.shape
        radius = self.radius * height * 0.15 ** rng.uniform(0, 1)  # more small ones than large
        top, left = rng.uniform(0, height), rng.uniform(0, width)
        reach = 3 * radius + 1
        rows = slice(max(0, int(top - reach)), int(top + reach) + 1)
        columns = slice(max(0, int(left - reach)), int(left + reach) + 1)
        y = np.arange(rows.start, min(rows.stop, height))[:, None] + 0.5 - top
        x = np.arange(columns.start, min(columns.stop, width)) + 0.5 - left
        distance, angle = np.hypot(y, x), np.arctan2(y, x)
        if rng.random() < self.hairs:
            bend = np.hypot(y - 2 * radius * np.sin(turn := rng.uniform(0, 2 * np.pi)), x - 2 * radius * np.cos(turn))
            inside = np.minimum(0.15 * radius - abs(bend - 2 * radius), 3 * radius - distance)  # a piece of a circle
        else:
            waves = np.arange(2, 5)[:, None, None]
            size, phase = rng.normal(0, 0.4 / waves), rng.uniform(0, 2 * np.pi, waves.shape)
            inside = radius * (1 + (size * np.cos(waves * angle + phase)).sum(0)) - distance
        cover = rng.uniform(0.6, 1) * np.clip(inside + 0.5, 0, 1) * min(1, 2 * radius)
        tone = rng.uniform(0.85, 1) if rng.random() < 0.5 else rng.uniform(0, 0.15)
        frame[rows, columns] += (cover * (tone - frame[rows, columns])).astype(np.float32)
