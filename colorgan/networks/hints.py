"""Let a generator take hints: colour that is known at some places."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorgan.color import color_planes

MOVED = 0.9  # the largest confidence of colour that is not certain, such as flow brings it
PLANES = 3  # two of colour (`colorgan.color.color_planes`) and a confidence
_MAPS = PLANES + 1  # of a level: colour, the highest confidence and the mean one
_HIDDEN = 32  # channels inside the stems
_GATE = 16  # channels inside the gate
# Confidence to this power is what no gate can take away: 1 at confidence 1, 0.19 at 0.95, 0.03 at 0.9.
_CERTAIN = 32
_EPSILON = 1e-6


class HintBranch(nn.Module):
    """Bring hints into a generator: as features at each level of its decoder, and as colour behind its head.

    Hints (N, 3, H, W) are two planes of colour and a confidence in [0, 1]. Where the confidence is 0 nothing is known;
    the planes count in proportion to it. At 1 the colour is certain (a click, a repaired frame) and comes out as it
    is, as far as the gamut allows. Below, the network learns how far to trust it (a colour that flow has moved).

    Stems have no bias, so that hints of zeros give exactly the picture without hints, and end in zeros, so that an
    untrained branch adds no features. After Zhang et al. 2017 (Real-Time User-Guided Image Colorization), who give
    hints to the encoder; added to the decoder they leave a pretrained encoder and earlier weights as they are.

    Args:
        channels: of the decoder's map at each stride; stride 1 is that before the last convolutions.
        features: channels of the map that the head sees.
    """

    def __init__(self, channels: Mapping[int, int], features: int) -> None:
        super().__init__()
        self.strides = list(channels)
        self.stems = nn.ModuleList(_stem(count) for count in channels.values())
        facts = features + 3 + 1  # see `blend`: the difference of two pictures, and a confidence
        self.gate = nn.Sequential(_conv(facts, _GATE, bias=True), nn.ReLU(), nn.Conv2d(_GATE, 1, 1))

    def forward(self, hints: Tensor) -> dict[int, Tensor]:
        """Compute what is added to the decoder's maps, by stride.

        Args:
            hints: (N, 3, H, W); strides divide H and W.
        """
        confidence = hints[:, 2:]
        known = torch.cat([hints[:, :2] * confidence, confidence], dim=1)
        return {stride: stem(_level(known, stride)) for stride, stem in zip(self.strides, self.stems, strict=True)}

    def blend(self, proposal: Tensor, hinted: Tensor, confidence: Tensor, features: Tensor) -> Tensor:
        """Bring the hints' colour into the picture, in proportion to their confidence and a learned trust.

        Args:
            proposal: (N, 3, H, W), the picture that the head means.
            hinted: (N, 3, H, W), the colour of the hints on the same gray.
            confidence: (N, 1, H, W).
            features: (N, C, H, W), the map that the head sees.
        """
        difference = confidence * (hinted - proposal)
        facts = torch.cat([features, difference.to(features.dtype), confidence.to(features.dtype)], dim=1)
        trust = torch.sigmoid(self.gate(facts).float())
        certain = confidence**_CERTAIN
        return torch.lerp(proposal, hinted, certain + (confidence - certain) * trust)


def refuse_hints(hints: object) -> None:
    """Raise `ValueError` where hints, other than None, are given to a network that was built without them."""
    if hints is not None:
        raise ValueError(
            "this network takes no hints; take a checkpoint that was trained with them, as by experiment=nogan_hints "
            "(generator.hints)"
        )


def takes_hints(network: Any) -> bool:
    """Tell whether a generator or discriminator takes hints."""
    return bool(getattr(network, "takes_hints", False))


def check_hints(gray: Tensor, hints: Tensor) -> None:
    """Raise `ValueError` unless hints fit the gray picture."""
    wanted = (gray.shape[0], PLANES, *gray.shape[-2:])
    if tuple(hints.shape) != wanted:
        raise ValueError(f"hints must be {wanted}, two planes of colour and a confidence, got {tuple(hints.shape)}")


def grid_hints(rgb: Tensor, rule: str) -> Tensor:
    """Take nine points of pictures as certain hints: the middles of a grid of three by three, 3 pixels wide.

    Args:
        rgb: (N, 3, H, W) in [0, 1].
        rule: the gray rule.
    """
    known = torch.zeros_like(rgb[:, :1])
    height, width = rgb.shape[-2:]
    for third in range(9):
        y, x = (2 * (third // 3) + 1) * height // 6, (2 * (third % 3) + 1) * width // 6
        known[..., max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 1
    return torch.cat([color_planes(rgb, rule) * known, known], dim=1)


def _conv(inputs: int, outputs: int, *, bias: bool = False) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate", bias=bias)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv


def _stem(channels: int) -> nn.Sequential:
    last = _conv(_HIDDEN, channels)
    nn.init.zeros_(last.weight)
    return nn.Sequential(_conv(_MAPS, _HIDDEN), nn.ReLU(), last)


def _level(known: Tensor, stride: int) -> Tensor:
    """Reduce hints to a map of a stride: a point stays as sure as it was, with its own colour."""
    mean = F.avg_pool2d(known, stride)
    highest = F.max_pool2d(known[:, 2:], stride)
    color = mean[:, :2] / (mean[:, 2:] + _EPSILON)
    return torch.cat([color * highest, highest, mean[:, 2:]], dim=1)
