"""DeOldify's networks as published: the Deep and Wide generators and the critic.

Source: Jason Antic, github.com/jantic/DeOldify (MIT), `deoldify/unet.py`, `generators.py`, `layers.py`, `critics.py`,
and the parts of fastai 1 under them. Self-attention: Zhang et al. 2019. ICNR: Aitken et al. 2017. Blur: Sugawara et al.
2018. Written anew from the description of what they compute; `deoldify_weights` reads the published weights. Where the
original does something that its code does not seem to mean, the line says "quirk".
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from colorgan.networks.encoders import IMAGENET_MEAN, IMAGENET_STD, Pyramid
from colorgan.networks.hints import refuse_hints
from colorgan.networks.layers import SelfAttention, icnr_
from colorgan.networks.spectral import iterate_together, spectral_layers, spectral_norm
from colorgan.networks.unet import pad_to_multiple
from colorgan.ranges import Count, Share

_RANGE = 3.0  # the output lies in (-3, 3) in ImageNet-normalized space; [0, 1] is about (-2.12, 2.64)
_STRIDES = [2, 4, 8, 16, 32]
SMALLEST_CRITIC_INPUT = 64
_FILLED_TO, _FILLED_ON = 8, ("cuda",)  # channels; where it pays is not measured yet (docs/speed.md)


class BlockSizes(NamedTuple):
    """Channels of one decoder block: of its input, after the pixel shuffle, of the skip, of each convolution."""

    inputs: int
    shuffled: int
    skip: int
    width: int
    num_convs: int


def block_sizes(variant: str, channels: Sequence[int]) -> list[BlockSizes]:
    """Compute the channels of the four decoder blocks, coarse to fine.

    Args:
        variant: `deep` (nf_factor 1.5, two convolutions a block) or `wide` (nf_factor 2, one).
        channels: of the encoder's maps at strides 2, 4, 8, 16, 32.

    Raises:
        ValueError: for another variant.
    """
    if variant not in ("deep", "wide"):
        raise ValueError(f"variant={variant!r} is unknown; allowed: deep, wide (generator.variant)")
    sizes: list[BlockSizes] = []
    inputs = channels[-1]
    for index, skip in enumerate(channels[-2::-1]):
        last = index == len(channels) - 2
        if variant == "deep":
            shuffled = inputs // 2
            joined = shuffled + skip
            width = int((joined // 2 if last else joined) * 1.5)
        else:
            shuffled = width = 256 if last else 512
        sizes.append(BlockSizes(inputs, shuffled, skip, width, 2 if variant == "deep" else 1))
        inputs = width
    return sizes


class FilledConv2d(nn.Conv2d):
    """A convolution whose odd numbers of channels are filled up with zeros on a GPU, where tensor cores want eights.

    The same result up to rounding, and the same weights; narrow ones (3 channels of a picture) stay as they are.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        outputs, inputs = (-channels % _FILLED_TO for channels in weight.shape[:2])
        if input.device.type not in _FILLED_ON or not outputs + inputs or min(weight.shape[:2]) <= _FILLED_TO:
            return super()._conv_forward(input, weight, bias)  # type: ignore[no-any-return]
        weight = F.pad(weight, (0, 0, 0, 0, 0, inputs, 0, outputs))
        bias = None if bias is None else F.pad(bias, (0, outputs))
        filled: Tensor = super()._conv_forward(F.pad(input, (0, 0, 0, 0, 0, inputs)), weight, bias)
        return filled[:, : self.out_channels]


