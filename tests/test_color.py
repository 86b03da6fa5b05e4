import itertools

import numpy as np
import pytest
import skimage.color
import skimage.data
import torch
from PIL import Image

from colorgan.color import (
    GRAY_RULES,
    chroma_to_rgb,
    colorfulness,
    lab_to_rgb,
    quantize,
    recombine,
    rgb_to_chroma,
    rgb_to_gray,
    rgb_to_lab,
    to_uint8,
)

LEVEL = 1 / 255
RULES = pytest.mark.parametrize("rule", GRAY_RULES)


def as_rgb(image_uint8):
    return torch.from_numpy(np.array(image_uint8)).permute(2, 0, 1)[None].float() / 255


def cube_faces(step):
    """Every 8-bit colour on the border of the RGB cube, thinned by `step`, as a (1, 3, 1, K) image."""
    levels = np.arange(0, 256, step)
    face = np.array(list(itertools.product([0, 255], levels, levels)), dtype=np.float64) / 255
    colors = np.concatenate([face, face[:, [1, 0, 2]], face[:, [1, 2, 0]]])
    return torch.tensor(colors.T, dtype=torch.float32).reshape(1, 3, 1, -1)


@pytest.fixture(params=["astronaut", "chelsea", "coffee"])
def photo(request):
    return getattr(skimage.data, request.param)()[::8, ::8]


@pytest.fixture
def chroma_targets():
    """Random grays, and colours of which many lie far outside the gamut."""
    generator = torch.Generator().manual_seed(0)
    gray = torch.rand(2, 1, 64, 64, generator=generator)
    gray[:, :, 0, :8], gray[:, :, 0, 8:16] = 0, 1  # black and white leave no room for chroma
    inside = torch.rand(2, 3, 64, 64, generator=generator)
    return gray, torch.cat([inside[:1], 3 * inside[1:] - 1])


def test_lab_equals_scikit_image_on_photos(photo):
    lab = rgb_to_lab(as_rgb(photo))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(lab, skimage.color.rgb2lab(photo), atol=1e-3, rtol=0)


def test_lab_equals_scikit_image_on_the_corners_of_the_cube():
    corners = cube_faces(255)
    expected = skimage.color.rgb2lab(corners[0].permute(1, 2, 0).double().numpy())
    np.testing.assert_allclose(rgb_to_lab(corners)[0].permute(1, 2, 0).numpy(), expected, atol=1e-3, rtol=0)


def test_lab_round_trip_returns_the_colours():
    rgb = torch.cat([cube_faces(15), torch.rand(1, 3, 1, 500, generator=torch.Generator().manual_seed(0))], dim=3)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=2e-5, rtol=0)


def test_lab_to_rgb_does_not_clip():
    assert lab_to_rgb(torch.tensor([50.0, 120, -120]).view(1, 3, 1, 1)).max() > 1


def test_lab_is_computed_in_float32_under_autocast():
    rgb = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lab = rgb_to_lab(rgb)
        back = lab_to_rgb(lab)
    assert torch.equal(lab, rgb_to_lab(rgb))
    torch.testing.assert_close(back, rgb, atol=2e-5, rtol=0)


def test_luma601_is_within_one_level_of_pil(photo):
    gray = 255 * rgb_to_gray(as_rgb(photo))[0, 0].numpy()
    np.testing.assert_allclose(gray, np.asarray(Image.fromarray(photo).convert("L"), dtype=np.float32), atol=1, rtol=0)


def test_lightness_is_l_of_scikit_image(photo):
    gray = rgb_to_gray(as_rgb(photo), "lightness")[0, 0].numpy()
    np.testing.assert_allclose(100 * gray, skimage.color.rgb2lab(photo)[..., 0], atol=1e-3, rtol=0)


