"""Follow what a film shows from frame to frame, on small planes: optical flow, and how far it can be trusted."""

from typing import NamedTuple

import cv2
import numpy as np

SIZE = 160  # shorter side at which motion is looked for; colours are coarse
CUT_LIKENESS = 0.45  # of luma: on 11 clips, 341 of 341 pairs within a clip lie above, 108 of 110 across clips below
_LUMA_TOLERANCE = 0.06  # difference of luma at which two points count half as the same
_LEAST = 16  # pixels a side that the flow needs


class Link(NamedTuple):
    """How two frames that follow each other belong together.

    `back` (h, w, 2) leads from each pixel of the second to where the first shows it, `forth` the other way; `kept` and
    `goes_on` (h, w) in [0, 1] say how surely the other frame shows it at all.
    """

    back: np.ndarray
    forth: np.ndarray
    kept: np.ndarray
    goes_on: np.ndarray


class Tracker:
    """Link each frame of a film to the one before, and none over a cut."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.luma: np.ndarray | None = None  # of the frame before

    def follow(self, luma: np.ndarray, *, anew: bool = False) -> Link | None:
        """Link a frame to the one before.

        Args:
            luma: (h, w) of float32 in [0, 1], as `small` makes it.
            anew: a shot begins.

        Returns:
            None for the first frame of a shot.
        """
        before, self.luma = self.luma, luma
        if anew or before is None or before.shape != luma.shape or likeness(before, luma) < CUT_LIKENESS:
            return None
        back, forth = self._flow(luma, before), self._flow(before, luma)
        return Link(back, forth, _trust(luma, before, back, forth), _trust(before, luma, forth, back))

    def _flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Estimate where `second` shows each pixel of `first`."""
        height, width = first.shape
        missing = [(0, max(0, _LEAST - side)) for side in (height, width)]
        a, b = (np.pad(np.rint(255 * plane).astype(np.uint8), missing, mode="symmetric") for plane in (first, second))
        flow = np.asarray(self._search.calc(a, b, np.zeros((*a.shape, 2), np.float32)))
        return np.ascontiguousarray(flow[:height, :width])


def small(plane: np.ndarray) -> np.ndarray:
    """Bring a picture, (H, W) or (H, W, C), to the size at which motion is followed; smaller ones stay."""
    height, width = plane.shape[:2]
    scale = SIZE / min(height, width)
    if scale >= 1:
        return plane
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def moved(planes: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Bring planes (h, w, ...) of one frame to where another shows them, along the flow from that one."""
    y, x = np.indices(flow.shape[:2], np.float32)
    return np.asarray(
        cv2.remap(planes, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def carried(planes: np.ndarray, flow: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Bring chroma and its confidence (h, w, 3) along a flow, with less confidence where that is not to be trusted."""
    brought = moved(planes, flow.astype(np.float32, copy=False))
    brought[..., 2] *= trust
    return brought


def _squared(flow: np.ndarray) -> np.ndarray:
    """Compute squared lengths; numpy's sum over an axis of two takes six times as long."""
    return np.asarray(flow[..., 0] * flow[..., 0] + flow[..., 1] * flow[..., 1])


def _trust(luma: np.ndarray, other: np.ndarray, flow: np.ndarray, opposite: np.ndarray) -> np.ndarray:
    """Say how surely `other` shows each pixel: flows cancel (`colorgan.flow.inconsistent`), the luma is the same."""
    height, width = luma.shape
    returned = moved(opposite, flow)
    fits = _squared(flow + returned) <= 0.01 * (_squared(flow) + _squared(returned)) + 0.5
    y, x = np.indices((height, width), np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    fits &= (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    difference = luma - moved(other, flow)
    difference -= np.median(difference)  # the exposure of old film changes from frame to frame
    return np.asarray(fits * np.exp2(-np.square(difference / _LUMA_TOLERANCE)), np.float32)


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlate two planes at 32 px (Pearson): high within a shot, whatever the exposure; 1 for flat ones."""
    a, b = (cv2.resize(plane, (32, 32), interpolation=cv2.INTER_AREA).ravel() for plane in (first, second))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 1e-6 else 1.0
