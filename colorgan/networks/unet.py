"""U-Net generator: a pretrained encoder, a pixel-shuffle decoder, a colour head."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorgan.color import check_gray_rule, chroma_to_rgb, lab_to_rgb, planes_to_rgb, recombine, rgb_to_lab
from colorgan.networks.encoders import Pyramid
from colorgan.networks.hints import HintBranch, check_hints, refuse_hints
from colorgan.networks.layers import PixelShuffleUpsample, SelfAttention, conv_block
from colorgan.networks.spectral import iterate_together, spectral_layers
from colorgan.ranges import Count

HEADS = {"chroma": 2, "lab": 2, "rgb": 3}  # planes that each head predicts


class DecoderBlock(nn.Module):
    """One step up: upsample, join the encoder's map of that size, convolve (a block of DeOldify's decoder)."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        norm: str,
        blur: bool,
        attention: bool,
    ) -> None:
        super().__init__()
        self.upsample = PixelShuffleUpsample(in_channels, out_channels, norm=norm, blur=blur)
        self.skip_norm = nn.BatchNorm2d(skip_channels)
        self.convs = conv_block(out_channels + skip_channels, out_channels, norm=norm)
        self.attention = SelfAttention(out_channels) if attention else nn.Identity()

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Upsample (N, in, H, W), join (N, skip, 2H, 2W), return (N, out, 2H, 2W)."""
        joined = torch.cat([self.upsample(features), self.skip_norm(skip)], dim=1)
        features = self.attention(self.convs(F.relu(joined)))
        return features


class UNetGenerator(nn.Module):
    """Colorize gray images of any size.

    Encoder maps at strides 2, 4, ... are joined on the way up; the last step brings features and the input gray
    to full size. Colour is always recombined with the input (`color.recombine`), so the gray of the output is
    the input, whatever the head.

    Args:
        encoder: feature pyramid with strides 2, 4, 8, ... (each the double of the one before).
        widths: channels of the decoder blocks, coarse to fine: one for each encoder stride, the last for full size.
        head: `chroma` (two planes added to the luma), `lab` (CIE a and b) or `rgb` (three planes).
        gray_rule: how the input gray was made: `luma601` or `lightness`.
        norm: weight normalization of the decoder: `spectral`, `weight` or `none`.
        blur: blur after each pixel shuffle.
        attention_stride: stride of the decoder map that gets self-attention; None for no attention.
        hints: also take colour that is known at some places (see `HintBranch`).
    """

    def __init__(
        self,
        encoder: Pyramid,
        *,
        widths: Sequence[Count],
        head: str = "chroma",
        gray_rule: str = "luma601",
        norm: str = "spectral",
        blur: bool = True,
        attention_stride: int | None = None,
        hints: bool = False,
    ) -> None:
        super().__init__()
        check_gray_rule(gray_rule)
        if head not in HEADS:
            raise ValueError(f"head={head!r} is unknown; allowed: {', '.join(HEADS)} (generator.head)")
        strides = encoder.strides
        if strides != [2 ** (i + 1) for i in range(len(strides))]:
            raise ValueError(f"the encoder must have strides 2, 4, 8, ..., got {strides} (generator.encoder)")
        if len(widths) != len(strides):
            raise ValueError(f"widths needs {len(strides)} numbers, got {len(widths)} (generator.widths)")
        if attention_stride is not None and attention_stride not in strides[:-1]:
            raise ValueError(f"attention_stride={attention_stride} is not one of {strides[:-1]} (generator)")
        self.head, self.gray_rule, self.stride = head, gray_rule, strides[-1]
        self.encoder = encoder
        skips = encoder.channels[-2::-1]
        inputs = [encoder.channels[-1], *widths[:-2]]
        self.bottleneck = nn.Sequential(nn.BatchNorm2d(encoder.channels[-1]), nn.ReLU())
        self.blocks = nn.ModuleList(
            DecoderBlock(*sizes, norm=norm, blur=blur, attention=stride == attention_stride)
            for *sizes, stride in zip(inputs, skips, widths[:-1], strides[-2::-1], strict=True)
        )
        self.upsample = PixelShuffleUpsample(widths[-2], widths[-1], norm=norm, blur=blur)
        self.refine = conv_block(widths[-1] + 1, widths[-1], norm=norm)
        # The head starts near gray: its last layer is small, so the first pictures have almost no colour.
        self.to_color = nn.Conv2d(widths[-1], HEADS[head], 3, padding=1, padding_mode="replicate")
        nn.init.normal_(self.to_color.weight, std=1e-3)
        nn.init.zeros_(self.to_color.bias)  # type: ignore[arg-type]
        # Last, so that all before it begins with the same weights as in a network without hints.
        self.hints = None
        if hints:
            sizes = [encoder.channels[-1], *widths]
            self.hints = HintBranch(dict(zip([*strides[::-1], 1], sizes, strict=True)), widths[-1])
        self._spectral = spectral_layers(self)

    @property
    def takes_hints(self) -> bool:
        """Whether `forward` takes hints."""
        return self.hints is not None

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize a batch.

        Args:
            gray: (N, 1, H, W) in [0, 1], any H and W.
            hints: (N, 3, H, W), two planes of colour (`color_planes` by the network's gray rule) and a confidence in
                [0, 1]; zeros where nothing is known. None gives what zeros give, in less time.

        Returns:
            (N, 3, H, W) in [0, 1], float32.

        Raises:
            ValueError: hints of another shape, or for a network without them.
        """
        if self.training:
            iterate_together(self._spectral)
        height, width = gray.shape[-2:]
        padded = pad_to_multiple(gray, self.stride)
        if self.hints is None or hints is None:
            refuse_hints(hints)
            planes = self._decode(padded, {})[0][..., :height, :width]
            return recombine(gray, self._propose(gray.float(), planes.float()), self.gray_rule)
        check_hints(gray, hints)
        decoded = self._decode(padded, self.hints(pad_to_multiple(hints, self.stride)))
        planes, features = (maps[..., :height, :width] for maps in decoded)
        proposal = self._propose(gray.float(), planes.float())
        hinted = planes_to_rgb(gray, hints[:, :2], self.gray_rule)
        return recombine(gray, self.hints.blend(proposal, hinted, hints[:, 2:].float(), features), self.gray_rule)

    def _decode(self, gray: Tensor, added: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the planes of colour, and the map of full size from which the head makes them."""
        features = self._maps(gray, added)[-1]
        return self.to_color(features), features

    def _maps(self, gray: Tensor, added: Mapping[int, Tensor]) -> list[Tensor]:
        """Compute the decoder's maps, coarsest first, the last of full size; `added` goes to them, by stride."""

        def with_added(features: Tensor, stride: int) -> Tensor:
            return features + added[stride] if added else features

        *skips, features = self.encoder(gray)
        stride = self.stride
        maps = [with_added(self.bottleneck(features), stride)]
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            stride //= 2
            maps.append(with_added(block(maps[-1], skip), stride))
        features = with_added(self.upsample(maps[-1]), 1)
        return [*maps, self.refine(torch.cat([features, gray.to(features.dtype)], dim=1))]

    def _propose(self, gray: Tensor, planes: Tensor) -> Tensor:
        """Make the colour that the head means, before recombination and possibly out of gamut."""
        if self.head == "chroma":
            return chroma_to_rgb(gray, planes)
        if self.head == "rgb":
            return gray + planes
        lightness = rgb_to_lab(gray.expand(-1, 3, -1, -1))[:, :1] if self.gray_rule == "luma601" else 100 * gray
        return lab_to_rgb(torch.cat([lightness, 128 * planes], dim=1))  # 128: Lab's ab reach about 100


def pad_to_multiple(image: Tensor, stride: int) -> Tensor:
    """Pad right and bottom so that height and width are multiples of `stride`; reflects, or repeats on tiny images."""
    height, width = image.shape[-2:]
    bottom, right = -height % stride, -width % stride
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, bottom), mode=mode) if bottom or right else image
