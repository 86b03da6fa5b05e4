"""Turn a trained generator into an ONNX graph or an OpenVINO file that takes pictures of any number and size."""

import copy
import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from colorgan.color import recombine
from colorgan.files import atomic
from colorgan.networks.deoldify import DeOldifyAttention, DeOldifyGenerator
from colorgan.networks.layers import SelfAttention
from colorgan.networks.unet import UNetGenerator

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

FORMAT = "colorgan-export/1"
KEY = "colorgan"  # of the metadata, whose value is JSON


class ExportError(ValueError):
    """A generator cannot be exported, or an exported file cannot be used."""


def fold_norms(generator: nn.Module) -> nn.Module:
    """Copy a generator with spectral and weight norms computed once: the same weights, less work in each pass."""
    folded = copy.deepcopy(generator).eval()
    for module in folded.modules():
        if parametrize.is_parametrized(module):
            # Not `remove_parametrizations`: it changes the class, which the copy shares with the original.
            values = {name: getattr(module, name).detach() for name in module.parametrizations}  # type: ignore[union-attr]
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            for name, value in values.items():
                module.register_parameter(name, nn.Parameter(value))
    return folded.requires_grad_(False)


def to_onnx(generator: nn.Module, facts: Mapping[str, Any], *, half: bool = False) -> "onnx.ModelProto":
    """Convert a generator; the graph turns `gray` (N, 1, H, W) into `rgb` (N, 3, H, W), pads and crops inside it.

    Args:
        generator: a network of ours.
        facts: what the graph's metadata says, as JSON values.
        half: compute the network in float16; what comes behind them, and so the gray, stays in float32.

    Raises:
        ExportError: a package is missing, or the network is none that can be exported.
    """
    if not isinstance(generator, UNetGenerator | DeOldifyGenerator):
        raise ExportError(
            f"a {type(generator).__name__} cannot be exported; UNetGenerator, QueryGenerator and DeOldifyGenerator can"
        )
    require("onnx", "onnxscript")
    network = fold_norms(generator).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
    _replace_layers(network)
    whole: nn.Module
    if isinstance(network, UNetGenerator):
        whole = _AnySizeUNet(network, half=half)
    else:
        whole = _AnySizeDeOldify(cast(DeOldifyGenerator, network), half=half)
    free = {axis: torch.export.Dim(name, min=2 if axis == 0 else 33) for axis, name in ((0, "n"), (2, "h"), (3, "w"))}
    try:
        with _quiet(), torch.no_grad():
            # The smallest sizes are torch's own assumption (a map of one pixel); the graph itself holds for all.
            program = torch.export.export(
                whole.eval(),
                (torch.rand(2, 1, 90, 131),),
                dynamic_shapes={"gray": free},
                prefer_deferred_runtime_asserts_over_guards=True,
            )
            made = torch.onnx.export(program, dynamo=True, input_names=["gray"], output_names=["rgb"], verbose=False)
    except Exception as error:  # of any kind: encoders of timm hold what its authors wrote
        raise ExportError(f"this network cannot be exported: {str(error).strip().splitlines()[0]}") from error
    assert made is not None
    model = made.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    return model


def write_onnx(model: "onnx.ModelProto", path: Path) -> None:
    """Write an `.onnx` file."""
    with atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def write_openvino(model: "onnx.ModelProto", path: Path, *, half: bool) -> None:
    """Write OpenVINO's pair of files, `path` (.xml) and the weights beside it (.bin); not atomically.

    Args:
        model: what `to_onnx` made.
        path: ends in `.xml`.
        half: keep weights in float16.
    """
    require("openvino")
    import openvino

    converted = openvino_core().read_model(model.SerializeToString())
    converted.set_rt_info(next(entry.value for entry in model.metadata_props if entry.key == KEY), [KEY])
    openvino.save_model(converted, path, compress_to_fp16=half)


def read_facts(path: Path) -> dict[str, Any]:
    """Read the metadata of an exported file.

    Raises:
        ExportError: it was not written by `colorgan export`, is damaged, or a package is missing.
    """
    try:
        text = _onnx_metadata(path) if path.suffix == ".onnx" else _openvino_metadata(path)
        facts: dict[str, Any] = json.loads(text)
        if facts["format"] != FORMAT:
            raise ExportError(f"{path} has format {facts['format']!r}; this version reads {FORMAT!r}")
        return {**facts, "gray_rule": str(facts["gray_rule"]), "image_size": int(facts["image_size"])}
    except ExportError:
        raise
    except Exception as error:  # each library has its own errors for a damaged file
        raise ExportError(
            f"{path} was not written by `colorgan export`, or is damaged ({type(error).__name__})"
        ) from error


def _onnx_metadata(path: Path) -> str:
    require("onnx")
    import onnx

    model = onnx.load(path, load_external_data=False)
    return next(str(entry.value) for entry in model.metadata_props if entry.key == KEY)


def _openvino_metadata(path: Path) -> str:
    return str(openvino_core().read_model(path).get_rt_info([KEY]).astype(str))


@cache
def openvino_core() -> Any:
    """Give the process its one core of OpenVINO, which stays until its end.

    A core's CPU plugin gives the thread a stack for signals, and puts back the one before when it ends. If of two cores
    the first ended first, that stack would be gone and the next signal a segmentation fault.
    """
    require("openvino")
    import openvino

    return openvino.Core()


