"""Graphs compute what their networks do, without a decision by the size."""

import pytest
import tiny_checkpoint
import torch

from colorgan.checkpoint import load_generator
from colorgan.colorize.graph import ExportError, _AnySizeDeOldify, _AnySizeUNet, _replace_layers, pad_any, to_onnx
from colorgan.networks.deoldify_weights import build, network_config
from colorgan.networks.unet import pad_to_multiple

SIZES = [(1, 1), (1, 50), (33, 16), (31, 32), (64, 96), (67, 129)]


@pytest.mark.parametrize("size", SIZES)
def test_padding_is_the_networks_own(size):
    image = torch.rand(2, 1, *size)
    assert torch.equal(pad_any(image, 32), pad_to_multiple(image, 32))


@torch.inference_mode()
def test_a_unet_without_decisions_is_the_same(tmp_path):
    network = load_generator(tiny_checkpoint.write(tmp_path / "tiny.safetensors"))
    grays = [torch.rand(1, 1, *size) for size in SIZES]
    expected = [network(gray) for gray in grays]
    _replace_layers(network)
    whole = _AnySizeUNet(network, half=False)
    for gray, rgb in zip(grays, expected, strict=True):
        torch.testing.assert_close(whole(gray), rgb, rtol=0, atol=1e-6)


def test_what_is_no_network_of_ours_is_refused():
    with pytest.raises(ExportError, match="a Identity cannot be exported"):
        to_onnx(torch.nn.Identity(), {})


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"head": "lab"}, {"head": "rgb", "gray_rule": "lightness", "norm": "weight"}])
def test_all_heads_and_rules_are_exported(tmp_path, changes):
    runtime = pytest.importorskip("onnxruntime")
    network = load_generator(tiny_checkpoint.write(tmp_path / "tiny.safetensors", **changes))
    session = runtime.InferenceSession(to_onnx(network, {}).SerializeToString())
    for size in SIZES:
        gray = torch.rand(2, 1, *size)
        with torch.inference_mode():
            expected = network(gray)
        rgb = torch.from_numpy(session.run(None, {"gray": gray.numpy()})[0])
        torch.testing.assert_close(rgb, expected, rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["deep", "wide"])
def test_deoldifys_networks_are_exported(variant):
    """Over a small encoder: their own are of the same kinds of layers."""
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    config = network_config(variant)
    config["encoder"]["name"] = "resnet18"
    network = build(config).eval()
    with torch.inference_mode():
        whole = _AnySizeDeOldify(network, half=False)
        grays = [torch.rand(1, 1, *size) for size in ((33, 50), (64, 96), (67, 129))]
        expected = [network(gray) for gray in grays]
        for gray, rgb in zip(grays, expected, strict=True):
            torch.testing.assert_close(whole(gray), rgb, rtol=0, atol=1e-5)
    session = runtime.InferenceSession(to_onnx(network, {}).SerializeToString())
    for gray, rgb in zip(grays, expected, strict=True):
        made = torch.from_numpy(session.run(None, {"gray": gray.numpy()})[0])
        torch.testing.assert_close(made, rgb, rtol=0, atol=1e-3)
