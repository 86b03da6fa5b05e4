"""Hold a picture at its full depth."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from colorgan.media.metadata import Metadata
from colorgan.media.samples import to_8bit

# EXIF's orientation: whether rows become columns first, then the step along rows and columns
_TURNS = {
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


@dataclass(frozen=True, eq=False)
class Scan:
    """Hold a picture at its full depth, upright, in sRGB.

    Args:
        pixels: (H, W) if gray, else (H, W, 3); uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        metadata: what else the file says.
        duration_ms: how long an animation shows it; None for others.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)
    duration_ms: float | None = None

    def to_image(self) -> Image.Image:
        """Convert to 8 bits: an image of mode `RGB`, or `RGBA` if there is transparency."""
        image = Image.fromarray(to_8bit(self.pixels)).convert("RGB")
        if self.alpha is not None:
            image.putalpha(Image.fromarray(to_8bit(self.alpha)))
        return image

    def to_array(self) -> np.ndarray:
        """Join pixels and alpha to (H, W, 3) or (H, W, 4) at full depth."""
        rgb = self.pixels if self.pixels.ndim == 3 else np.repeat(self.pixels[..., None], 3, axis=2)
        return rgb if self.alpha is None else np.concatenate([rgb, self.alpha[..., None]], axis=2)


def upright(plane: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture (H, W) or (H, W, C) by EXIF's orientation, 1 to 8."""
    swapped, down, across = _TURNS[orientation]
    turned = plane.swapaxes(0, 1) if swapped else plane
    return np.ascontiguousarray(turned[::down, ::across])