@RULES
def test_gray_of_black_and_white_is_0_and_1(rule):
    ends = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    torch.testing.assert_close(rgb_to_gray(ends, rule).flatten(), torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("function", [rgb_to_gray, lambda image, rule: recombine(image[:, :1], image, rule)])
def test_unknown_gray_rule_names_the_config_key(function):
    with pytest.raises(ValueError, match=r"gray_rule='rec709'.*luma601, lightness.*generator\.gray_rule"):
        function(torch.zeros(1, 3, 2, 2), "rec709")


def test_chroma_planes_do_not_change_the_luma():
    generator = torch.Generator().manual_seed(0)
    gray, chroma = torch.rand(1, 1, 16, 16, generator=generator), torch.randn(1, 2, 16, 16, generator=generator)
    torch.testing.assert_close(rgb_to_gray(chroma_to_rgb(gray, chroma)), gray, atol=1e-6, rtol=0)


def test_chroma_and_gray_give_the_photo_back(photo):
    rgb = as_rgb(photo)
    torch.testing.assert_close(chroma_to_rgb(rgb_to_gray(rgb), rgb_to_chroma(rgb)), rgb, atol=1e-6, rtol=0)


@RULES
def test_recombination_stays_in_gamut(rule, chroma_targets):
    rgb = recombine(*chroma_targets, rule)
    assert rgb.min() >= 0
    assert rgb.max() <= 1


# luma601 is linear, so only float32 rounding is left; through Lab the gamut is met to within 5e-5 of a channel.
@pytest.mark.parametrize(("rule", "tolerance"), [("luma601", 1e-6), ("lightness", 1e-4)])
def test_recombination_keeps_the_gray_out_of_gamut(rule, tolerance, chroma_targets):
    gray, target = chroma_targets
    torch.testing.assert_close(rgb_to_gray(recombine(gray, target, rule), rule), gray, atol=tolerance, rtol=0)


# Rounding moves each channel by at most half a level. The weights of luma601 add up to 1; the partial derivatives
# of lightness to at most 1.334 over the cube (largest in dark blues): 0.667 levels.
@pytest.mark.parametrize(("rule", "levels"), [("luma601", 0.5), ("lightness", 0.667)])
def test_recombination_keeps_the_gray_within_half_a_level_after_rounding(rule, levels, chroma_targets):
    gray, target = chroma_targets
    rounded = to_uint8(recombine(gray, target, rule)).float() / 255
    assert (rgb_to_gray(rounded, rule) - gray).abs().max() <= levels * LEVEL + 1e-4


def test_lightness_derivatives_add_up_to_less_than_four_thirds():
    rgb = torch.rand(1, 3, 300, 300, generator=torch.Generator().manual_seed(0)).pow(3).requires_grad_()
    rgb_to_gray(rgb, "lightness").sum().backward()
    assert 1.2 < rgb.grad.abs().sum(dim=1).max() <= 1.334


def proposal(gray, target, rule):
    """The colour before its chroma is scaled."""
    if rule == "luma601":
        return gray + target - rgb_to_gray(target)
    return lab_to_rgb(torch.cat([100 * gray, rgb_to_lab(target)[:, 1:]], dim=1))


# The bisection of lightness ends 2^-16 of the chroma short of the border: below 1e-3 for these targets.
@pytest.mark.parametrize(("rule", "tolerance"), [("luma601", 1e-6), ("lightness", 1e-3)])
def test_recombination_scales_chroma_no_more_than_it_must(rule, tolerance, chroma_targets):
    gray, target = chroma_targets
    wanted, rgb = proposal(gray, target, rule), recombine(gray, target, rule)
    scaled = ((wanted < -1e-3) | (wanted > 1 + 1e-3)).any(dim=1)
    assert 0.2 < scaled.float().mean() < 0.9
    to_border = torch.minimum(rgb, 1 - rgb).amin(dim=1)
    assert to_border[scaled].max() < tolerance
    fits = ((wanted >= 0) & (wanted <= 1)).all(dim=1, keepdim=True)
    torch.testing.assert_close(rgb * fits, wanted * fits, atol=1e-6, rtol=0)


def test_recombination_scales_chroma_along_its_own_direction(chroma_targets):
    gray, target = chroma_targets
    wanted, got = proposal(gray, target, "luma601") - gray, recombine(gray, target) - gray
    length = wanted.norm(dim=1) * got.norm(dim=1)
    torch.testing.assert_close((wanted * got).sum(dim=1), length, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("rule", "tolerance"), [("luma601", 1e-6), ("lightness", 2e-5)])
def test_recombination_leaves_photos_as_they_are(rule, tolerance, photo):
    rgb = as_rgb(photo)
    torch.testing.assert_close(recombine(rgb_to_gray(rgb, rule), rgb, rule), rgb, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("rule", "tolerance"), [("luma601", 1e-6), ("lightness", 2e-5)])
def test_recombination_leaves_the_border_of_the_gamut_as_it_is(rule, tolerance):
    rgb = cube_faces(5)  # with yellow, to which the way from gray leads out of the gamut and back in
    torch.testing.assert_close(recombine(rgb_to_gray(rgb, rule), rgb, rule), rgb, atol=tolerance, rtol=0)


@RULES
def test_recombination_with_a_gray_picture_is_gray(rule):
    gray = torch.linspace(0, 1, 32).view(1, 1, 4, 8)
    rgb = recombine(gray, torch.full((1, 3, 4, 8), 0.3), rule)
    assert (rgb.amax(dim=1) - rgb.amin(dim=1)).max() < 5e-5  # float32 through Lab


@RULES
def test_recombination_has_finite_gradients(rule, chroma_targets):
    gray, target = chroma_targets
    target = target.clone().requires_grad_()
    with torch.no_grad():
        target[:, :, 1] = 0.5  # no chroma at all
        target[:, :, 2] = 0
    recombine(gray, target, rule).square().sum().backward()
    assert target.grad.isfinite().all()
    assert target.grad.abs().max() > 0


def test_luma601_recombination_has_the_gradient_of_a_finite_difference():
    generator = torch.Generator().manual_seed(0)
    gray, target = torch.rand(1, 1, 3, 3, generator=generator), 3 * torch.rand(1, 3, 3, 3, generator=generator) - 1
    direction = torch.randn(1, 3, 3, 3, generator=generator)
    weights = torch.randn(1, 3, 3, 3, generator=generator)
    target.requires_grad_()
    (recombine(gray, target) * weights).sum().backward()
    with torch.no_grad():
        ahead, behind = (recombine(gray, target + step * direction) for step in (1e-3, -1e-3))
        expected = ((ahead - behind) / 2e-3 * weights).sum()
    torch.testing.assert_close((target.grad * direction).sum(), expected, rtol=1e-2, atol=1e-2)  # float32 differences


def test_uint8_is_rounded_to_nearest_and_clipped():
    values = torch.tensor([-0.5, 0.0, 0.4 * LEVEL, 0.6 * LEVEL, 99.6 * LEVEL, 254.4 * LEVEL, 1.0, 1.7])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 100, 254, 255, 255]


