"""Find the shots of a film in its luma: cuts, dissolves and fades, and what is black, a title or in colour already."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from colorgan.media.film_facts import FilmFacts, Frame

_SIZE = 24  # pixels a side at which pictures are compared; grain averages out
_TEXT_SIZE = 128  # at which letters are looked for
_REACH = 24  # frames: the longest window in which a dissolve is looked for
_FLAT = 4.0  # levels: standard deviation below which a picture shows nothing
_BLANK_FRAMES = 8  # so many pictures that show nothing are a shot
_SHORTEST = 4  # frames of a shot
# The limits below were set on spliced films, of other seeds than benchmarks/shots_study.py measures.
_CUT = 0.38  # mean of two correlations across a cut: of the pictures, and of their details, moved to fit
_FLASH = 0.7  # correlation of the pictures around a flash
_UNLIKE = 0.35  # correlation of what a dissolve joins, at most
_MIXED = 0.74  # share of the pictures in a dissolve that a mix of its ends explains
_DIP = 1.05  # contrast in a dissolve, squared, by that of a mix: unlike pictures cancel out, a moving one does not
_STEP = 0.45  # of a mix from one frame to the next: more is a cut
_VALLEY = 0.3  # contrast in a fade by that beside it


@dataclass(frozen=True)
class FoundShot:
    """A shot of a film.

    Attributes:
        start: its first frame, from 1 on.
        end: its last frame.
        seconds: when it begins.
        dissolve: frames over which it is mixed with the one before, half of them its own; 0 at a cut.
        kind: `film`, `blank` (black or white), `title` or `color`.
    """

    start: int
    end: int
    seconds: float
    dissolve: int
    kind: str


class _Facts(NamedTuple):
    """What is remembered of a frame."""

    seconds: float
    contrast: float
    colored: bool
    lettered: bool
    details: float  # correlation of details with the frame before, moved to fit


def find_shots(frames: Iterable[Frame], facts: FilmFacts) -> list[FoundShot]:
    """Find all shots of a film; of each frame some bytes are kept.

    A picture counts as the same shot if it correlates with those before, whatever its exposure. Dissolves are found by
    what they are: pictures that a mix of the first and the last explains, one fading while the other comes.
    """
    notes, products, planes = [], [], deque[np.ndarray](maxlen=_REACH)
    before = None
    for frame in frames:
        gray = facts.gray(frame.luma)
        plane = cv2.resize(gray, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
        fine = cv2.resize(gray, (_TEXT_SIZE, _TEXT_SIZE), interpolation=cv2.INTER_AREA)
        details = plane - cv2.GaussianBlur(plane, (0, 0), 3)
        centered = (plane - plane.mean()).ravel()
        planes.appendleft(centered)
        products.append(np.zeros(_REACH, np.float32))
        products[-1][: len(planes)] = [centered @ other for other in planes]
        fit = 1.0 if before is None else _best_fit(before, details)
        seconds = float(frame.time * facts.time_base)
        notes.append(_Facts(seconds, float(plane.std()), frame.rgb is not None, _is_lettered(fine), fit))
        before = details
    return _shots(notes, np.stack(products)) if notes else []


def _shots(notes: list[_Facts], products: np.ndarray) -> list[FoundShot]:
    starts = {0: 0, **_boundaries(notes, products)}
    for place in _color_changes(notes):
        if min(abs(place - start) for start in starts) >= _SHORTEST:
            starts[place] = 0
    ordered = sorted(starts)
    return [
        FoundShot(start + 1, end, notes[start].seconds, starts[start], _kind(notes[start:end]))
        for start, end in zip(ordered, [*ordered[1:], len(notes)], strict=True)
    ]


def _boundaries(notes: list[_Facts], products: np.ndarray) -> dict[int, int]:
    """Find where shots begin, from 0 on, and the length of the dissolve there."""
    found: dict[int, int] = {}

    def add(place: int, length: int) -> None:
        if place >= _SHORTEST and all(
            abs(place - other) >= max(_SHORTEST, (length + found[other]) // 2) for other in found
        ):
            found[place] = length

    for start, length in _fades(notes, products):
        add(start, length)
    for start in _cuts(notes, products):
        add(start, 0)
    for start, length in _dissolves(products, np.array(sorted(found), int)):
        add(start, length)
    return found


def _correlation(products: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate frames with later ones, at most `_REACH - 1` later."""
    norms = np.sqrt(products[first, 0] * products[second, 0])
    correlation: np.ndarray = products[second, np.subtract(second, first)] / np.maximum(norms, 1e-3)
    return correlation


def _cuts(notes: list[_Facts], products: np.ndarray) -> list[int]:
    """Find where a picture is unlike the one before, and those around it are unlike, too: else it is a flash."""
    place = np.arange(1, len(notes))
    likeness = (_correlation(products, place - 1, place) + [note.details for note in notes[1:]]) / 2
    cuts = []
    for start in (np.flatnonzero(likeness < _CUT) + 1).tolist():
        around = likeness[max(0, start - 3) : start + 2]
        before, after = np.arange(max(0, start - 3), start), np.arange(start, min(len(notes), start + 3))
        likest = _correlation(products, *np.meshgrid(before, after)).max()
        if likeness[start - 1] == around.min() and likest < _FLASH:
            cuts.append(start)
    return cuts