def _conv(inputs: int, outputs: int, kernel_size: int, *, bias: bool, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    conv = FilledConv2d(inputs, outputs, kernel_size, stride, padding, bias=bias)
    nn.init.kaiming_normal_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.constant_(norm.bias, 1e-3)  # fastai, batchnorm_2d
    return norm


class DeOldifyAttention(SelfAttention):
    """Self-attention whose softmax runs over the query index."""

    def forward(self, features: Tensor) -> Tensor:
        """Attend over the H W positions of (N, C, H, W); the shape stays."""
        flat = features.flatten(2)
        query, key, value = (layer(flat).transpose(1, 2) for layer in (self.query, self.key, self.value))
        # Quirk: with the softmax over the query index, queries and keys change places; no 1/sqrt(d).
        attended = F.scaled_dot_product_attention(key, query, value, scale=1.0)
        return self.gamma * attended.transpose(1, 2).reshape(features.shape) + features


def _decoder_conv(inputs: int, outputs: int, *, attention: bool = False) -> nn.Sequential:
    """3x3 convolution, ReLU, batch norm, perhaps attention: batch norm stands behind the ReLU."""
    conv = spectral_norm(_conv(inputs, outputs, 3, bias=False, padding=1))
    layers: list[nn.Module] = [conv, nn.ReLU(), _batch_norm(outputs)]
    return nn.Sequential(*layers, *([DeOldifyAttention(outputs)] if attention else []))


class _Upsample(nn.Module):
    """Double height and width: 1x1 convolution to 4x the channels, ReLU, pixel shuffle, blur.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        last: the step to full size, which fastai's stock layer makes.
    """

    def __init__(self, inputs: int, outputs: int, *, last: bool = False) -> None:
        super().__init__()
        conv = _conv(inputs, 4 * outputs, 1, bias=last)
        if last:
            # Quirk: weight norm and no batch norm here only. Its ICNR start is lost there, since it was written
            # to a weight that weight norm computes anew: the layer starts from plain normal numbers.
            self.conv = nn.Sequential(weight_norm(conv))
        else:
            icnr_(conv.weight)
            self.conv = nn.Sequential(spectral_norm(conv), _batch_norm(4 * outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Upsample (N, in, H, W) to (N, out, 2H, 2W)."""
        features = F.pixel_shuffle(F.relu(self.conv(features)), 2)
        # Quirk: the blur is always on, whatever the flag `blur` says (a module of that name replaces it).
        return F.avg_pool2d(F.pad(features, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


class _Block(nn.Module):
    """One step up: upsample, join the encoder's map, ReLU on both, convolve."""

    def __init__(self, sizes: BlockSizes, *, attention: bool) -> None:
        super().__init__()
        self.upsample = _Upsample(sizes.inputs, sizes.shuffled)
        self.skip_norm = _batch_norm(sizes.skip)
        inputs = [sizes.shuffled + sizes.skip, *[sizes.width] * (sizes.num_convs - 1)]
        self.convs = nn.Sequential(
            *(
                _decoder_conv(n, sizes.width, attention=attention and index == sizes.num_convs - 1)
                for index, n in enumerate(inputs)
            )
        )

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Upsample (N, in, H, W), join (N, skip, h, w), return (N, width, h, w)."""
        features = self.upsample(features)
        if features.shape[-2:] != skip.shape[-2:]:
            features = F.interpolate(features, skip.shape[-2:], mode="nearest")
        convolved: Tensor = self.convs(F.relu(torch.cat([features, self.skip_norm(skip)], dim=1)))
        return convolved


class DeOldifyGenerator(nn.Module):
    """DeOldify's generator: Deep ("artistic", over ResNet34) or Wide ("stable" and "video", over ResNet101).

    It predicts all three channels of the picture in ImageNet-normalized space, and nothing keeps the gray of the input:
    DeOldify does that afterwards (`colorgan colorize --squash`, or the package's own recombination).

    Three views of one output: `normalized` is what the last layer gives, in (-3, 3); `unclamped` is the same as rgb,
    which leaves [0, 1] by up to 0.27, and is what DeOldify's losses and critic see, so that a colour
    beyond the gamut is still pulled back; `forward` is clamped to [0, 1] and stops the gradient there, the picture that
    validation, critic pretraining and users get.

    Args:
        encoder: torchvision's ResNet34 (deep) or ResNet101 (wide), maps at strides 2, 4, 8, 16, 32.
        variant: `deep` or `wide`.
    """

    gray_rule = "luma601"

    def __init__(self, encoder: Pyramid, *, variant: str = "deep") -> None:
        super().__init__()
        if encoder.strides != _STRIDES:
            raise ValueError(f"the encoder must have strides {_STRIDES}, got {encoder.strides} (generator.encoder)")
        self.variant = variant
        sizes, bottom = block_sizes(variant, encoder.channels), encoder.channels[-1]
        self.encoder = encoder
        self.bottleneck = _batch_norm(bottom)
        self.middle = nn.Sequential(_decoder_conv(bottom, 2 * bottom), _decoder_conv(2 * bottom, bottom))
        self.blocks = nn.ModuleList(_Block(s, attention=index == 1) for index, s in enumerate(sizes))  # at H/8
        width = sizes[-1].width
        self.upsample = _Upsample(width, width, last=True)
        joined = width + 3
        self.refine = nn.Sequential(
            *(nn.Sequential(spectral_norm(_conv(joined, joined, 3, bias=True, padding=1)), nn.ReLU()) for _ in range(2))
        )
        self.to_rgb = nn.Sequential(spectral_norm(_conv(joined, 3, 1, bias=True)))
        self._spectral = spectral_layers(self)

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize (N, 1, H, W) in [0, 1], any H and W; returns (N, 3, H, W) in [0, 1], float32; refuses hints."""
        refuse_hints(hints)
        return self.unclamped(gray).clamp(0, 1)

    def unclamped(self, gray: Tensor) -> Tensor:
        """Make the picture (N, 3, H, W) without a clamp: R in [-0.20, 1.17], G in [-0.22, 1.13], B in [-0.27, 1.08]."""
        return self.normalized(gray) * self.encoder.std + self.encoder.mean

    def normalized(self, gray: Tensor) -> Tensor:
        """Compute the picture (N, 3, H, W) in ImageNet-normalized space, strictly inside (-3, 3), float32."""
        if self.training:
            iterate_together(self._spectral)
        height, width = gray.shape[-2:]
        # Quirk: the original needs even sizes, since the last join compares 2 ceil(H / 2) with H.
        padded = pad_to_multiple(gray, 2)
        image = (padded.expand(-1, 3, -1, -1) - self.encoder.mean) / self.encoder.std
        *skips, features = self.encoder.features(image)
        features = self.middle(F.relu(self.bottleneck(features)))
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            features = block(features, skip)
        features = torch.cat([self.upsample(features), image.to(features.dtype)], dim=1)
        planes = self.to_rgb(features + self.refine(features))[..., :height, :width].float()
        return 2 * _RANGE * torch.sigmoid(planes) - _RANGE

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """List the parameters in groups that learn at their own rates: stem to layer2, layer3 and layer4, the rest."""
        groups: list[list[nn.Parameter]] = [[], [], []]
        for name, parameter in self.named_parameters():
            late = ".layer3." in name or ".layer4." in name
            groups[2 if not name.startswith("encoder.") else int(late)].append(parameter)
        return groups


class DeOldifyCritic(nn.Module):
    """DeOldify's critic: a patch discriminator of the colour picture alone, 94.6 M parameters at width 256.

    Args:
        width: channels after the first convolution (nf).
        dropout: of whole maps; half of it after the first convolution.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, width: Count = 256, dropout: Share = 0.15) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

        def layer(inputs: int, outputs: int, kernel_size: int, *, attention: bool = False) -> nn.Sequential:
            conv = _conv(inputs, outputs, kernel_size, bias=True, stride=2 if kernel_size == 4 else 1, padding=1)
            rest = [DeOldifyAttention(outputs)] if attention else []
            return nn.Sequential(spectral_norm(conv), nn.LeakyReLU(0.2), *rest)

        self.layers = nn.Sequential(
            layer(3, width, 4),
            nn.Dropout2d(dropout / 2),
            layer(width, width, 3),
            nn.Dropout2d(dropout),
            layer(width, 2 * width, 4, attention=True),  # at H/4
            layer(2 * width, 2 * width, 3),
            nn.Dropout2d(dropout),
            layer(2 * width, 4 * width, 4),
            layer(4 * width, 4 * width, 3),
            nn.Dropout2d(dropout),
            layer(4 * width, 8 * width, 4),
            layer(8 * width, 8 * width, 3),  # quirk: no dropout behind the last pair
            nn.Sequential(spectral_norm(_conv(8 * width, 1, 4, bias=False))),  # no padding: 3 logits fewer a side
        )
        self._spectral = spectral_layers(self)

    def forward(self, rgb: Tensor, gray: Tensor | None = None) -> Tensor:
        """Judge colour images.

        Args:
            rgb: (N, 3, H, W) in [0, 1], or beyond as `DeOldifyGenerator.unclamped` gives it.
            gray: unused; every discriminator may be given it.

        Returns:
            Logits (N, 1, H // 16 - 3, W // 16 - 3); higher = more real. (The original flattens them.)

        Raises:
            ValueError: the picture is smaller than 64 pixels.
        """
        return self.maps(rgb)[-1]

    def maps(self, rgb: Tensor, gray: Tensor | None = None) -> list[Tensor]:
        """Judge as `forward` does; returns the map behind each block, then the logits."""
        if min(rgb.shape[-2:]) < SMALLEST_CRITIC_INPUT:
            raise ValueError(
                f"DeOldify's critic needs pictures of {SMALLEST_CRITIC_INPUT} px or more, got "
                f"{rgb.shape[-2]}x{rgb.shape[-1]} (schedule.stages.*.image_size)"
            )
        if self.training:
            iterate_together(self._spectral)
        image, maps = (rgb - self.mean) / self.std, []
        for layer in self.layers:
            image = layer(image)
            if not isinstance(layer, nn.Dropout2d):
                maps.append(image)
        return maps
