"""Drawn scenes whose colours are known: a test bed for what adversarial training adds."""

import numpy as np
import torch

from colorgan.color import lab_to_rgb, to_uint8

AMBIGUOUS_CHROMA = 42.0  # CIE Lab chroma of the disc, in either of its two opposite hues
# Ocher and blue: of all opposite hues the pair that shares its luma601 too (within a level), inside the gamut.
_AMBIGUOUS_HUES = (1.71, 1.71 + np.pi)
_DETERMINED_AB = (-30.0, 35.0)
_BACKGROUND_AB = (10.0, -18.0)


def draw_scene(seed: int, index: int, size: int) -> np.ndarray:
    """Draw a scene as a pure function of (seed, index).

    A disc has one of two opposite hues, by chance, at the same lightness: nothing in the gray picture tells which,
    so the mean of both is the best answer of a regression. A striped square always has the same hue. The lightness
    of the background varies smoothly, that of the disc from scene to scene.

    Args:
        seed: of the set.
        index: of the scene.
        size: height and width in pixels, at least 8.

    Returns:
        (size, size, 3) uint8 sRGB.
    """
    rng = np.random.default_rng([seed, index])
    rows, columns = np.mgrid[:size, :size] / size
    slope = rng.uniform(-20, 20, 2)
    lightness = 55 + slope[0] * (rows - 0.5) + slope[1] * (columns - 0.5)
    ab = np.broadcast_to(np.array(_BACKGROUND_AB)[:, None, None], (2, size, size)).copy()

    center, radius = rng.uniform(0.25, 0.75, 2), rng.uniform(0.12, 0.22)
    square, side = rng.uniform(0.05, 0.65, 2), rng.uniform(0.2, 0.3)
    hue = _AMBIGUOUS_HUES[rng.integers(2)]
    inside = (abs(rows - square[0] - side / 2) < side / 2) & (abs(columns - square[1] - side / 2) < side / 2)
    lightness[inside] = 45 + 25 * (np.sin(columns[inside] * 60) > 0)
    ab[:, inside] = np.array(_DETERMINED_AB)[:, None]
    disc = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 < radius**2
    lightness[disc] = 60 + rng.uniform(-5, 5)
    ab[:, disc] = AMBIGUOUS_CHROMA * np.array([[np.cos(hue)], [np.sin(hue)]])

    lab = torch.from_numpy(np.concatenate([lightness[None], ab])).float()[None]
    return to_uint8(lab_to_rgb(lab))[0].permute(1, 2, 0).numpy()
