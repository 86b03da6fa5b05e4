"""Compute motion between frames: known motion, optical flow on luma, warping, occlusion.

A flow (N, 2, H, W) holds x and y in pixels: what frame `first` shows at p is in frame `second` at p + flow(p). Warping
brings the second frame to the first: warped(p) = second(p + flow(p)).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from colorgan.color import to_uint8

FlowEstimator = Callable[[Tensor, Tensor], Tensor]  # luma of first and second frames (N, 1, H, W) to a flow


@dataclass(frozen=True)
class Motion:
    """Hold how the T frames of a clip follow each other.

    Attributes:
        flow: (T - 1, 2, H, W), from each frame to the next.
        visible: (T - 1, 1, H, W) bool, what of each frame the next one shows too.
    """

    flow: Tensor
    visible: Tensor

    def to(self, device: str | torch.device) -> "Motion":
        """Copy to a device."""
        return Motion(self.flow.to(device), self.visible.to(device))


def warp(image: Tensor, flow: Tensor, *, padding: str = "border") -> Tensor:
    """Bring the second frame to the first, bilinearly.

    Args:
        image: (N, C, H, W), the second frames.
        flow: (N, 2, H, W), from first to second.
        padding: what stands outside of the image, as kornia names it: `border`, `zeros`, `reflection`.
    """
    from kornia.geometry.transform import remap

    x, y = (_grid(flow) + flow).unbind(dim=1)
    warped: Tensor = remap(image, x, y, mode="bilinear", padding_mode=padding, align_corners=True)
    return warped


def inside(flow: Tensor) -> Tensor:
    """Find the pixels that the motion leaves inside the frame, (N, 1, H, W) bool."""
    height, width = flow.shape[-2:]
    limit = torch.tensor([width - 1, height - 1], device=flow.device).view(1, 2, 1, 1)
    moved = _grid(flow) + flow
    slack = 1e-3  # pixels: float rounding of a motion that ends exactly at the border
    return ((moved >= -slack) & (moved <= limit + slack)).all(dim=1, keepdim=True)


def similarity_flow(
    height: int, width: int, *, shift: Tensor, zoom: Tensor, angle: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Make the exact flow of a similarity about the centre: p -> centre + zoom R(angle) (p - centre) + shift.

    Args:
        height: of the frames.
        width: of the frames.
        shift: (N, 2), x and y in pixels.
        zoom: (N,), above 0.
        angle: (N,), in radians, clockwise on the screen (y points down).
        dtype: of the result.
    """
    device = shift.device
    shift, zoom, angle = (value.cpu().double() for value in (shift, zoom, angle))  # some devices have no float64
    grid = _pixel_grid(height, width, shift.device).double()
    center = grid.new_tensor([(width - 1) / 2, (height - 1) / 2]).view(1, 2, 1, 1)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    matrix = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    moved = torch.einsum("nij,jhw->nihw", matrix, (grid - center)[0]) + center + shift.view(-1, 2, 1, 1)
    return (moved - grid).to(dtype).to(device)


def inconsistent(forward: Tensor, backward: Tensor) -> Tensor:
    """Find where forward and backward flow do not cancel, (N, 1, H, W) bool (Sundaram et al. 2010).

    |f + b'|^2 > 0.01 (|f|^2 + |b'|^2) + 0.5, with b' the backward flow warped to the first frame.

    Args:
        forward: flow from first to second frames.
        backward: flow from second to first frames.
    """
    returned = warp(backward, forward)
    return _square(forward + returned) > 0.01 * (_square(forward) + _square(returned)) + 0.5


def occluded(forward: Tensor, backward: Tensor) -> Tensor:
    """Find what of the first frame the second does not show (Ruder et al. 2016, as in Lai et al. 2018).

    Where the flows are `inconsistent`, or at a motion boundary, |grad f|^2 > 0.01 |f|^2 + 0.002; (N, 1, H, W) bool.
    """
    down = torch.diff(forward, dim=2, append=forward[:, :, -1:])
    right = torch.diff(forward, dim=3, append=forward[..., -1:])
    boundary = _square(down) + _square(right) > 0.01 * _square(forward) + 0.002
    return inconsistent(forward, backward) | boundary


