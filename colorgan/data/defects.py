"""Defects of old film and of its digital copies, each a seeded function of a photo or a clip; marks are in `wear.py`.

Lengths are shares of the picture's height, so that a defect looks the same at any size; only grain is in pixels, as it
is met at any size that film is scanned or scaled to.
"""

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

_SHARES = ("probability", "hairs")


@dataclass(kw_only=True)
class Defect(ABC):
    """One kind of damage, drawn once for each photo or clip; its numbers are the worst that is drawn.

    Args:
        probability: share of the photos or clips that get it.
    """

    probability: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, whole, share = getattr(self, field.name), field.type is int, field.name in _SHARES
            if not (isinstance(value, int if whole else int | float) and 0 <= value <= (1 if share else 1e6)):
                allowed = "in [0, 1]" if share else f"a {'whole ' * whole}number of at least 0"
                raise ValueError(f"{field.name} of {type(self).__name__} must be {allowed}, got {value!r}")

    def __call__(self, gray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade a photo (H, W) or a clip (T, H, W), float32 in [0, 1]; the input array stays as it is."""
        if gray.ndim not in (2, 3):
            raise ValueError(f"a defect takes (H, W) or (T, H, W), got {gray.shape}")
        if rng.random() >= self.probability:
            return gray
        frames = np.clip(gray, 0, 1, dtype=np.float32).reshape(-1, *gray.shape[-2:])
        damaged = np.clip(self.apply(frames, rng), 0, 1, dtype=np.float32)
        return np.asarray(damaged).reshape(gray.shape)

    @abstractmethod
    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Damage (T, H, W) in [0, 1], which may be written to; what leaves [0, 1] is clipped afterwards."""


@dataclass(kw_only=True)
class Blur(Defect):
    """Soft lens or focus: a Gaussian, the same for a whole clip.

    Args:
        sigma: largest standard deviation, as a share of the height.
    """

    sigma: float = 0.008

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        sigma = rng.uniform(0, self.sigma) * frames.shape[1]
        return np.asarray(gaussian_filter(frames, (0, sigma, sigma), truncate=3))


@dataclass(kw_only=True)
class Flicker(Defect):
    """Uneven exposure: each frame has its own gain and offset (van Roosmalen, Lagendijk and Biemond 1999).

    Args:
        gain: standard deviation of the gain's logarithm.
        offset: standard deviation of the offset, on the [0, 1] scale.
    """

    gain: float = 0.15
    offset: float = 0.03

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        gain, offset = rng.normal(0, [[self.gain], [self.offset]], (2, len(frames))).astype(np.float32)
        return np.asarray(np.exp(gain)[:, None, None] * frames + offset[:, None, None])


@dataclass(kw_only=True)
class Grain(Defect):
    """Grain of the emulsion: noise anew in each frame, correlated over neighbours, strongest in mid-tones.

    A tone x is a share x of covered area. Where independent grains cover it, the variance of that share is in
    proportion to x (1 - x): none in pure black and white (compare the Boolean model of Newson, Delon and Galerne
    2017). Strength and size of the grains are those of the stock, so one draw for a clip.

    Args:
        strength: largest standard deviation, at x = 0.5, on the [0, 1] scale.
        size: largest standard deviation of the Gaussian that correlates neighbours, in pixels.
    """

    strength: float = 0.08
    size: float = 0.8

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        strength, size = rng.uniform(0, self.strength), rng.uniform(0, self.size)
        noise = rng.standard_normal(frames.shape, dtype=np.float32)
        noise = gaussian_filter(noise, (0, size, size), truncate=3, mode="wrap")
        reach = int(3 * size) + 1
        kernel = gaussian_filter(np.eye(1, 2 * reach + 1, reach)[0], size, truncate=3)
        noise /= np.float32((kernel**2).sum())  # the standard deviation that the filter left, along both axes
        noise *= np.float32(2 * strength) * np.sqrt(frames * (1 - frames))
        return np.asarray(frames + noise)


@dataclass(kw_only=True)
class Fading(Defect):
    """Faded print: blacks become gray and whites dull, the same for a whole clip.

    Args:
        black: largest tone that black becomes.
        white: most that white loses.
    """

    black: float = 0.25
    white: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.black + self.white >= 1:
            raise ValueError(f"black + white of Fading must stay below 1, got {self.black} + {self.white}")

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        black, white = np.float32(rng.uniform(0, self.black)), np.float32(1 - rng.uniform(0, self.white))
        return np.asarray(black + (white - black) * frames)


@dataclass(kw_only=True)
class Interlacing(Defect):
    """Odd and even lines from different moments, as a field-based transfer leaves them.

    In a clip, the odd lines of a frame are those of the next one (the last frame stays whole). A photo has no next
    moment: its odd lines are shifted sideways as by a moving camera, between pixels linearly.

    The chroma to reach stays that of the even lines, so on odd ones it is off by the motion. `shift` bounds this
    for a photo; in a clip it is the motion of one frame.

    Args:
        shift: largest motion in a photo, as a share of the height.
    """

    shift: float = 0.01

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        if len(frames) > 1:
            frames[:-1, 1::2] = frames[1:, 1::2].copy()
            return frames
        width = frames.shape[2]
        at = np.clip(np.arange(width) + rng.uniform(-self.shift, self.shift) * frames.shape[1], 0, width - 1)
        before = at.astype(int)
        field, part = frames[:, 1::2], (at - before).astype(np.float32)
        frames[:, 1::2] = (1 - part) * field[..., before] + part * field[..., np.minimum(before + 1, width - 1)]
        return frames


@dataclass(kw_only=True)
class Jpeg(Defect):
    """Compression of the digital copy: JPEG of each frame, at one quality for a clip.

    Args:
        lowest: lowest quality of Pillow's scale, at least 1.
        highest: highest quality, at most 100, which is hardly visible.
    """

    lowest: int = 25
    highest: int = 85

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.lowest <= self.highest <= 100:
            raise ValueError(f"lowest and highest of Jpeg must rise within 1..100, got {self.lowest}, {self.highest}")

    def apply(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See `Defect`."""
        quality = int(rng.integers(self.lowest, self.highest + 1))
        for frame in frames:
            file = io.BytesIO()
            Image.fromarray(np.rint(frame * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
            frame[:] = np.asarray(Image.open(file), dtype=np.float32) / 255
        return frames
