"""Cut views out of a photo: random ones for training, the centre for validation."""

import numpy as np
from PIL import Image


def random_view(pixels: np.ndarray, size: int, rng: np.random.Generator, *, min_crop: float) -> np.ndarray:
    """Cut a random square of the photo, resize it, flip it half of the time.

    There is no lighting augmentation: DeOldify changes the light of input and target apart, so that the gray of the
    target is not the input.

    Args:
        pixels: (H, W, 3) uint8.
        size: height and width of the view.
        rng: of this sample.
        min_crop: smallest side of the square, as a share of the photo's shorter side; at most 1.
    """
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    side = min(shorter, max(size, round(shorter * rng.uniform(min_crop, 1))))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    view = resize(pixels[top : top + side, left : left + side], size)
    if rng.random() < 0.5:
        view = view[:, ::-1]
    return view


def center_view(pixels: np.ndarray, size: int, resample: str = "bilinear") -> np.ndarray:
    """Cut the largest centred square of (H, W, 3) uint8, resized to (size, size, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(pixels[top : top + side, left : left + side], size, resample)


def resize(pixels: np.ndarray, size: int, resample: str = "bilinear") -> np.ndarray:
    """Resize (H, W, 3) uint8 to a square, antialiased, whatever its shape.

    Args:
        pixels: the image.
        size: height and width of the result.
        resample: `bilinear`, `bicubic` or `lanczos`, each as in PIL.
    """
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling[resample.upper()]))
