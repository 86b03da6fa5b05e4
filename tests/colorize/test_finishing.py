"""Finishing changes chroma where it is told to, and never luma."""

import colorsys

import numpy as np
import pytest

from colorgan.colorize.finishing import finish, looks_at
from colorgan.colorize.looks import HueRange, Look, parse_hues
from colorgan.colorize.shot_list import Shot, ShotList

LUMA = np.array([0.299, 0.587, 0.114])


def picture(seed=0):
    rgb = np.random.default_rng(seed).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    return rgb, np.rint(rgb @ LUMA).astype(np.uint8)


def flat(hue):
    rgb = np.rint(255 * (0.35 + 0.3 * np.array(colorsys.hsv_to_rgb(hue / 360, 1, 1)))).astype(np.uint8)
    rgb = np.full((4, 4, 3), rgb, np.uint8)
    return rgb, np.rint(rgb @ LUMA).astype(np.uint8)


def hue_of(rgb):
    return 360 * colorsys.rgb_to_hsv(*(rgb[0, 0] / 255))[0]


@pytest.mark.parametrize(
    "look",
    [Look(saturation=0.4), Look(saturation=2.5), Look(dark=0.5), Look(hues=parse_hues("0:99 to 240; 200:300 x 0"))],
)  # fmt: skip
def test_luma_stays(look):
    rgb, gray = picture()
    done = finish(rgb, gray, look)
    assert np.abs(done @ LUMA - gray).max() <= 0.75  # each channel is rounded by half a level
    assert not np.array_equal(done, rgb)


def test_a_natural_look_changes_nothing():
    rgb, gray = picture()
    assert finish(rgb, gray, Look()) is rgb


def test_saturation_scales_and_the_dark_guard_fades_to_gray():
    rgb, gray = flat(30)
    half = finish(rgb, gray, Look(saturation=0.5))
    assert np.abs((half.astype(float) - gray[..., None]) - (rgb.astype(float) - gray[..., None]) / 2).max() <= 1
    dark = (rgb * 0.05).astype(np.uint8)
    guarded = finish(dark, np.rint(dark @ LUMA).astype(np.uint8), Look(dark=0.5))
    assert np.ptp(guarded.astype(int), axis=2).max() <= 1
    bright = finish(rgb, gray, Look(dark=0.3))
    assert np.abs(bright.astype(int) - rgb).max() <= 1


def test_hues_are_changed_in_their_range_only_also_over_360():
    calm = (HueRange(340, 20, 0.0),)
    for hue, changed in ((0, True), (350, True), (15, True), (60, False), (300, False)):
        rgb, gray = flat(hue)
        done = finish(rgb, gray, Look(hues=calm))
        assert (np.ptp(done.astype(int), axis=2).max() <= 1) == changed, hue
        assert np.array_equal(done, rgb) == (not changed), hue


def test_a_hue_moves_and_its_neighbours_with_it():
    moved = Look(hues=parse_hues("190:250 to 30"))
    for hue, expected in ((220, 30), (210, 20), (100, 100)):
        assert abs(hue_of(finish(*flat(hue), moved)) - expected) < 5


def test_over_a_dissolve_one_look_becomes_the_other():
    a, b = Look(saturation=0.5), Look(saturation=1.5)
    shots = ShotList([Shot("1", 1, 20, look=a), Shot("2", 21, 40, dissolve=3, look=b), Shot("3", 41, 50, look=a)])
    assert looks_at(shots, 19)[1] == 0
    assert [round(looks_at(shots, frame)[1], 2) for frame in (20, 21, 22)] == [0.25, 0.5, 0.75]
    assert looks_at(shots, 23) == ((b, b), 0)
    assert [looks_at(shots, frame)[0][0] for frame in (40, 41)] == [b, a]
