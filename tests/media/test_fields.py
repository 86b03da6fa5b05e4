"""Fields of interlaced pictures: as pictures, their chroma, telecine."""

import numpy as np
import pytest
from film_fixture import photo

from colorgan.media.fields import TelecineDetector, bob, halve_chroma, weave


@pytest.mark.parametrize("height", [8, 7])
def test_a_field_becomes_a_picture_without_the_other_moment(height):
    image = np.zeros((height, 3), np.uint8)
    image[0::2], image[1::2] = 100, 200
    upper, lower = bob(image)
    assert (upper == 100).all()
    assert (lower == 200).all()
    assert np.array_equal(weave(upper, lower), image)


def test_chroma_of_fields_lies_where_h262_puts_it():
    # A ramp from line to line: the value is the position, so a sample must be what lies at its own place
    ramp = np.repeat(np.arange(16)[:, None] * 10, 2, axis=1).astype(np.uint16)
    halved = halve_chroma(ramp)[:, 0] / 10
    upper = [4 * k + 0.5 for k in range(4)]  # a quarter of the way between lines 4k and 4k + 2
    lower = [4 * k + 2.5 for k in range(4)]  # three quarters between 4k + 1 and 4k + 3
    assert halved[0::2].tolist() == upper
    assert halved[1::2].tolist() == lower


def test_chroma_of_one_field_stays_out_of_the_other():
    plane = np.zeros((16, 4), np.uint8)
    plane[1::2] = 200
    halved = halve_chroma(plane)
    assert (halved[0::2] == 0).all()
    assert (halved[1::2] == 200).all()


def pulldown(count, phase=0):
    """Film frames over fields: of four frames, A A/B B/C C D make five pictures."""
    size = (64, 48)
    for number in range(count):
        group, place = divmod(number + phase, 5)
        first, second = [(0, 0), (0, 1), (1, 2), (2, 2), (3, 3)][place]
        upper, lower = photo(3 * (4 * group + first), size=size), photo(3 * (4 * group + second), size=size)
        yield weave(upper, lower)[..., 1]


@pytest.mark.parametrize("phase", [0, 3])
def test_pulldown_is_found(phase):
    detector = TelecineDetector()
    for luma in pulldown(30, phase):
        detector.see(luma)
    assert detector.found


def test_neither_true_fields_nor_stills_are_telecined():
    fields, still = TelecineDetector(), TelecineDetector()
    for number in range(30):
        upper, lower = photo(2 * number, size=(64, 48)), photo(2 * number + 1, size=(64, 48))
        fields.see(weave(upper, lower)[..., 1])
        still.see(upper[..., 1] if number < 3 else lower[..., 1])
    assert not fields.found
    assert not still.found
