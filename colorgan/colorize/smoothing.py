"""Steady the colours of a film that is colorized frame by frame: average chroma along the motion of the luma."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from colorgan.color import chroma_to_rgb, recombine, rgb_to_chroma, rgb_to_gray
from colorgan.flow import DISFlow, FlowEstimator, inconsistent, inside, warp

_FLOW_SIZE = 256  # shorter side at which motion is looked for; DIS takes 20 ms there, and colours are coarse anyway
_CUT_CORRELATION = 0.45  # of luma: on 11 clips, 341 of 341 pairs within a clip lie above, 108 of 110 across clips below
_LUMA_TOLERANCE = 0.06  # difference of luma at which two points count half as the same


class ChromaSmoother:
    """Average chroma over the frames of a film, recursively, and start anew where the scene changes.

    The averaged chroma of the frame before is brought to this one along the optical flow between their luma planes
    (Lai et al. 2018 learn such a blind average; here it is taken by hand). It counts where flow and luma say that both
    show the same thing. Luma is not touched: the gray of the result is that of the input.

    Args:
        strength: weight of the frame before, in [0, 1); 0.8 averages over about five frames.
        gray_rule: of the colorizer, which the smoother does not see.
        estimator: optical flow between luma planes; DIS by default.
    """

    def __init__(
        self, *, strength: float = 0.8, gray_rule: str = "luma601", estimator: FlowEstimator | None = None
    ) -> None:
        if not 0 <= strength < 1:
            raise ValueError(f"the smoothing strength must be in [0, 1), got {strength} (--smooth)")
        self.strength, self.gray_rule = strength, gray_rule
        self.estimator = estimator or DISFlow()
        self._luma: Tensor | None = None
        self._chroma: Tensor | None = None

    def smooth(self, rgb: Tensor) -> Tensor:
        """Smooth frames that follow those of the call before.

        Args:
            rgb: (N, 3, H, W) in [0, 1].

        Returns:
            (N, 3, H, W) in [0, 1] of the same gray.
        """
        return torch.cat([self._smooth_one(frame) for frame in rgb.unsqueeze(1).unbind()]) if len(rgb) else rgb

    def state(self) -> dict[str, np.ndarray]:
        """Return what the next frame needs; empty at the beginning."""
        if self._luma is None or self._chroma is None:
            return {}
        return {"luma": self._luma.cpu().numpy(), "chroma": self._chroma.cpu().numpy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a stored state."""
        self._luma = torch.from_numpy(state["luma"]) if state else None
        self._chroma = torch.from_numpy(state["chroma"]) if state else None

    def _smooth_one(self, rgb: Tensor) -> Tensor:
        luma, chroma = self._small(rgb_to_gray(rgb)), self._small(rgb_to_chroma(rgb))
        before_luma, before_chroma = self._luma, self._chroma
        self._luma, self._chroma = luma, chroma
        if before_luma is None or before_chroma is None or before_luma.shape != luma.shape:
            return rgb
        before_luma, before_chroma = before_luma.to(luma.device), before_chroma.to(luma.device)
        if _correlation(before_luma, luma) < _CUT_CORRELATION:
            return rgb
        flow = self.estimator(luma, before_luma)
        visible = inside(flow) & ~inconsistent(flow, self.estimator(before_luma, luma))
        residual = luma - warp(before_luma, flow)
        residual = residual - residual.median()  # the exposure of old film changes from frame to frame
        same = torch.exp2(-(residual / _LUMA_TOLERANCE).square())
        change = self.strength * same * visible * (warp(before_chroma, flow) - chroma)
        self._chroma = chroma + change
        large = F.interpolate(change, rgb.shape[-2:], mode="bilinear", align_corners=False)
        changed = rgb + chroma_to_rgb(torch.zeros_like(large[:, :1]), large)
        return recombine(rgb_to_gray(rgb, self.gray_rule), changed, self.gray_rule)

    @staticmethod
    def _small(image: Tensor) -> Tensor:
        scale = _FLOW_SIZE / min(image.shape[-2:])
        if scale >= 1:
            return image
        size = [max(1, round(side * scale)) for side in image.shape[-2:]]
        return F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)


def _correlation(first: Tensor, second: Tensor) -> float:
    """Correlate two luma planes at 32 px (Pearson): high within a shot, whatever the exposure; 1 for flat ones."""
    a, b = (F.adaptive_avg_pool2d(plane, 32).flatten() for plane in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = a.norm() * b.norm()
    return float(a @ b / norm) if norm > 1e-6 else 1.0
