"""The walk in docs/film.md, from a film to its list of shots, its references and the finished film."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from film_fixture import pictures

ROOT = Path(__file__).parent.parent


@pytest.fixture
def walk(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import walk_film

    yield walk_film
    del sys.modules["walk_film"]


def tint(frames):
    """Mean of R - B and R - G of each frame."""
    return np.array([(rgb[..., :1].astype(float) - rgb[..., [2, 1]]).mean(axis=(0, 1)) for rgb in frames])


@pytest.mark.slow
def test_the_walk_in_the_docs_leads_to_the_finished_film(command, walk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "docs" / "film.md").read_text().split("### A walk\n")[1]
    commands = [shlex.split(line)[1:] for line in re.findall(r"^colorgan .*$", section.split("```")[1], re.MULTILINE)]
    assert commands[:3] == [walk.LIST, walk.COLORIZE, walk.COLORIZE]
    walk.make_film(Path("film.mkv"))

    assert "3 shots" in command(*commands[0])[1]
    starts = [row.split(",")[1] for row in Path("shots.csv").read_text().splitlines()[1:]]
    assert starts == ["1", "49", "97"]
    assert "3 references" in command(*commands[1])[1]
    assert sorted(file.name for file in Path("references").iterdir()) == ["00024.png", "00072.png", "00120.png"]

    walk.paint(tmp_path, (70, -20, -30))
    walk.edit(tmp_path)
    assert command(*commands[2])[0] == 0
    red = tint([rgb for *_, rgb in pictures(tmp_path / "film_color.mkv")])
    assert len(red) == 144
    assert (red[48:96] > 25).all()  # on to the ends of the shot
    assert np.abs(red[96]).max() < 25
    assert Path("film_color.shots.jpg").stat().st_size > 5000

    walk.paint(tmp_path, (-50, 40, -40))
    assert command(*commands[3])[0] == 0
    green = tint([rgb for *_, rgb in pictures(tmp_path / "film_color.mkv")])
    assert (green[48:96, 1] < -15).all()
    assert np.array_equal(green[96:], red[96:]) or np.abs(green[96:] - red[96:]).max() < 1
