"""Hints of users: what a point, a stroke and paint mean, and what is said against those that cannot be."""

import json

import numpy as np
import pytest
import tiny_checkpoint
from PIL import Image, ImageDraw
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.data import astronaut

from colorgan.checkpoint import load_generator
from colorgan.colorize import Colorizer
from colorgan.colorize.hints import parse_hints, read_hints

NAVY, ROSE = (40, 60, 130), (210, 140, 150)


@pytest.fixture(scope="module")
def colorizer(tmp_path_factory):
    path = tiny_checkpoint.write(tmp_path_factory.mktemp("network") / "hints.safetensors", hints=True)
    return Colorizer(load_generator(path), working_size=96)


@pytest.fixture(scope="module")
def photo():
    return Image.fromarray(astronaut()[::2, ::2]).convert("L").point(lambda v: 110 + v // 4)  # room for colour


def expected(photo, at, rgb):
    """The colour on the photo's own luma, as sRGB."""
    luma = np.dot((0.299, 0.587, 0.114), rgb)
    return np.asarray(rgb) - luma + photo.getpixel(at)


def distance(made, at, photo, rgb):
    wanted = expected(photo, at, rgb)
    assert wanted.min() >= 0
    assert wanted.max() <= 255
    pair = [rgb2lab(np.array(color, float).reshape(1, 1, 3) / 255) for color in (made.getpixel(at), wanted)]
    return float(deltaE_ciede2000(*pair).item())


@pytest.mark.parametrize("units", ["pixels", "relative"])
def test_a_point_and_a_stroke_have_their_colours(colorizer, photo, units):
    whole = photo.width if units == "relative" else 1
    hints = [
        {"point": [200 / whole, 60 / whole], "color": "#283c82"},
        {"stroke": [[20 / whole, 30 / whole], [90 / whole, 80 / whole]], "color": "rgb(210, 140, 150)"},
    ]
    made = colorizer.colorize(photo, parse_hints(json.dumps({"units": units, "hints": hints}), "hints"))
    assert distance(made, (200, 60), photo, NAVY) < 5
    for at in ((20, 30), (55, 55), (90, 80)):
        assert distance(made, at, photo, ROSE) < 5
    assert np.abs(np.asarray(made.convert("L"), int) - np.asarray(photo)).max() <= 1
    plain = colorizer.colorize(photo)
    assert np.abs(np.asarray(made, int) - np.asarray(plain)).max() > 20


@pytest.mark.parametrize("scale", [1, 2])
def test_paint_on_a_copy_is_a_hint(colorizer, photo, tmp_path, scale):
    copy = photo.convert("RGB")
    ImageDraw.Draw(copy).rectangle((20, 25, 60, 60), fill=ROSE)
    copy.resize((copy.width * scale, copy.height * scale)).save(tmp_path / "painted.png")
    made = colorizer.colorize(photo, read_hints(tmp_path / "painted.png"))
    assert distance(made, (40, 40), photo, ROSE) < 5


def test_a_copy_of_another_shape_or_without_paint_is_refused(colorizer, photo, tmp_path):
    photo.save(tmp_path / "plain.png")
    photo.crop((0, 0, 100, 200)).save(tmp_path / "half.png")
    with pytest.raises(ValueError, match=r"plain\.png: no paint on it"):
        colorizer.colorize(photo, read_hints(tmp_path / "plain.png"))
    with pytest.raises(ValueError, match=r"half\.png is 100 x 200, the photo 256 x 256"):
        colorizer.colorize(photo, read_hints(tmp_path / "half.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "h.json is not JSON"),
        ("[]", "h.json: hints must be a list"),
        ('{"units": "cm", "hints": []}', "units='cm' must be pixels or relative"),
        ('[{"color": "red"}]', "hint 1 must have one of point and stroke"),
        ('[{"point": [1, 2], "color": "reddish"}]', "hint 1: color 'reddish' is none; allowed: #rrggbb"),
        ('[{"point": [1, 2], "color": "rgb(300, 0, 0)"}]', r"hint 1: color 'rgb\(300, 0, 0\)' is none"),
        ('[{"point": [1, NaN], "color": "red"}]', r"hint 1: a point is \[x, y\]"),
        ('[{"point": [1, 2], "color": "red"}, {"point": 3}]', r"hint 2: a point is \[x, y\]"),
        ('[{"point": [1, 2], "color": "red", "size": 3}]', "hint 1: 'size' is unknown; allowed: point"),
        ('[{"point": [1, 2], "color": "red", "radius": 0}]', "hint 1: radius must be above 0"),
        ('[{"point": [300, 2], "color": "red"}]', r"hint 1: \[300, 2\] lies outside of a photo of 256 x 256"),
    ],
)
def test_hints_that_cannot_be_name_their_entry(colorizer, photo, text, message):
    with pytest.raises(ValueError, match=message):
        colorizer.colorize(photo, parse_hints(text, "h.json"))


def test_a_network_without_hints_says_so(photo, tmp_path):
    plain = Colorizer(load_generator(tiny_checkpoint.write(tmp_path / "plain.safetensors")), working_size=32)
    with pytest.raises(ValueError, match="takes no hints; take a checkpoint"):
        plain.colorize(photo, parse_hints('[{"point": [1, 2], "color": "red"}]', "h.json"))