def estimate_motion(luma: Tensor, estimator: FlowEstimator) -> Motion:
    """Estimate the motion of a clip from its luma, (T, 1, H, W) in [0, 1]: the same for every colorization of it."""
    pairs = [(luma[t : t + 1], luma[t + 1 : t + 2]) for t in range(len(luma) - 1)]
    forward = torch.cat([estimator(first, second) for first, second in pairs])
    backward = torch.cat([estimator(second, first) for first, second in pairs])
    return Motion(forward, inside(forward) & ~occluded(forward, backward))


class DISFlow:
    """Estimate flow by dense inverse search (Kroeger et al. 2016): OpenCV's with its `medium` preset, on 8-bit luma."""

    name = "dis_medium"

    def __init__(self) -> None:
        import cv2

        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow of (N, 1, H, W) in [0, 1]; frames below 16 pixels are reflected up to them."""
        height, width = first.shape[-2:]
        missing = [(0, max(0, 16 - side)) for side in (height, width)]
        frames = [
            np.pad(to_uint8(f)[:, 0].cpu().numpy(), [(0, 0), *missing], mode="symmetric") for f in (first, second)
        ]
        start = np.zeros((*frames[0].shape[1:], 2), np.float32)
        flows = [self._search.calc(a, b, start.copy()) for a, b in zip(*frames, strict=True)]
        return torch.from_numpy(np.stack(flows)[:, :height, :width]).permute(0, 3, 1, 2).to(first.device)


class RAFTFlow:
    """Estimate flow by RAFT (Teed and Deng 2020): torchvision's `raft_large`, weights from torch's hub cache or a file.

    Args:
        weights: path of torchvision's file; None for the hub's cache.

    Raises:
        WeightsNotFoundError: it is in neither place.
    """

    def __init__(self, weights: str | None = None) -> None:
        from torchvision.models.optical_flow import raft_large

        from colorgan.networks.weights import find_weights

        found = find_weights("raft_large", weights)
        self.name = "raft_large" if found.official else f"raft_large@{found.sha256[:8]}"
        self.network: nn.Module = raft_large(weights=None)
        self.network.load_state_dict(torch.load(found.path, map_location="cpu", weights_only=True))
        self.network.eval().requires_grad_(False)

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Estimate the flow of (N, 1, H, W) in [0, 1]; edges are repeated up to multiples of 8 from 128 on."""
        height, width = first.shape[-2:]
        pad = [max(128, -(-side // 8) * 8) - side for side in (width, height)]
        frames = [nn.functional.pad(f, [0, pad[0], 0, pad[1]], mode="replicate") for f in (first, second)]
        network = self.network.to(first.device)
        flow: Tensor = network(*(2 * frame.expand(-1, 3, -1, -1) - 1 for frame in frames))[-1]
        return flow[..., :height, :width]


def build_estimator(name: str) -> "DISFlow | RAFTFlow":
    """Build the flow estimator of a name: `dis`, `raft`, or the path of RAFT's weights.

    Raises:
        ValueError: another name.
    """
    if name == "dis":
        return DISFlow()
    if name == "raft" or name.endswith(".pth"):
        return RAFTFlow(None if name == "raft" else name)
    raise ValueError(
        f"flow={name!r} is unknown; allowed: dis, raft, or the path of RAFT's weights (clip_protocol.flow)"
    )


def _pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([x, y]).float().unsqueeze(0)


def _grid(flow: Tensor) -> Tensor:
    return _pixel_grid(flow.shape[-2], flow.shape[-1], flow.device)


def _square(vector: Tensor) -> Tensor:
    return vector.square().sum(dim=1, keepdim=True)
