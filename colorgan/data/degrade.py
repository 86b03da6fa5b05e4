"""Damage to the gray of training samples; the colours to reach stay those of the photo."""

import numpy as np


class PixelNoise:
    """The noise of DeOldify's video training, on the input alone.

    A share of the pixels, drawn anew for each picture, gets each its own offset (ColorizeTrainingVideo). DeOldify
    draws it for the target as well and so trains noisy-to-noisy; here the colours to reach stay clean.

    Args:
        probability: share of the pictures that get noise.
        max_share: largest share of pixels; the smallest is 0.001.
        amplitude: largest offset, on the [0, 1] scale.
    """

    def __init__(self, probability: float = 0.8, max_share: float = 0.4, amplitude: float = 30 / 255) -> None:
        self.probability, self.max_share, self.amplitude = probability, max_share, amplitude

    def __call__(self, gray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade (H, W) float32 in [0, 1]; the input array stays as it is."""
        if rng.random() >= self.probability:
            return gray
        share = rng.uniform(0.001, self.max_share)
        hit = rng.random(gray.shape, dtype=np.float32) < share
        offset = rng.uniform(-self.amplitude, self.amplitude, gray.shape).astype(np.float32)
        return np.clip(gray + hit * offset, 0, 1)
