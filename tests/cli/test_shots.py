"""`colorgan shots`: the list and the sheet of a film."""

import numpy as np
import pytest
from PIL import Image
from spliced import gray, title, view, write_film

from colorgan.colorize.shot_list import read_shots


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    shots = [title(10), gray(view("astronaut", 15)), view("chelsea", 12), gray(view("coffee", 10))]
    return write_film(tmp_path_factory.mktemp("film") / "film.mkv", np.concatenate(shots))


def test_the_shots_of_a_film_are_listed_with_a_picture_of_each(command, film, tmp_path):
    code, said, err = command("shots", film, "-o", tmp_path / "shots.csv", "--preset", "muted")
    assert (code, err) == (0, "")
    assert said.startswith("4 shots (dissolves and fades: 0, 1 color, 1 title): ")
    shots = read_shots(tmp_path / "shots.csv").shots
    assert [(s.start, s.end, s.do, s.references) for s in shots] == [
        (1, 10, "skip", ()),
        (11, 25, "color", (18,)),
        (26, 37, "keep", ()),
        (38, 47, "color", (42,)),
    ]
    assert {s.look.saturation for s in shots} == {0.75}
    sheet = np.asarray(Image.open(tmp_path / "shots.jpg").convert("RGB")).astype(int)
    assert sheet.shape[1] > 4 * 160
    assert np.ptp(sheet, axis=2).max() > 40  # the shot in colour


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "shots.txt"], "--out must end in .csv"),
        (["-o", "taken.csv"], "exists; use --overwrite"),
        (["-o", "poster.csv"], "poster.jpg exists; use --overwrite"),
        (["-o", "a.csv", "--preset", "sepia"], "--preset sepia is unknown; allowed: natural, muted, vivid, night"),
    ],
)
def test_what_cannot_be_written_is_refused(command, film, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.csv").touch()
    (tmp_path / "poster.jpg").touch()
    code, _, err = command("shots", film, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
