"""Colorize as DeOldify does: a square copy, 8-bit YUV, everything truncated where it truncates.

An option for comparing with its published renders (`deoldify/filters.py`, MIT); `Colorizer` is the better way.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from PIL import Image

from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.hints import Hints
from colorgan.media.samples import to_8bit
from colorgan.media.scan import Scan

RENDER_UNIT = 16  # DeOldify: the square has 16 pixels a step of its render factor
DEFAULT_RENDER_FACTOR = 35  # DeOldify's for photos; 21 for film


class SquashColorizer(Colorizer):
    """Colorize as DeOldify does: squashed to a square, whatever the shape, and merged in 8-bit YUV.

    Every step is DeOldify's: bilinear to a square of `working_size` (16 times the render factor), larger or smaller
    than the photo; PIL's luma; network; clamp; levels truncated; bilinear back; Y of the photo, U and V of the picture.
    """

    @property
    def takes_hints(self) -> bool:
        """Say that DeOldify's way takes no hints."""
        return False

    def colorize_frames(self, frames: Iterable[np.ndarray], *, batch_size: int = 1) -> Iterator[np.ndarray]:
        """Colorize frames (H, W, 3) or (H, W) uint8 one after the other; `batch_size` is DeOldify's, 1."""
        if self.gray_rule != "luma601":
            raise ValueError(f"--squash takes BT.601 luma, but the checkpoint was trained on {self.gray_rule}")
        for frame in frames:
            yield self._colorize_frame(frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2))

    def colorize_scan(self, scan: Scan, hints: Hints | None = None) -> Scan:
        """Colorize a picture with DeOldify's 8 bits; alpha and metadata are kept; refuses hints."""
        if hints is not None:
            raise ValueError("DeOldify's way takes no hints; leave --squash out (--hints)")
        rgb = next(self.colorize_frames([to_8bit(scan.pixels)]))
        return replace(scan, pixels=rgb, alpha=None if scan.alpha is None else to_8bit(scan.alpha))

    @torch.inference_mode()
    def _colorize_frame(self, frame: np.ndarray) -> np.ndarray:
        photo = Image.fromarray(frame)
        square = photo.resize((self.working_size, self.working_size), Image.Resampling.BILINEAR).convert("L")
        gray = torch.from_numpy(np.array(square)).to(self.device)[None, None].float() / 255
        rgb = self.generator(gray)[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        levels = (rgb * 255).astype(np.uint8)  # quirk: truncated, which darkens by half a level; only U and V are kept
        color = Image.fromarray(levels).resize(photo.size, Image.Resampling.BILINEAR)
        return merge_yuv(frame, np.asarray(color))


def merge_yuv(luma_rgb: np.ndarray, chroma_rgb: np.ndarray) -> np.ndarray:
    """Merge Y of one image with U and V of another, in OpenCV's 8-bit arithmetic.

    Args:
        luma_rgb: (H, W, 3) uint8.
        chroma_rgb: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8. Its luma is that of `luma_rgb` to one level, except where a colour leaves the gamut and is cut.
    """
    yuv = cv2.cvtColor(luma_rgb, cv2.COLOR_RGB2YUV)
    yuv[..., 1:] = cv2.cvtColor(chroma_rgb, cv2.COLOR_RGB2YUV)[..., 1:]
    merged: np.ndarray = cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB)
    return merged
