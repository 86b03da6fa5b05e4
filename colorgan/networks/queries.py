"""Query generator: learned colour queries look at the U-Net's decoder maps and say what its pixels become."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorgan.networks.encoders import Pyramid
from colorgan.networks.unet import HEADS, UNetGenerator
from colorgan.ranges import Count

_HEAD_WIDTH = 16  # channels of one head of attention; DDColor has 32
_FEED_FORWARD = 4  # times the query's channels; DDColor has 8
_SCALES = 3  # decoder maps that queries look at


class QueryGenerator(UNetGenerator):
    """Colorize gray images of any size by colour queries over a multi-scale decoder (DDColor, Kang et al. 2023).

    The U-Net's decoder makes maps. Learned queries, each a kind of thing with its colour, attend to the three
    coarsest in turn, coarse to fine (strides 32, 16, 8 with five strides), and then are multiplied with the map of full
    size; a 1x1 convolution over these products makes the planes. Both are linear, so their matrices are multiplied
    first: the same numbers at the cost of two products a pixel, whatever the number of queries. Attention costs as much
    as there are pixels, not their square.

    Deviations: the coarsest map is the encoder's; the full size is reached in steps of two, as in `UNetGenerator`, and
    with its channels; layer norm stands before each part, which needs no warm-up, instead of behind.

    Args:
        encoder: see `UNetGenerator`; at least three strides.
        widths: see `UNetGenerator`.
        num_queries: 100 in the paper.
        query_width: channels of a query, a multiple of 16; 256 in the paper.
        query_rounds: how often the three maps are looked at; 3 in the paper.
        options: those of `UNetGenerator`.
    """

    def __init__(
        self,
        encoder: Pyramid,
        *,
        widths: Sequence[Count],
        num_queries: Count = 32,
        query_width: Count = 64,
        query_rounds: Count = 3,
        **options: Any,
    ) -> None:
        super().__init__(encoder, widths=widths, **options)
        if len(widths) < _SCALES:
            raise ValueError(f"queries need an encoder of at least {_SCALES} strides, got {len(widths)} (generator)")
        if query_width % _HEAD_WIDTH:
            raise ValueError(
                f"query_width={query_width} must be a multiple of {_HEAD_WIDTH}, one head (generator.query_width)"
            )
        self.queries = nn.Parameter(torch.randn(num_queries, query_width))
        seen = [encoder.channels[-1], *widths[: _SCALES - 1]]
        self.to_seen = nn.ModuleList(nn.Conv2d(channels, query_width, 1) for channels in seen)
        self.layers = nn.ModuleList(QueryLayer(query_width) for _ in range(_SCALES * query_rounds))
        self.to_pixels = nn.Sequential(
            nn.LayerNorm(query_width), _feed_forward(query_width, query_width), nn.Linear(query_width, widths[-1])
        )
        self.to_color = nn.Conv2d(num_queries, HEADS[self.head], 1)
        nn.init.normal_(self.to_color.weight, std=1e-3)
        nn.init.zeros_(self.to_color.bias)  # type: ignore[arg-type]

    def _decode(self, gray: Tensor, added: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        *maps, pixels = self._maps(gray, added)
        # planes = color (queries pixels) = (color queries) pixels
        color = self.to_color.weight.flatten(1) @ self._look(maps[:_SCALES])
        planes = torch.unflatten(color @ pixels.flatten(2), 2, pixels.shape[-2:])
        assert self.to_color.bias is not None
        return planes + self.to_color.bias.view(-1, 1, 1), pixels

    def _look(self, maps: Sequence[Tensor]) -> Tensor:
        """Let the queries look at the maps; returns (N, queries, channels of the map of full size)."""
        seen = []
        for project, features in zip(self.to_seen, maps, strict=True):
            values = project(features)
            _, channels, height, width = values.shape
            place = positions(height, width, channels, device=values.device).to(values.dtype)
            seen.append((values.flatten(2).transpose(1, 2), place))
        state = self.queries.repeat(maps[0].shape[0], 1, 1)
        for number, layer in enumerate(self.layers):
            state = layer(state, self.queries, *seen[number % _SCALES])
        pixels: Tensor = self.to_pixels(state)
        return pixels


class QueryLayer(nn.Module):
    """One look: queries attend to a map, then to each other, then each is transformed alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.look, self.agree = Attention(width), Attention(width)
        self.transform = _feed_forward(width, _FEED_FORWARD * width)

    def forward(self, state: Tensor, queries: Tensor, seen: Tensor, place: Tensor) -> Tensor:
        """Update the states of the queries.

        Args:
            state: (N, queries, width).
            queries: (queries, width), which tells one from the other, as `place` does for pixels.
            seen: (N, pixels, width), the map.
            place: (pixels, width), its position encodings.
        """
        before_look, before_agree, before_transform = self.norms
        state = state + self.look(before_look(state) + queries, seen + place, seen)
        normed = before_agree(state)
        state = state + self.agree(normed + queries, normed + queries, normed)
        transformed: Tensor = state + self.transform(before_transform(state))
        return transformed


class Attention(nn.Module):
    """Attention with several heads (Vaswani et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend: (N, queries, width) over (N, pixels, width) gives (N, queries, width)."""
        projected = (self.query(query), self.key(key), self.value(value))
        heads = (part.unflatten(2, (-1, _HEAD_WIDTH)).transpose(1, 2) for part in projected)
        attended = F.scaled_dot_product_attention(*heads)
        mixed: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return mixed


def positions(height: int, width: int, channels: int, *, device: torch.device | None = None) -> Tensor:
    """Encode the places of a map's pixels as sines of their share of height and width (DETR, Carion et al. 2020).

    The same place in the picture has the same code at any size of the map.

    Returns:
        (height * width, channels): half of them for the row, half for the column.
    """
    rows = _waves(height, channels // 2, device).unsqueeze(1).expand(-1, width, -1)
    columns = _waves(width, channels // 2, device).unsqueeze(0).expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def _waves(size: int, channels: int, device: torch.device | None) -> Tensor:
    share = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) / size
    slowness = 10000 ** (torch.arange(channels // 2, device=device, dtype=torch.float32) / (channels // 2))
    angles = 2 * math.pi * share.unsqueeze(1) / slowness
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _feed_forward(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
