"""What hints promise: nothing where nothing is known, the very colour where it is certain."""

import pytest
import torch
from skimage.data import astronaut
from torch import nn

from colorgan.color import color_planes, rgb_to_gray
from colorgan.networks import DeOldifyGenerator, TimmPyramid, TorchvisionPyramid, UNetGenerator


def generator(**options):
    torch.manual_seed(0)
    encoder = TimmPyramid("tf_efficientnet_lite0", weights=None, layers=[0, 1, 2])
    made = UNetGenerator(encoder, widths=[16, 8, 8], **{"hints": True, **options}).eval()
    for name, parameter in made.named_parameters():  # an untrained branch and head say almost nothing
        if name.startswith(("hints.", "to_color.")):
            nn.init.normal_(parameter, std=0.3)
    return made


def photo(height=45, width=66):
    return torch.from_numpy(astronaut()[:height, 100 : 100 + width].copy()).permute(2, 0, 1)[None].float() / 255


@torch.no_grad()
def test_hints_of_zeros_are_no_hints():
    made, gray = generator(), rgb_to_gray(photo())
    planes = torch.ones(1, 2, *gray.shape[-2:])  # without confidence they say nothing
    assert torch.equal(made(gray), made(gray, torch.cat([planes, 0 * gray], dim=1)))


@torch.no_grad()
@pytest.mark.parametrize(("head", "rule"), [("chroma", "luma601"), ("rgb", "luma601"), ("lab", "lightness")])
def test_certain_colours_come_out_as_they_are_and_others_tell_the_rest(head, rule):
    made, rgb = generator(head=head, gray_rule=rule), photo()
    gray = rgb_to_gray(rgb, rule)
    known = torch.zeros_like(gray)
    known[..., 10:20, 30:40] = 1
    hints = torch.cat([color_planes(rgb, rule) * known, known], dim=1)
    made_rgb, without = made(gray, hints), made(gray)
    there = (known == 1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(made_rgb[there], rgb[there], atol=1e-3 if rule == "lightness" else 1e-5, rtol=0)
    assert (made_rgb - without).abs()[~there].max() > 0.01
    torch.testing.assert_close(rgb_to_gray(made_rgb, rule), gray, atol=1e-4, rtol=0)
    half = made(gray, torch.cat([hints[:, :2], 0.5 * known], dim=1))
    assert (half - rgb).abs()[there].max() > 0.01


def test_every_part_of_the_branch_learns():
    made, gray = generator().train(), torch.rand(2, 1, 24, 24)
    made(gray, torch.rand(2, 3, 24, 24)).square().sum().backward()
    for name, parameter in made.hints.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_a_plain_network_s_weights_begin_a_network_with_hints():
    plain, hinted = (generator(hints=wanted).state_dict() for wanted in (False, True))
    assert {name for name in hinted if not name.startswith("hints.")} == set(plain)


def test_networks_without_hints_refuse_them():
    layers = ["relu", "layer1", "layer2", "layer3", "layer4"]
    for made in (
        generator(hints=False),
        DeOldifyGenerator(TorchvisionPyramid("resnet34", layers=layers, weights=None)),
    ):
        with pytest.raises(ValueError, match=r"takes no hints; take a checkpoint .* \(generator\.hints\)"):
            made(torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"hints must be \(1, 3, 32, 32\).*got \(1, 3, 16, 32\)"):
        generator()(torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 16, 32))