def test_quantize_keeps_every_level_and_nothing_between():
    levels = torch.arange(256) / 255
    assert torch.equal(to_uint8(levels), torch.arange(256, dtype=torch.uint8))
    assert torch.equal(quantize(levels), levels)
    assert torch.equal(quantize(levels + 0.3 * LEVEL), levels)


@pytest.mark.parametrize("color", [(255, 0, 0), (12, 200, 90), (0, 0, 255)])
def test_colorfulness_of_a_flat_colour_is_its_distance_from_gray(color):
    red, green, blue = color
    flat = (torch.tensor(color).float() / 255).view(1, 3, 1, 1).expand(1, 3, 5, 7)
    expected = 0.3 * np.hypot(red - green, (red + green) / 2 - blue)
    assert colorfulness(flat).item() == pytest.approx(expected, rel=1e-5)


def test_colorfulness_of_gray_is_zero():
    assert colorfulness(torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8)).item() < 1e-4


def test_colorfulness_of_four_pixels_by_hand():
    pixels = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]).float() / 255
    # rg = 255, -255, 0, 0: mean 0, variance 32512.5; yb = 127.5, 127.5, -255, 0: mean 0, variance 24384.375
    assert colorfulness(pixels.T.reshape(1, 3, 2, 2)).item() == pytest.approx(np.sqrt(32512.5 + 24384.375), rel=1e-6)


def test_colorfulness_is_signed():
    red_and_cyan = torch.tensor([[1.0, 0, 0], [0, 1, 1]]).T.reshape(1, 3, 1, 2)
    # rg = +-255, yb = +-127.5, means 0: the spread is sqrt(255^2 + 127.5^2) = 285.1. Absolute values have no spread,
    # but a mean: 0.3 * 285.1 = 85.5.
    assert colorfulness(red_and_cyan).item() == pytest.approx(np.hypot(255, 127.5), rel=1e-6)


def test_colorfulness_is_one_number_an_image():
    images = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([colorfulness(image[None]) for image in images])
    torch.testing.assert_close(colorfulness(images), alone)


def test_colorfulness_of_gray_has_a_finite_gradient():
    gray = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    colorfulness(gray).sum().backward()
    assert gray.grad.isfinite().all()
