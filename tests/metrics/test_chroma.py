import math

import pytest
import torch

from colorgan.color import chroma_to_rgb, lab_to_rgb, quantize, recombine, rgb_to_chroma, rgb_to_gray, rgb_to_lab
from colorgan.metrics import ChromaDistance
from colorgan.metrics.base import resampling_counts


def with_chroma(rgb, chroma):
    gray = rgb_to_gray(rgb)
    return quantize(recombine(gray, chroma_to_rgb(gray, chroma)))


def with_hue_turned(rgb, degrees):
    lightness, a, b = rgb_to_lab(rgb).split(1, dim=1)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = lab_to_rgb(torch.cat([lightness, cos * a - sin * b, sin * a + cos * b], dim=1))
    return quantize(recombine(lightness / 100, turned, "lightness"))


@pytest.fixture(scope="module")
def rgb(crops):
    return crops[1]


@pytest.fixture(scope="module")
def gray(rgb):
    return with_chroma(rgb, 0 * rgb_to_chroma(rgb))


@pytest.fixture(scope="module")
def shuffled(rgb):
    """Neighbours in the batch are crops of different photos."""
    return with_chroma(rgb, rgb_to_chroma(rgb.roll(1, dims=0)))


def flat(color, count=4, size=32):
    return torch.tensor(color).view(1, 3, 1, 1).expand(count, 3, size, size)


def test_the_photos_themselves_score_exactly_zero(rgb, measure):
    assert measure(ChromaDistance(), rgb, rgb) == 0


def test_the_distance_falls_to_the_chroma_of_the_photos_and_rises_after(rgb, measure):
    factors = (0, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.5, 2)
    values = [measure(ChromaDistance(), with_chroma(rgb, f * rgb_to_chroma(rgb)), rgb) for f in factors]
    truth = factors.index(1)
    assert values[: truth + 1] == sorted(values[: truth + 1], reverse=True)
    assert values[truth:] == sorted(values[truth:])
    assert values[2] > 0.2 * values[0]  # half the chroma is no small error


@pytest.mark.parametrize("sign", [1, -1])
def test_the_distance_rises_with_the_turn_of_hue_and_beyond_gray(sign, rgb, gray, measure):
    turns = (0, 10, 30, 60, 90, 120, 150, 180)
    values = [measure(ChromaDistance(), with_hue_turned(rgb, sign * turn), rgb) for turn in turns]
    assert values == sorted(values)
    assert values[-1] > 1.1 * measure(ChromaDistance(), gray, rgb)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_on_the_seven_whole_photos_wrong_chroma_costs_less_than_none(factor, with_chroma, photos, measure):
    value = measure(ChromaDistance(), with_chroma(factor), photos)
    assert 0 < value < measure(ChromaDistance(), with_chroma(0), photos)


def test_mean_tint_is_bad_and_the_chroma_of_another_photo_better_than_that(rgb, gray, shuffled, measure):
    chroma = rgb_to_chroma(rgb)
    tinted = with_chroma(rgb, chroma.mean(dim=(0, 2, 3), keepdim=True).expand_as(chroma))
    small = with_chroma(rgb, 0.9 * chroma)
    values = [measure(ChromaDistance(), pictures, rgb) for pictures in (small, shuffled, tinted, gray)]
    assert values == sorted(values)
    assert values[1] > 5 * values[0]


def test_without_places_the_chroma_of_another_photo_costs_next_to_nothing(rgb, gray, shuffled, measure):
    sets = ChromaDistance(place_weight=0)
    assert abs(measure(sets, shuffled, rgb)) < 0.05 * measure(sets, gray, rgb)
    assert measure(ChromaDistance(), shuffled, rgb) > 0.1 * measure(ChromaDistance(), gray, rgb)