def _fades(notes: list[_Facts], products: np.ndarray) -> list[tuple[int, int]]:
    """Find valleys of contrast between unlike pictures; a long stretch that shows nothing is a shot of its own."""
    contrast = np.array([note.contrast for note in notes])
    beside = [
        np.array([contrast[max(0, t - 12) : t + 1].max() for t in range(len(notes))]),
        np.array([contrast[t : t + 13].max() for t in range(len(notes))]),
    ]
    low = contrast < np.maximum(_VALLEY * np.minimum(*beside), _FLAT)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(int)))
    fades = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        blank = np.flatnonzero(contrast[start:end] < _FLAT)
        if len(blank) >= _BLANK_FRAMES:
            fades += [(int(start + blank[0]), 0), (int(start + blank[-1]) + 1, 0)]
            continue
        beyond = start > 0 and end < len(notes) and end - start < _REACH - 1
        if beyond and _correlation(products, *np.array([start - 1, end])) < _UNLIKE:
            fades.append((int(start + end) // 2, int(end - start)))
    return [fade for fade in fades if 0 < fade[0] < len(notes)]


def _dissolves(products: np.ndarray, cuts: np.ndarray) -> list[tuple[int, int]]:
    """Find windows whose pictures are mixes of their unlike ends, with the length of the mixing.

    The longest come first, then the best: a part of a long dissolve is a mix of its own ends, too.
    """
    found = []
    for half in (3, 5, 8, 11):
        centers = np.arange(half, len(products) - half)
        first, last = centers - half, centers + half
        if not len(centers):
            continue
        aa, bb, ab = products[first, 0], products[last, 0], products[last, 2 * half]
        determinant = np.maximum(aa * bb - ab * ab, 1e-3)
        unexplained, total, expected = np.zeros((3, len(centers)))
        flashed = np.zeros(len(centers), bool)
        shares = [np.zeros(len(centers))]
        for inside in range(1, 2 * half):
            as_, bs = products[first + inside, inside], products[last, 2 * half - inside]
            alpha, beta = (bb * as_ - ab * bs) / determinant, (aa * bs - ab * as_) / determinant
            own = products[first + inside, 0]
            unexplained, total = unexplained + own - alpha * as_ - beta * bs, total + own
            shares.append(beta / np.where(np.abs(alpha + beta) < 0.1, 1, alpha + beta))
            mixed = (1 - shares[-1]) ** 2 * aa + shares[-1] ** 2 * bb + 2 * shares[-1] * (1 - shares[-1]) * ab
            expected, flashed = expected + mixed, flashed | (own < _VALLEY * mixed)
        mix = np.stack([*shares, np.ones(len(centers))])
        explained = 1 - unexplained / np.maximum(total, 1e-3)
        steps = np.diff(mix, axis=0)
        crossed = np.searchsorted(cuts, last, "right") > np.searchsorted(cuts, first, "right")
        good = (ab < _UNLIKE * np.sqrt(aa * bb)) & (explained > _MIXED) & (steps.max(axis=0) < _STEP) & ~crossed
        good &= (total < _DIP * expected) & ~flashed
        good &= (steps.min(axis=0) > -0.2) & (np.minimum(aa, bb) > _SIZE**2 * _FLAT**2)
        for index in np.flatnonzero(good):
            rising = np.flatnonzero((mix[:, index] > 0.1) & (mix[:, index] < 0.9))
            middle = int(first[index] + np.argmin(np.abs(mix[:, index] - 0.5)))
            found.append((half, float(explained[index]), middle, max(half, round(len(rising) / 0.8))))
    return [(middle, length) for *_, middle, length in sorted(found, reverse=True)]


def _color_changes(notes: list[_Facts]) -> list[int]:
    return [t for t in range(1, len(notes)) if notes[t].colored != notes[t - 1].colored]


def _kind(notes: list[_Facts]) -> str:
    if np.median([note.contrast for note in notes]) < _FLAT:
        return "blank"
    if np.mean([note.colored for note in notes]) > 0.5:
        return "color"
    return "title" if np.mean([note.lettered for note in notes]) > 0.5 else "film"


def _best_fit(first: np.ndarray, second: np.ndarray, reach: int = 3) -> float:
    """Correlate two planes, moved by up to `reach` pixels to fit."""
    inner = second[reach:-reach, reach:-reach]
    fits = cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED)
    return float(np.nan_to_num(fits, posinf=0, neginf=0).max().clip(-1, 1))


def _is_lettered(plane: np.ndarray) -> bool:
    """Tell a picture of bright letters on black: few tones between, and lines that cross many strokes."""
    dark, bright = plane < 70, plane > 140
    strokes = np.abs(np.diff(bright.astype(np.int8), axis=1)).sum(axis=1)
    mostly_black = dark.mean() > 0.6 and (dark | bright).mean() > 0.85
    return bool(mostly_black and (strokes >= 8).mean() > 0.06)
