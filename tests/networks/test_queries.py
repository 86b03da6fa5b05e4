from importlib.util import find_spec

import pytest
import tiny_checkpoint
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from colorgan.checkpoint import build_network, load_generator
from colorgan.color import GRAY_RULES, colorfulness, rgb_to_gray
from colorgan.colorize.graph import to_onnx
from colorgan.config import compose, plain
from colorgan.networks.queries import positions
from colorgan.networks.unet import HEADS

CHANGES = {"_target_": "colorgan.networks.QueryGenerator", "num_queries": 5, "query_width": 16, "query_rounds": 2}
CONFIG = {**tiny_checkpoint.CONFIG, **CHANGES, "attention_stride": None}


def tiny_generator(**options):
    torch.manual_seed(0)
    return build_network({**CONFIG, **options}).eval()


def colourful(generator):
    nn.init.normal_(generator.to_color.weight, std=1.0, generator=torch.Generator().manual_seed(0))
    return generator


def gray_picture(*size):
    return torch.rand(*size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("gray_rule", GRAY_RULES)
def test_any_size_any_head_keeps_the_gray(head, gray_rule):
    generator = colourful(tiny_generator(head=head, gray_rule=gray_rule))
    for size in ((1, 1), (33, 7), (40, 64)):
        gray = gray_picture(2, 1, *size)
        with torch.no_grad():
            rgb = generator(gray)
        assert rgb.shape == (2, 3, *size)
        torch.testing.assert_close(rgb_to_gray(rgb, gray_rule), gray, atol=1e-4, rtol=0)
    assert colorfulness(rgb).mean() > 5


def test_untrained_it_paints_almost_gray():
    with torch.no_grad():
        assert 0 < colorfulness(tiny_generator()(gray_picture(1, 1, 32, 32))).item() < 3


def test_planes_are_a_convolution_over_queries_times_pixels():
    generator, gray = colourful(tiny_generator()), gray_picture(2, 1, 24, 32)
    seen = {}
    generator.refine.register_forward_hook(lambda module, inputs, output: seen.update(pixels=output))
    generator.to_pixels.register_forward_hook(lambda module, inputs, output: seen.update(queries=output))
    with torch.no_grad():
        planes, _ = generator._decode(gray, {})
        expected = generator.to_color(torch.einsum("nqc,nchw->nqhw", seen["queries"], seen["pixels"]))
    torch.testing.assert_close(planes, expected, atol=1e-5, rtol=1e-5)


def test_every_parameter_learns_and_pictures_of_a_batch_do_not_touch():
    generator = colourful(tiny_generator())
    gray = gray_picture(3, 1, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(generator(gray)[1:2], generator(gray[1:2]), atol=1e-5, rtol=0)
    generator.train()(gray).square().sum().backward()
    still = [name for name, parameter in generator.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert all(name.endswith(("key.bias", "upsample.conv.bias")) for name in still), still


def test_a_place_has_the_same_code_at_any_size():
    small, large = positions(3, 5, 16).view(3, 5, 16), positions(9, 15, 16).view(9, 15, 16)
    torch.testing.assert_close(large[1::3, 1::3], small, atol=1e-6, rtol=0)
    assert len(small.flatten(0, 1).unique(dim=0)) == 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_width": 24}, r"query_width=24 must be a multiple of 16.*generator\.query_width"),
        ({"head": "yuv"}, r"head='yuv' is unknown"),
    ],
)
def test_wrong_options_name_their_config_key(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_generator(**options)


def size_and_work(choice, side):
    """Parameters, and multiplications and additions for a picture."""
    network = build_network(plain(compose("train", f"generator={choice}").generator)).eval().to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, side, side, device="meta"))
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops()


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "side"), [("queries_lite0", 64), ("queries_lite0_256", 256)])
def test_it_is_as_large_as_the_unet_and_works_as_much(choice, side):
    own, unet = size_and_work(choice, side), size_and_work("unet_lite0", side)
    assert own == pytest.approx(unet, rel=0.02)


@pytest.mark.slow
def test_work_grows_with_the_pixels_not_faster():
    works = [size_and_work("queries_lite0", side)[1] for side in (64, 128, 256)]
    assert works[2] - works[1] == pytest.approx(4 * (works[1] - works[0]), rel=0.01)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxruntime") is None or find_spec("onnxscript") is None, reason="needs [fast]")
def test_it_is_exported(tmp_path):
    import onnxruntime

    network = load_generator(tiny_checkpoint.write(tmp_path / "tiny.safetensors", **CHANGES))
    session = onnxruntime.InferenceSession(to_onnx(network, {}).SerializeToString())
    for size in ((1, 1), (33, 16), (67, 129)):
        gray = torch.rand(2, 1, *size)
        with torch.inference_mode():
            expected = network(gray)
        rgb = torch.from_numpy(session.run(None, {"gray": gray.numpy()})[0])
        torch.testing.assert_close(rgb, expected, rtol=0, atol=1e-3)