def test_colours_at_the_wrong_end_of_each_photo_cost_only_where_places_count(rgb, measure):
    """The photos mirrored in the chroma alone: each has its own colours, elsewhere."""
    mirrored = with_chroma(rgb, rgb_to_chroma(rgb).flip(3))
    sets = measure(ChromaDistance(place_weight=0), mirrored, rgb)
    assert measure(ChromaDistance(), mirrored, rgb) > 5 * sets


def test_flat_colours_are_at_the_distance_by_hand(measure):
    """|phi(c) - phi(c')|^2 = 2 - 2 mean cos(w . (c - c')), over all photos and again, a tenth, over all places."""
    red, blue = (0.8, 0.3, 0.3), (0.3, 0.3, 0.8)
    _, a, b = (rgb_to_lab(quantize(flat(red))) - rgb_to_lab(quantize(flat(blue))))[0, :, 0, 0].tolist()
    cosines = [
        math.cos((a * math.cos(angle) + b * math.sin(angle)) / scale)
        for scale in (60, 30, 15)
        for angle in (math.radians(30 * step) for step in range(6))
    ]
    expected = 1000 * 1.1 * (2 - 2 * sum(cosines) / len(cosines))
    assert measure(ChromaDistance(), flat(red), flat(blue)) == pytest.approx(expected, rel=1e-4)


def test_lightness_is_not_looked_at(measure):
    """Two grays are the same colour, but for the digits in which the matrix of Lab differs from its white."""
    assert measure(ChromaDistance(), flat((0.2,) * 3), flat((0.9,) * 3)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (48, 80), (200, 150)])
def test_any_size_is_measured_and_resizing_both_changes_little(size, photos, with_chroma, measure):
    resized = [
        torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True) for x in (photos, with_chroma(0))
    ]
    value = measure(ChromaDistance(), with_chroma(0), photos)
    assert measure(ChromaDistance(), resized[1], resized[0]) == pytest.approx(value, rel=0.15)


def test_pictures_are_looked_at_rounded_to_eight_bits(rgb, measure):
    levels = quantize(rgb)
    assert measure(ChromaDistance(), (levels + 0.4 / 255).clamp(0, 1), levels) == 0


def test_the_distance_of_one_photo_is_nan(rgb, gray, measure):
    assert math.isnan(measure(ChromaDistance(), gray[:1], rgb[:1]))


def test_replicates_are_distances_of_resampled_pictures(rgb, shuffled, measure):
    """Rows repeated as often as drawn, less the pairs of a photo with its copies."""
    metric = ChromaDistance()
    value = measure(metric, shuffled, rgb)
    assert metric.replicates(torch.ones(1, 70)).item() == pytest.approx(value, rel=1e-6)
    without = torch.cat([torch.zeros(30), torch.ones(40)])[None]
    kept = measure(ChromaDistance(), shuffled[30:], rgb[30:])
    assert metric.replicates(without).item() == pytest.approx(kept, rel=1e-5)
    replicates = metric.replicates(resampling_counts(70, 500))
    assert replicates.mean().item() == pytest.approx(value, abs=3 * replicates.std().item() / math.sqrt(500))
    assert replicates.std() > 0


def test_copies_of_a_photo_are_no_pair(rgb, gray):
    """Two pictures, drawn twice and once: as pairs (0, 1) and (1, 0) alone."""
    metric = ChromaDistance(place_weight=0)
    metric.update(gray[:2], rgb[:2])
    once = metric.replicates(torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(metric.replicates(torch.tensor([[2.0, 1.0]])), once)


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf])
def test_an_impossible_weight_is_refused(weight):
    with pytest.raises(ValueError, match="place_weight="):
        ChromaDistance(place_weight=weight)


def test_the_weight_of_places_is_part_of_the_protocol_and_no_network_judges():
    facts = ChromaDistance().describe()
    assert facts["class"] == "ChromaDistance"
    assert facts["place_weight"] == 0.1
    assert {"kornia", "torchmetrics"} < facts.keys()
    assert ChromaDistance().judge() is None
