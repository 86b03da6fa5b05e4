"""Shots of films that are spliced from built-in photos."""

from fractions import Fraction

import numpy as np
import pytest
from spliced import SIZE, dissolve, gray, title, view

from colorgan.media.cuts import find_shots
from colorgan.media.film_facts import FULL, FilmFacts, Frame

FACTS = FilmFacts(*SIZE[::-1], Fraction(1, 25), Fraction(25), color_range=FULL)


def shots(film):
    """(start, end, dissolve, kind) of each shot; what has colours is told by its pixels."""
    levels = film.clip(0, 255).astype(np.uint8)
    colored = [np.ptp(picture.astype(int), axis=2).max() > 20 for picture in levels]
    frames = (
        Frame(t, 1, np.ascontiguousarray(picture[..., 1]), rgb=picture if has else None, number=t + 1)
        for t, (picture, has) in enumerate(zip(levels, colored, strict=True))
    )
    return [(shot.start, shot.end, shot.dissolve, shot.kind) for shot in find_shots(frames, FACTS)]


FIRST, SECOND, THIRD = (gray(view(name, 30)) for name in ("astronaut", "chelsea", "coffee"))


def test_cuts_are_found_to_the_frame():
    film = np.concatenate([FIRST, SECOND, THIRD[:12]])
    assert shots(film) == [(1, 30, 0, "film"), (31, 60, 0, "film"), (61, 72, 0, "film")]


def test_flashes_flicker_and_grain_are_no_cuts():
    film, random = np.concatenate([FIRST, SECOND]), np.random.default_rng(0)
    film = film * (1 + 0.15 * random.normal(size=(60, 1, 1, 1))) + random.normal(0, 12, film.shape[:3])[..., None]
    film[[10, 11, 45]] = 235
    assert shots(film) == [(1, 30, 0, "film"), (31, 60, 0, "film")]


@pytest.mark.parametrize("length", [8, 16])
def test_a_dissolve_is_found_with_its_length(length):
    first, second = (gray(view(name, 30, speed=0)) for name in ("astronaut", "chelsea"))
    (_, end, *_), (start, _, mixed, _) = shots(dissolve(first, second, length))
    middle = 30 - length // 2 + 1
    assert abs(start - middle) <= 2
    assert end == start - 1
    assert abs(mixed - length) <= 4


def test_a_fade_over_black_is_a_boundary_and_long_black_a_shot():
    down, up = np.linspace(1, 0, 8)[:, None, None, None], np.linspace(0, 1, 8)[:, None, None, None]
    first, second = FIRST.copy(), SECOND.copy()
    first[-8:], second[:8] = first[-8:] * down, second[:8] * up
    (_, end, *_), (start, *_) = shots(np.concatenate([first, second]))
    assert start == end + 1
    assert abs(start - 31) <= 2
    black = np.zeros((20, *SIZE, 3))
    assert [kind for *_, kind in shots(np.concatenate([first, black, second]))] == ["film", "blank", "film"]


def test_titles_and_what_is_in_colour_are_told():
    film = np.concatenate([title(16), FIRST, view("chelsea", 20), SECOND[:20]])
    assert [(start, kind) for start, _, _, kind in shots(film)] == [
        (1, "title"),
        (17, "film"),
        (47, "color"),
        (67, "film"),
    ]


def test_an_empty_film_has_no_shots():
    assert find_shots(iter(()), FACTS) == []
