import math

import numpy as np
import pytest
import torch

from colorgan.metrics import Colorfulness, ColorfulnessDifference

RED, CYAN, GREEN, BLUE, GRAY = (255, 0, 0), (0, 255, 255), (0, 255, 0), (0, 0, 255), (128, 128, 128)


def picture(*pixels):
    """A picture of 2x2 pixels."""
    return torch.tensor(pixels, dtype=torch.float32).T.reshape(1, 3, 2, 2) / 255


def by_hand(rg_mean, yb_mean, rg_variance, yb_variance):
    return math.sqrt(rg_variance + yb_variance) + 0.3 * math.hypot(rg_mean, yb_mean)


# rg = R - G, yb = (R + G)/2 - B: red (255, 127.5), cyan (-255, -127.5), green (-255, 127.5), blue (0, -255)
RED_AND_CYAN_SIGNED = by_hand(0, 0, 255**2, 127.5**2)
RED_AND_CYAN_ABS = by_hand(255, 127.5, 0, 0)
# red, gray, gray, gray: rg is 255 once, 0 three times
ONE_RED = by_hand(255 / 4, 127.5 / 4, 255**2 * 3 / 16, 127.5**2 * 3 / 16)
# green, blue: rg -255, 0; yb 127.5, -255
GREEN_AND_BLUE_SIGNED = by_hand(-127.5, -63.75, 127.5**2, 191.25**2)
GREEN_AND_BLUE_ABS = by_hand(127.5, 191.25, 127.5**2, 63.75**2)


@pytest.mark.parametrize(
    ("pixels", "signed", "absolute"),
    [
        ((RED, CYAN, RED, CYAN), RED_AND_CYAN_SIGNED, RED_AND_CYAN_ABS),
        ((RED, GRAY, GRAY, GRAY), ONE_RED, ONE_RED),
        ((GREEN, BLUE, BLUE, GREEN), GREEN_AND_BLUE_SIGNED, GREEN_AND_BLUE_ABS),
        ((RED,) * 4, 0.3 * math.hypot(255, 127.5), 0.3 * math.hypot(255, 127.5)),
        ((GRAY,) * 4, 0, 0),
    ],
    ids=["red and cyan", "one red", "green and blue", "flat red", "gray"],
)
def test_colorfulness_of_four_pixels_is_that_by_hand(pixels, signed, absolute, measure):
    image = picture(*pixels)
    assert measure(Colorfulness(), image, image) == pytest.approx(signed, rel=1e-5, abs=1e-5)
    assert measure(Colorfulness("abs"), image, image) == pytest.approx(absolute, rel=1e-5, abs=1e-5)


def test_signed_and_absolute_colorfulness_differ_where_colours_are_complementary(measure):
    """Red and cyan: the signed means cancel, of absolute values the spreads do; 1 against 0.3 of the same length."""
    image = picture(RED, CYAN, RED, CYAN)
    ratio = measure(Colorfulness(), image, image) / measure(Colorfulness("abs"), image, image)
    assert ratio == pytest.approx(1 / 0.3, rel=1e-5)


def test_absolute_colorfulness_equals_the_code_of_published_tables(photos, measure):
    """DDColor's calculate_cf, written again in NumPy: absolute values first."""
    values = []
    for red, green, blue in (255 * photos.double()).round().numpy():
        rg, yb = np.absolute(red - green), np.absolute(0.5 * (red + green) - blue)
        spread = np.sqrt(np.std(rg) ** 2 + np.std(yb) ** 2)
        values.append(spread + 0.3 * np.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2))
    assert measure(Colorfulness("abs"), photos, photos) == pytest.approx(np.mean(values), rel=1e-6)
    assert measure(Colorfulness(), photos, photos) > 1.02 * np.mean(values)


def test_colorfulness_scales_with_the_range_of_the_picture(measure):
    """Levels 0, 60, 120 doubled."""
    half = picture((120, 0, 0), (0, 60, 120), (60, 60, 0), (0, 120, 60))
    assert measure(Colorfulness(), 2 * half, half) == pytest.approx(2 * measure(Colorfulness(), half, half), rel=1e-5)


def test_colorfulness_is_averaged_over_pictures(measure):
    images = torch.cat([picture(*[RED] * 4), *[picture(*[GRAY] * 4)] * 3])
    assert measure(Colorfulness(), images, images) == pytest.approx(0.3 * math.hypot(255, 127.5) / 4, rel=1e-5)


def test_colorfulness_looks_at_the_pictures_alone(photos, measure):
    flat = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand_as(photos)
    assert not Colorfulness.needs_truth
    assert measure(Colorfulness(), flat, photos) == pytest.approx(0.3 * math.hypot(255, 127.5), rel=1e-5)


def test_difference_is_that_of_the_means_not_the_mean_of_differences(measure):
    red, gray = picture(*[RED] * 4), picture(*[GRAY] * 4)
    swapped = torch.cat([gray, red])
    assert measure(ColorfulnessDifference(), swapped, torch.cat([red, gray])) == pytest.approx(0, abs=1e-5)
    value = measure(ColorfulnessDifference(), torch.cat([gray, gray]), torch.cat([red, gray]))
    assert value == pytest.approx(0.3 * math.hypot(255, 127.5) / 2, rel=1e-5)


def test_difference_to_itself_is_zero_and_to_paler_or_stronger_positive(with_chroma, photos, measure):
    assert measure(ColorfulnessDifference(), photos, photos) == 0
    for factor in (0, 1.5):
        assert measure(ColorfulnessDifference(), with_chroma(factor), photos) > 3


def test_difference_takes_absolute_values_when_asked(measure):
    fake, real = picture(RED, CYAN, RED, CYAN), picture(*[GRAY] * 4)
    assert measure(ColorfulnessDifference("abs"), fake, real) == pytest.approx(RED_AND_CYAN_ABS, rel=1e-5)


def test_colorfulness_is_fooled_by_inverted_hue_and_by_saturation(with_chroma, photos, measure):
    """Its traps: hue does not count, and more is not better."""
    truth = measure(Colorfulness(), photos, photos)
    assert measure(Colorfulness(), with_chroma(0), photos) == pytest.approx(0, abs=1e-5)
    assert measure(Colorfulness(), with_chroma(1.5), photos) > 1.1 * truth
    assert measure(Colorfulness(), with_chroma(-1), photos) > 0.95 * truth  # the gamut cuts off the rest


@pytest.mark.parametrize("metric", [Colorfulness, ColorfulnessDifference])
def test_an_unknown_formula_is_refused(metric):
    with pytest.raises(ValueError, match=r"formula='hsv' is unknown; allowed: signed, abs"):
        metric("hsv")


def test_the_formula_is_part_of_the_protocol():
    assert Colorfulness().describe() == {"class": "Colorfulness", "version": 1, "formula": "signed"}
    assert Colorfulness("abs").describe() != Colorfulness().describe()