def require(*packages: str) -> None:
    """Refuse what needs a package that is not installed."""
    from importlib.util import find_spec

    if missing := [package for package in packages if find_spec(package) is None]:
        raise ExportError(f"this needs {', '.join(missing)}: pip install colorgan[fast]")


def package_versions(*packages: str) -> dict[str, str]:
    """Name the versions of packages."""
    return {package: version(package) for package in packages}


class _AnySizeUNet(nn.Module):
    """`UNetGenerator.forward` without a decision that depends on the size."""

    def __init__(self, network: UNetGenerator, *, half: bool) -> None:
        super().__init__()
        self.network = network.half() if half else network
        self.dtype = torch.float16 if half else torch.float32

    def forward(self, gray: Tensor) -> Tensor:
        padded = pad_any(gray, self.network.stride).to(self.dtype)
        planes = _crop(self.network._decode(padded, {})[0], gray).float()
        return recombine(gray, self.network._propose(gray, planes), self.network.gray_rule)


class _AnySizeDeOldify(nn.Module):
    """`DeOldifyGenerator.forward` without a decision that depends on the size."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: DeOldifyGenerator, *, half: bool) -> None:
        super().__init__()
        self.register_buffer("mean", network.encoder.mean.clone())
        self.register_buffer("std", network.encoder.std.clone())
        self.network = network.half() if half else network
        self.dtype = torch.float16 if half else torch.float32

    def forward(self, gray: Tensor) -> Tensor:
        network = self.network
        image = ((pad_any(gray, 2).expand(-1, 3, -1, -1) - self.mean) / self.std).to(self.dtype)
        *skips, features = network.encoder.features(image)
        features = network.middle(F.relu(network.bottleneck(features)))
        for block, skip in zip(network.blocks, reversed(skips), strict=True):
            # Nearest interpolation to a map that is smaller by one, as the block does it, drops the last row.
            up = _crop(block.upsample(features), skip)  # type: ignore[operator]
            features = block.convs(F.relu(torch.cat([up, block.skip_norm(skip)], dim=1)))  # type: ignore[operator]
        features = torch.cat([network.upsample(features), image], dim=1)
        planes = _crop(network.to_rgb(features + network.refine(features)), gray).float()
        return ((6 * torch.sigmoid(planes) - 3) * self.std + self.mean).clamp(0, 1)


def pad_any(image: Tensor, stride: int) -> Tensor:
    """Pad like `pad_to_multiple`, by looking up pixels, which needs no decision by the size."""
    sizes = image.shape[-2:]
    padded = [stride * ((size + stride - 1) // stride) for size in sizes]
    more = [torch.scalar_tensor(wanted - size) for wanted, size in zip(padded, sizes, strict=True)]
    reflects = (more[0] < sizes[0]) & (more[1] < sizes[1])
    for dim, size, wanted in zip((2, 3), sizes, padded, strict=True):
        place = torch.arange(wanted)
        beyond = torch.where(reflects, 2 * (size - 1) - place, size - 1)
        image = image.index_select(dim, torch.where(place < size, place, beyond).clamp(min=0))
    return image


def _crop(image: Tensor, like: Tensor) -> Tensor:
    """Cut a map to the height and width of another; a slice would ask whether it is larger."""
    height, width = like.shape[-2:]
    return image.index_select(2, torch.arange(height)).index_select(3, torch.arange(width))


def _replace_layers(network: nn.Module) -> None:
    """Replace layers, in place, by others that compute the same and can be exported."""
    from timm.layers.conv2d_same import Conv2dSame

    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv2dSame):
                setattr(module, name, _with_fixed_padding(child))
            elif isinstance(child, SelfAttention):
                setattr(module, name, _Attention(child))


class _Attention(nn.Module):
    """Self-attention with a dimension for heads, which ONNX wants."""

    def __init__(self, layer: SelfAttention) -> None:
        super().__init__()
        self.layer, self.over_query = layer, isinstance(layer, DeOldifyAttention)

    def forward(self, features: Tensor) -> Tensor:
        flat, layer = features.flatten(2), self.layer
        query, key, value = (part(flat).transpose(1, 2).unsqueeze(1) for part in (layer.query, layer.key, layer.value))
        query, key = (key, query) if self.over_query else (query, key)  # see `DeOldifyAttention`
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0).squeeze(1)
        return layer.gamma * attended.transpose(1, 2).reshape(features.shape) + features


def _with_fixed_padding(conv: nn.Conv2d) -> nn.Sequential:
    """Fix TensorFlow's padding, computed from the size, to what it is for maps that the stride divides."""
    lacking = [
        max(0, (kernel - 1) * dilation + 1 - stride)
        for kernel, dilation, stride in zip(conv.kernel_size, conv.dilation, conv.stride, strict=True)
    ]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in lacking)
    shape = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, 0, conv.dilation, conv.groups)
    fixed = nn.Conv2d(*shape, bias=conv.bias is not None)  # type: ignore[arg-type]
    fixed.weight, fixed.bias = conv.weight, conv.bias
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), fixed)


@contextmanager
def _quiet() -> "Iterator[None]":
    """Keep the exporter's progress and advice to itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
