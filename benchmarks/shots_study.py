"""Measure how well `colorgan shots` finds cuts, dissolves and fades: films spliced from gray parts of clips, by seeds.

python benchmarks/shots_study.py [--clips FOLDER] [--films 20] [--seed 1000]

Without clips, of built-in photos under pans. Each film has eight shots of eight frames and more between transitions:
half of these are cuts, a quarter dissolves, a quarter fades through black, of 6 to 24 frames where the clips are long
enough. A cut is found if one is marked within two frames, a dissolve if a mark of one overlaps half of it, a fade if
the middle of such a mark lies in it. A mark is right if it finds something of its kind; dissolves and fades are marked
alike. False alarms are marks in clips that are not spliced. Whoever changes the finder's limits takes seeds below 1000.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from walk_film import HEIGHT, WIDTH, shot

from colorgan.data import ClipsSource
from colorgan.media.cuts import find_shots
from colorgan.media.film_facts import FULL, FilmFacts, Frame

FACTS = FilmFacts(WIDTH, HEIGHT, Fraction(1, 24), Fraction(24), color_range=FULL)
PHOTOS = ("astronaut", "camera", "chelsea", "coffee", "coins", "hubble_deep_field", "immunohistochemistry", "rocket")
SHOTS, OWN = 8, 8  # of a film; frames of a shot that are not mixed, at least
LENGTHS = (6, 24)  # frames of dissolves and fades
NEAR = 2  # frames by which a cut may be off


class Film(NamedTuple):
    """Frames, (T, H, W) uint8, the first frames of shots after cuts, and spans of dissolves and fades, from 0 on."""

    frames: np.ndarray
    cuts: list[int]
    dissolves: list[tuple[int, int]]
    fades: list[tuple[int, int]]


def gray_clips(folder: Path) -> list[np.ndarray]:
    """Read clips as gray frames of one size."""
    source = ClipsSource(str(folder))
    return [np.stack([_gray(frame) for frame in source.frames(name)]) for name in source.clips]


def _gray(frame: np.ndarray) -> np.ndarray:
    luma = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(luma, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))


def splice(clips: Sequence[np.ndarray], rng: np.random.Generator) -> Film:
    """Join parts of clips, each unlike the one before."""
    order = [int(rng.integers(len(clips)))]
    while len(order) < SHOTS:
        order.append(int((order[-1] + rng.integers(1, len(clips))) % len(clips)))
    film, marks, before = np.zeros((0, HEIGHT, WIDTH)), Film(np.zeros(0), [], [], []), ("", 0)
    for number, clip in enumerate(order):
        kind, length = before
        left = length // 2 if kind == "fade" else length
        after = _transition(len(clips[clip]) - left, len(clips[order[(number + 1) % SHOTS]]), rng)
        right = 0 if number == SHOTS - 1 else after[1] // 2 if after[0] == "fade" else after[1]
        count = int(rng.integers(left + right + OWN, len(clips[clip]) + 1))
        start = int(rng.integers(len(clips[clip]) - count + 1))
        film = _joined(film, clips[clip][start : start + count].astype(float), kind, left, marks)
        before = after
    return marks._replace(frames=film.round().astype(np.uint8))


def _transition(room: int, next_room: int, rng: np.random.Generator) -> tuple[str, int]:
    """Draw how a shot ends, of which so many frames are left, and how long that takes."""
    kind, length = str(rng.choice(["cut", "cut", "dissolve", "fade"])), int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
    length = min(length, room - OWN, next_room - OWN)
    return ("cut", 0) if kind == "cut" or length < LENGTHS[0] else (kind, length)


def _joined(film: np.ndarray, part: np.ndarray, kind: str, length: int, marks: Film) -> np.ndarray:
    """Put a part behind a film, and note where."""
    place = len(film)
    if kind == "cut":
        marks.cuts.append(place)
    elif kind == "dissolve":
        marks.dissolves.append((place - length, place))
        share = (np.arange(length) + 1)[:, None, None] / (length + 1)
        mixed = film[place - length :] * (1 - share) + part[:length] * share
        return np.concatenate([film[: place - length], mixed, part[length:]])
    elif kind == "fade":
        marks.fades.append((place - length, place + length))
        light = np.linspace(0, 1, length + 1)[:-1, None, None]
        film[place - length :] *= light[::-1]
        part[:length] *= light
    return np.concatenate([film, part])


def boundaries(frames: np.ndarray) -> list[tuple[int, int]]:
    """Find where shots begin, from 0 on, and over how many frames."""
    found = find_shots((Frame(t, 1, luma, number=t + 1) for t, luma in enumerate(frames)), FACTS)
    return [(shot.start - 1, shot.dissolve) for shot in found[1:]]


def count(film: Film, found: Sequence[tuple[int, int]]) -> Counter[str]:
    """Count what is there, what of it is found, what is marked, and which marks are right."""
    cuts = [place for place, length in found if not length]
    mixed = [(place - length // 2, place - length // 2 + length) for place, length in found if length]
    hits = {
        "cuts": [[abs(place - true) <= NEAR for place in cuts] for true in film.cuts],
        "dissolves": [[2 * _overlap(span, true) >= true[1] - true[0] for span in mixed] for true in film.dissolves],
        "fades": [[true[0] <= sum(span) / 2 < true[1] for span in mixed] for true in film.fades],
    }
    counts = Counter[str]()
    for name, table in hits.items():
        counts[f"{name} there"] += len(table)
        counts[f"{name} found"] += sum(map(any, table))
    for name, marks, kinds in (("cuts", cuts, ("cuts",)), ("mixed", mixed, ("dissolves", "fades"))):
        counts[f"{name} marked"] += len(marks)
        rows = [row for kind in kinds for row in hits[kind]]
        counts[f"{name} right"] += sum(any(row[mark] for row in rows) for mark in range(len(marks)))
    return counts


def _overlap(first: tuple[int, int], second: tuple[int, int]) -> int:
    return max(0, min(first[1], second[1]) - max(first[0], second[0]))


def main() -> None:
    """Make the films, look for their shots, print recall, precision and false alarms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="a folder of films, or of folders of frames, each one shot")
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1000, help="of the first film; each further one has the next")
    options = parser.parse_args()
    clips = gray_clips(options.clips) if options.clips else [shot(name) for name in PHOTOS]
    counts, frames = Counter[str](), 0
    for seed in range(options.seed, options.seed + options.films):
        film = splice(clips, np.random.default_rng(seed))
        counts, frames = counts + count(film, boundaries(film.frames)), frames + len(film.frames)
    print(f"{options.films} films of {len(clips)} clips, {frames} frames\n")
    print("| | there | found | recall | marked | right | precision |\n| --- |" + " ---: |" * 6)
    counts["mixed there"] = counts["dissolves there"] + counts["fades there"]
    counts["mixed found"] = counts["dissolves found"] + counts["fades found"]
    for name, words in {"cuts": "cuts", "dissolves": "dissolves", "fades": "fades", "mixed": "both of these"}.items():
        there, found, marked, right = (counts[f"{name} {word}"] for word in ("there", "found", "marked", "right"))
        of_marks = f"{marked} | {right} | {_share(right, marked)}" if marked else " | | "
        print(f"| {words} | {there} | {found} | {_share(found, there)} | {of_marks} |")
    alarms, whole = sum(len(boundaries(clip)) for clip in clips), sum(map(len, clips))
    print(f"\nfalse alarms in {whole} frames that are not spliced: {alarms}, {1000 * alarms / whole:.1f} in 1,000")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


if __name__ == "__main__":
    main()
