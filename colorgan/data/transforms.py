"""Views of a photo: random ones for training, the centre for validation."""

import numpy as np
from PIL import Image


def random_view(
    pixels: np.ndarray, size: int, rng: np.random.Generator, *, min_crop: float, lighting: float
) -> np.ndarray:
    """A random square of the photo, resized, flipped half of the time, with random light.

    Gray is derived from the view afterwards, so it is always the gray of the target; DeOldify's lighting
    augmentation, applied to input and target apart, breaks that.

    Args:
        pixels: (H, W, 3) uint8.
        size: height and width of the view.
        rng: of this sample.
        min_crop: smallest side of the square, as a share of the photo's shorter side; at most 1.
        lighting: spread of brightness and contrast; 0 for none.
    """
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    side = min(shorter, max(size, round(shorter * rng.uniform(min_crop, 1))))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    view = resize(pixels[top : top + side, left : left + side], size)
    if rng.random() < 0.5:
        view = view[:, ::-1]
    if lighting:
        contrast, brightness = np.exp(rng.uniform(-lighting, lighting)), rng.uniform(-lighting, lighting) / 2
        levels = (np.arange(256) / 255 - 0.5) * contrast + 0.5 + brightness
        view = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)[view]
    return view


def center_view(pixels: np.ndarray, size: int, resample: str = "bilinear") -> np.ndarray:
    """The largest centred square of (H, W, 3) uint8, resized to (size, size, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(pixels[top : top + side, left : left + side], size, resample)


def resize(pixels: np.ndarray, size: int, resample: str = "bilinear") -> np.ndarray:
    """Antialiased resize of (H, W, 3) uint8 to a square, whatever its shape.

    Args:
        pixels: the image.
        size: height and width of the result.
        resample: `bilinear`, `bicubic` or `lanczos`, each as in PIL.
    """
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling[resample.upper()]))
