"""Steady films by networks that take hints: no colour crosses a cut, drift is bounded, references are told."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from film_fixture import pictures
from PIL import Image
from spliced import SIZE, gray, view
from tiny_checkpoint import write

from colorgan.color import chroma_to_rgb, color_planes, planes_to_rgb, recombine
from colorgan.colorize import Colorizer, pipeline
from colorgan.colorize.coloring import Coloring
from colorgan.colorize.pipeline import Colored
from colorgan.colorize.references import References
from colorgan.colorize.shot_list import Shot, ShotList
from colorgan.colorize.smoothing import chroma
from colorgan.colorize.steady import SteadyColorizer
from colorgan.media.fields import UPPER_FIRST
from colorgan.media.film_facts import FULL, FilmFacts, Frame
from colorgan.media.film_writer import FilmWriter

FACTS = FilmFacts(*SIZE[::-1], Fraction(1, 24), Fraction(24), color_range=FULL)
ASTRONAUT, CHELSEA = (gray(view(name, 30)).astype(np.uint8)[..., 0] for name in ("astronaut", "chelsea"))


class Flickering(torch.nn.Module):
    """A network whose own colour changes with each picture, and that follows hints by their confidence."""

    takes_hints = True

    def __init__(self, gray_rule="luma601", error=0.0):
        super().__init__()
        self.gray_rule, self.error = gray_rule, error

    def forward(self, gray, hints=None):
        tint = 0.15 * torch.sin(1e5 * gray.mean(dim=(1, 2, 3))).view(-1, 1, 1, 1)
        own = color_planes(recombine(gray, chroma_to_rgb(gray, torch.cat([-tint, tint], 1).expand(-1, 2, *SIZE))))
        if self.gray_rule != "luma601":
            own = color_planes(recombine(gray, chroma_to_rgb(gray, own)), self.gray_rule)
        if hints is not None:
            own = own + hints[:, 2:] * (hints[:, :2] + self.error - own)
        return recombine(gray, planes_to_rgb(gray, own, self.gray_rule), self.gray_rule)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FRAMES", 12)


def steady(film, *, generator=None, kept=(), cuts=(), carry="both", known=None):
    """The frames as they leave."""
    colorizer = Colorizer(generator or Flickering(), working_size=64)
    frames = (
        Frame(t, 1, luma, rgb=np.full((*SIZE, 3), 9, np.uint8) if t in kept else None, number=t)
        for t, luma in enumerate(film, start=1)
    )
    left = SteadyColorizer(colorizer, FACTS, cuts, carry=carry).stream(frames, known)
    return [item.rgb for item in left if isinstance(item, Colored)]


def alone(luma, generator=None):
    return Colorizer(generator or Flickering(), working_size=64).colorize_frame(luma)


def tints(frames):
    return np.array([chroma(rgb / np.float32(255))[..., 1].mean() for rgb in frames])


def test_colours_hardly_change_from_frame_to_frame():
    left = steady(ASTRONAUT)
    before = np.abs(np.diff(tints([alone(luma) for luma in ASTRONAUT]))).mean()
    assert len(left) == 30
    assert np.abs(np.diff(tints(left))).mean() < 0.3 * before
    assert all(np.abs(rgb @ [0.299, 0.587, 0.114] - luma).max() < 1 for rgb, luma in zip(left, ASTRONAUT, strict=True))


def test_one_way_a_frame_knows_nothing_of_later_ones():
    film = ASTRONAUT[:1].repeat(9, axis=0)
    film[8] = np.minimum(film[8], 247) + 8  # the same picture, of another colour of its own
    one_way, both = (tints(steady(film, carry=way)) for way in ("forward", "both"))
    assert one_way[[0, 8]] == pytest.approx(both[[0, 8]])  # key frames
    moved = abs(both[8] - both[0])
    assert moved > 0.01
    assert np.abs(one_way[1:8] - one_way[0]).max() < 0.1 * moved
    assert abs(both[7] - both[0]) > 0.7 * moved


def test_references_alone_tell_nothing_of_other_frames():
    red = np.concatenate([np.full((*SIZE, 2), (-0.1, 0.2)), np.ones((*SIZE, 1))], axis=2).astype(np.float32)
    told = ((number, red if number == 3 else None) for number in range(1, 6))
    left = steady(ASTRONAUT[:5], carry=None, known=told)
    assert tints(left)[2] > tints([alone(ASTRONAUT[2])])[0] + 0.03
    assert all(np.array_equal(left[t], alone(ASTRONAUT[t])) for t in (0, 1, 3, 4))


def test_what_references_know_is_told_where_the_network_takes_it():
    able = Coloring(Colorizer(Flickering(), working_size=64), references=References(ShotList([Shot("a", 1, 9)]), {}))
    assert able.tells(FACTS)
    assert not replace(able, references=None).tells(FACTS)
    assert not replace(able, other=able.colorizer).tells(FACTS)
    woven = replace(FACTS, scan=UPPER_FIRST)
    assert not able.tells(woven)
    assert (able.smoothing(FACTS), able.smoothing(woven), replace(able, smooth=0.5).smoothing(woven)) == (0.8, 0.0, 0.5)


@pytest.mark.parametrize("cuts", [(), {17}])
def test_no_colour_crosses_a_cut(cuts, monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FRAMES", 120)  # the end of a segment is a key frame, too
    after = CHELSEA[:10] if not cuts else ASTRONAUT[16:26]  # one that only the list knows
    left = steady(np.concatenate([ASTRONAUT[:16], after]), cuts=cuts)
    assert np.array_equal(left[0], alone(ASTRONAUT[0]))
    assert np.array_equal(left[16], alone(after[0]))
    parts = steady(ASTRONAUT[:16]) + steady(after)
    assert all(np.array_equal(a, b) for a, b in zip(left, parts, strict=True))


def test_an_error_of_the_network_does_not_add_up():
    still = ASTRONAUT[:1].repeat(96, axis=0)
    drifted = tints(steady(still, generator=Flickering(error=0.02))) - tints([alone(ASTRONAUT[0])])
    assert drifted[20] > 0.02
    assert drifted[-1] < 0.12  # an error of .02 in each of 14 key frames, were it not drawn back
    assert abs(drifted[-1] - drifted[-25]) < 0.002  # two segments before


def test_frames_that_have_colours_keep_them_and_tell_nothing():
    left = steady(ASTRONAUT[:12], kept=(6,))
    assert (left[5] == 9).all()
    assert np.array_equal(left[6], alone(ASTRONAUT[6]))


def test_hints_are_in_the_planes_of_the_gray_rule():
    left = steady(ASTRONAUT[:9], generator=Flickering("lightness"))
    first, own = tints([left[0]])[0], tints([alone(luma, Flickering("lightness")) for luma in ASTRONAUT[:9]])
    assert abs(tints(left)[1] - own[1]) > 0.5 * abs(first - own[1])


@pytest.mark.parametrize(
    "stop", [14, pytest.param(5, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.slow)]
)
def test_a_film_by_a_network_with_hints_resumes_to_the_same_frames(command, shown, tmp_path, monkeypatch, stop, hinted):
    (tmp_path / "shots.csv").write_text("start,end,do,reference\n1,8,skip,\n9,22,color,15\n23,36,color,\n")
    words = ["--shots", tmp_path / "shots.csv", "--references", tmp_path / "references", "--engine", "torch"]

    def colorize(name, *more):
        return command("colorize", shown, "-c", hinted, "-o", tmp_path / name, *words, *more)

    assert "1 references are in" in colorize("whole.mkv")[1]
    file = tmp_path / "references" / "00015.png"
    levels = np.asarray(Image.open(file)).mean(axis=2, keepdims=True) + np.array([50, -10, -40])
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(file)
    assert colorize("whole.mkv")[0] == 0
    original, written = FilmWriter.write, []

    def write(*item):
        written.append(1)
        if len(written) == stop:
            raise KeyboardInterrupt
        original(*item)

    monkeypatch.setattr(FilmWriter, "write", write)
    assert colorize("out.mkv")[0] == 130
    monkeypatch.setattr(FilmWriter, "write", original)
    assert colorize("out.mkv", "--resume")[0] == 0
    whole, out = ([rgb for *_, rgb in pictures(tmp_path / name)] for name in ("whole.mkv", "out.mkv"))
    assert all(np.array_equal(a, b) for a, b in zip(whole, out, strict=True))
    assert np.median(whole[14][..., 0].astype(int) - whole[14][..., 2]) > 50


@pytest.fixture(scope="module")
def hinted(tmp_path_factory):
    return write(tmp_path_factory.mktemp("hinted") / "hinted.safetensors", hints=True)
