"""Damage to the gray of training samples; the colours to reach stay those of the photo."""

from collections.abc import Callable, Mapping

import numpy as np

from colorgan.ranges import Share

Degradation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class PixelNoise:
    """The noise of DeOldify's video training, on the input alone.

    A share of the pixels, drawn anew for each picture, gets each its own offset (ColorizeTrainingVideo). DeOldify
    draws it for the target as well and so trains noisy-to-noisy; here the colours to reach stay clean.

    Args:
        probability: share of the pictures that get noise.
        max_share: largest share of pixels; the smallest is 0.001.
        amplitude: largest offset, on the [0, 1] scale.
    """

    def __init__(self, probability: Share = 0.8, max_share: Share = 0.4, amplitude: Share = 30 / 255) -> None:
        self.probability, self.max_share, self.amplitude = probability, max_share, amplitude

    def __call__(self, gray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade (H, W) float32 in [0, 1]; the input array stays as it is."""
        if rng.random() >= self.probability:
            return gray
        share = rng.uniform(0.001, self.max_share)
        hit = rng.random(gray.shape, dtype=np.float32) < share
        offset = rng.uniform(-self.amplitude, self.amplitude, gray.shape).astype(np.float32)
        return np.clip(gray + hit * offset, 0, 1)


class ArchivalFilm:
    """Several defects one after another, each by its own chance: what an old film went through.

    Defects of old film as augmentations of a restorer's or colorizer's input: DeepRemaster (Iizuka and Simo-Serra
    2019) and Bringing Old Films Back to Life (Wan et al. 2022). `configs/experiment/nogan_archival.yaml` has them in
    the order of their origin: lens and exposure, the emulsion, its ageing, wear of the print, the digital copy.

    All of them leave every object where it is (interlacing: almost), so that the photo's chroma still fits the
    damaged gray; weave of the gate and stretch of the film are left out for that reason.

    Args:
        defects: by name, in the order in which they are applied (`colorgan/data/defects.py`, `wear.py`).
    """

    def __init__(self, defects: Mapping[str, Degradation]) -> None:
        self.defects = list(defects.values())

    def __call__(self, gray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade a photo (H, W) or a clip (T, H, W), float32 in [0, 1]; the input array stays as it is."""
        for defect in self.defects:
            gray = defect(gray, rng)
        return gray
