"""DeOldify's way from photo to colour picture: a square copy, 8-bit YUV, everything truncated where it truncates.

An option for comparing with its published renders (`deoldify/filters.py`, MIT); `Colorizer` is the better way.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from PIL import Image

from colorgan.colorize.colorizer import Colorizer

RENDER_UNIT = 16  # DeOldify: the square has 16 pixels a step of its render factor
DEFAULT_RENDER_FACTOR = 35  # DeOldify's for photos; 21 for film

_SHIFT = 14  # OpenCV's fixed point for 8-bit YUV: coefficients times 2^14, rounded
_Y_OF_RGB = (4899, 9617, 1868)  # BT.601: 0.299, 0.587, 0.114
_U_OF_BLUE, _V_OF_RED = 8061, 14369  # U = 0.492 (B - Y) + 128, V = 0.877 (R - Y) + 128
_BLUE_OF_U, _GREEN_OF_U, _GREEN_OF_V, _RED_OF_V = 33292, -6472, -9519, 18678  # 2.032, -0.395, -0.581, 1.140


class SquashColorizer(Colorizer):
    """Colorizes as DeOldify does: squashed to a square, whatever the shape, and merged in 8-bit YUV.

    Every step is DeOldify's: bilinear to a square of `working_size` (16 times the render factor), larger or smaller
    than the photo; PIL's luma; network; clamp; levels truncated; bilinear back; Y of the photo, U and V of the picture.
    """

    def colorize_frames(self, frames: Iterable[np.ndarray], *, batch_size: int = 1) -> Iterator[np.ndarray]:
        """Colorize frames (H, W, 3) or (H, W) uint8 one after the other; `batch_size` is DeOldify's, 1."""
        if self.gray_rule != "luma601":
            raise ValueError(f"--squash takes BT.601 luma, but the checkpoint was trained on {self.gray_rule}")
        for frame in frames:
            yield self._colorize_frame(frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2))

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
    """Y of one image with U and V of another, in OpenCV's 8-bit arithmetic.

    Args:
        luma_rgb: (H, W, 3) uint8.
        chroma_rgb: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8. Its luma is that of `luma_rgb` to one level, except where a colour leaves the gamut and is cut.
    """
    yuv = rgb_to_yuv(luma_rgb)
    yuv[..., 1:] = rgb_to_yuv(chroma_rgb)[..., 1:]
    return yuv_to_rgb(yuv)


def rgb_to_yuv(rgb_uint8: np.ndarray) -> np.ndarray:
    """8-bit YUV (BT.601, U and V around 128) of (..., 3) uint8, as OpenCV's `COLOR_RGB2YUV`."""
    red, green, blue = np.moveaxis(rgb_uint8.astype(np.int64), -1, 0)
    y = _descale(_Y_OF_RGB[0] * red + _Y_OF_RGB[1] * green + _Y_OF_RGB[2] * blue)
    u = _descale((blue - y) * _U_OF_BLUE) + 128
    v = _descale((red - y) * _V_OF_RED) + 128
    return _to_uint8(np.stack([y, u, v], axis=-1))


def yuv_to_rgb(yuv_uint8: np.ndarray) -> np.ndarray:
    """The inverse of `rgb_to_yuv`, as OpenCV's `COLOR_YUV2RGB`; what leaves 0..255 is cut off."""
    y, u, v = np.moveaxis(yuv_uint8.astype(np.int64), -1, 0)
    u, v = u - 128, v - 128
    red = y + _descale(v * _RED_OF_V)
    green = y + _descale(u * _GREEN_OF_U + v * _GREEN_OF_V)
    blue = y + _descale(u * _BLUE_OF_U)
    return _to_uint8(np.stack([red, green, blue], axis=-1))


def _descale(fixed: np.ndarray) -> np.ndarray:
    """Round a fixed-point number to the nearest integer, halves up."""
    rounded: np.ndarray = (fixed + (1 << (_SHIFT - 1))) >> _SHIFT
    return rounded


def _to_uint8(levels: np.ndarray) -> np.ndarray:
    cut: np.ndarray = np.clip(levels, 0, 255).astype(np.uint8)
    return cut
