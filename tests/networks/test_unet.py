import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from colorgan.color import GRAY_RULES, colorfulness, rgb_to_gray
from colorgan.networks import TimmPyramid, TorchvisionPyramid, UNetGenerator
from colorgan.networks.encoders import Pyramid
from colorgan.networks.unet import HEADS, pad_to_multiple

WIDTHS = [16, 12, 8]


class TinyPyramid(Pyramid):
    """Three strided convolutions: strides 2, 4, 8."""

    def __init__(self):
        super().__init__((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.channels, self.strides = [6, 8, 10], [2, 4, 8]
        sizes = [3, *self.channels]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(sizes))

    def features(self, normalized_rgb):
        maps = [normalized_rgb]
        for conv in self.convs:
            maps.append(F.relu(conv(maps[-1])))
        return maps[1:]


def tiny_generator(seed=0, **options):
    torch.manual_seed(seed)
    return UNetGenerator(TinyPyramid(), **{"widths": WIDTHS, **options}).eval()


def colourful(generator):
    """Let the head speak up: untrained it says almost nothing."""
    nn.init.normal_(generator.to_color.weight, std=1.0, generator=torch.Generator().manual_seed(0))
    return generator


def gray_picture(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(1, 1), (7, 33), (33, 7), (64, 64), (63, 65), (2, 100)])
def test_generator_takes_any_size(size):
    with torch.no_grad():
        rgb = colourful(tiny_generator())(gray_picture(2, 1, *size))
    assert rgb.shape == (2, 3, *size)
    assert rgb.dtype == torch.float32
    assert rgb.min() >= 0
    assert rgb.max() <= 1


# float32: exact but for rounding; lightness meets the border of the gamut to 5e-5 (see color)
@pytest.mark.parametrize(("gray_rule", "tolerance"), [("luma601", 1e-6), ("lightness", 1e-4)])
@pytest.mark.parametrize("head", HEADS)
def test_gray_of_the_output_is_the_input(head, gray_rule, tolerance):
    gray = gray_picture(1, 1, 31, 40)
    with torch.no_grad():
        rgb = colourful(tiny_generator(head=head, gray_rule=gray_rule))(gray)
    torch.testing.assert_close(rgb_to_gray(rgb, gray_rule), gray, atol=tolerance, rtol=0)
    assert colorfulness(rgb).item() > 20


@pytest.mark.parametrize("gray_rule", GRAY_RULES)
@pytest.mark.parametrize("head", HEADS)
def test_untrained_generator_paints_almost_gray(head, gray_rule):
    with torch.no_grad():
        rgb = tiny_generator(head=head, gray_rule=gray_rule)(gray_picture(1, 1, 32, 32))
    assert 0 < colorfulness(rgb).item() < 3


@pytest.mark.parametrize("gray_rule", GRAY_RULES)
@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_learns(head, gray_rule):
    generator = colourful(tiny_generator(head=head, gray_rule=gray_rule)).train()
    generator(gray_picture(2, 1, 24, 24)).square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or name.endswith("conv.bias"), name


def test_pictures_of_a_batch_do_not_touch_each_other():
    generator, gray = colourful(tiny_generator()), gray_picture(3, 1, 20, 20)
    with torch.no_grad():
        together, alone = generator(gray), torch.cat([generator(g[None]) for g in gray])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_padding_of_whole_multiples_changes_nothing():
    generator, gray = colourful(tiny_generator()), gray_picture(1, 1, 24, 27)
    padded = F.pad(gray, (0, 5, 0, 0), mode="reflect")
    with torch.no_grad():
        torch.testing.assert_close(generator(gray), generator(padded)[..., :27], atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 17), (4, 30), (15, 1)])
def test_padding_reaches_the_next_multiple_and_keeps_the_picture(size):
    image = gray_picture(1, 1, *size)
    padded = pad_to_multiple(image, 8)
    assert padded.shape[-2:] == tuple(-(-side // 8) * 8 for side in size)
    assert torch.equal(padded[..., : size[0], : size[1]], image)


def test_attention_sits_at_its_stride_and_starts_as_identity():
    plain, attending = tiny_generator(), tiny_generator(attention_stride=2)
    assert any("attention.gamma" in name for name, _ in attending.blocks[1].named_parameters())
    attending.load_state_dict({**attending.state_dict(), **plain.state_dict()})
    gray = gray_picture(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(attending(gray), plain(gray), atol=1e-6, rtol=0)


def test_output_is_float32_under_autocast():
    gray = gray_picture(1, 1, 16, 24)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rgb = colourful(tiny_generator())(gray)
    assert rgb.dtype == torch.float32
    torch.testing.assert_close(rgb_to_gray(rgb), gray, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "yuv"}, r"head='yuv' is unknown; allowed: chroma, lab, rgb \(generator\.head\)"),
        ({"gray_rule": "mean"}, r"gray_rule='mean'.*generator\.gray_rule"),
        ({"norm": "batch"}, r"norm='batch'.*generator\.norm"),
        ({"widths": [8, 8]}, r"widths needs 3 numbers, got 2 \(generator\.widths\)"),
        ({"attention_stride": 3}, r"attention_stride=3 is not one of \[2, 4\] \(generator"),
        ({"attention_stride": 8}, r"attention_stride=8 is not one of \[2, 4\] \(generator"),
    ],
)
def test_wrong_options_name_their_config_key(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_generator(**options)


def test_encoder_must_double_its_strides():
    encoder = TinyPyramid()
    encoder.strides = [4, 8, 16]
    with pytest.raises(ValueError, match=r"strides 2, 4, 8, \.\.\., got \[4, 8, 16\] \(generator\.encoder\)"):
        UNetGenerator(encoder, widths=WIDTHS)


def test_default_generator_fits_its_encoder():
    generator = UNetGenerator(TimmPyramid("tf_efficientnet_lite0", weights=None), widths=[32, 24, 16, 12, 8]).eval()
    gray = gray_picture(1, 1, 33, 50)
    with torch.no_grad():
        torch.testing.assert_close(rgb_to_gray(generator(gray)), gray, atol=1e-6, rtol=0)


def test_torchvision_resnet34_carries_the_generator():
    layers = ["relu", "layer1", "layer2", "layer3", "layer4"]
    encoder = TorchvisionPyramid("resnet34", layers=layers, weights=None)
    generator = UNetGenerator(encoder, widths=[32, 24, 16, 12, 8], attention_stride=8).eval()
    gray = gray_picture(1, 1, 40, 65)
    with torch.no_grad():
        rgb = generator(gray)
    assert rgb.shape == (1, 3, 40, 65)
    torch.testing.assert_close(rgb_to_gray(rgb), gray, atol=1e-6, rtol=0)
