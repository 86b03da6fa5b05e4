"""References: carried along the motion both ways, mixed by distance, sure only where they can be."""

import re

import numpy as np
import pytest
from film_fixture import pictures
from PIL import Image
from spliced import SIZE, gray, view

from colorgan.colorize import pipeline
from colorgan.colorize.palette import tone_change, tones
from colorgan.colorize.reference_files import read_references
from colorgan.colorize.references import REACH, References, small_lumas
from colorgan.colorize.shot_list import Shot, ShotList
from colorgan.colorize.smoothing import chroma
from colorgan.media.film_reader import FilmReader

HEADER = "start,end,do,reference,saturation\n"


def luma_of(film):
    return [np.ascontiguousarray(picture[..., 1], np.float32) / 255 for picture in film]


def known(film, shots, references):
    numbered = enumerate(luma_of(film), start=1)
    return dict(References(ShotList(shots), references).known(numbered))


def stripe(left, width=20):
    """Chroma of a red stripe."""
    planes = np.zeros((*SIZE, 2), np.float32)
    planes[:, left : left + width, 1] = 0.4
    return planes


PAN = gray(view("astronaut", 24, speed=2))  # what is shown moves to the left by two pixels a frame


@pytest.mark.parametrize("reference", [1, 12, 24])
def test_a_reference_is_carried_along_the_motion_both_ways(reference):
    told = known(PAN, [Shot("1", 1, 24, references=(reference,))], {reference: stripe(40)})
    assert list(told) == list(range(1, 25))
    for number in (reference - 8, reference - 3, reference, reference + 3, reference + 8):
        if number in told:
            left = 40 + 2 * (reference - number)
            middle = told[number][8:-8, left + 6 : left + 14]
            assert middle[..., 1].mean() > 0.3, number
            assert middle[..., 2].mean() > 0.7 * (1 - abs(number - reference) / REACH)
            assert told[number][8:-8, left + 28 : left + 34, 1].mean() < 0.1


def test_between_two_references_the_nearer_one_counts_more_and_cuts_part_them():
    still = gray(view("astronaut", 20, speed=0))
    red, blue = stripe(0, 96), stripe(0, 96)[..., ::-1]
    told = known(still, [Shot("1", 1, 20, references=(3, 18))], {3: red, 18: blue})
    shares = [told[number][20, 20, 1] / told[number][20, 20, :2].sum() for number in (1, 3, 6, 10, 15, 18, 20)]
    assert shares[0] == shares[1] == 1
    assert shares[-1] == shares[-2] == 0
    assert 1 > shares[2] > shares[3] > shares[4] > 0
    parted = known(still, [Shot("1", 1, 9, references=(3,)), Shot("2", 10, 20)], {3: red})
    assert parted[9] is not None
    assert [parted[number] for number in range(10, 21)] == [None] * 11


def test_what_appears_is_not_known():
    film = gray(view("astronaut", 10, speed=0))
    film[5:, 20:50, 30:70] = gray(view("chelsea", 1, size=(30, 40)))
    told = known(film, [Shot("1", 1, 10, references=(1,))], {1: stripe(0, 96)})
    assert told[9][26:44, 36:64, 2].mean() < 0.3
    assert told[9][:12, :, 2].mean() > 0.7


def test_nothing_is_left_far_from_a_reference(monkeypatch):
    monkeypatch.setattr("colorgan.colorize.references.REACH", 20)
    film = gray(view("astronaut", 1)).repeat(30, axis=0)
    told = known(film, [Shot("1", 1, 30, references=(1,))], {1: stripe(0)})
    assert told[21] is None
    assert 0 < told[10][..., 2].max() <= 0.56


@pytest.fixture
def colorize(command, tiny, shown, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FRAMES", 8)

    def run_it(rows, *words, out="out.mkv"):
        (tmp_path / "shots.csv").write_text(HEADER + rows)
        words = ["--shots", tmp_path / "shots.csv", "--references", tmp_path / "references", *words]
        return command("colorize", shown, "-c", tiny[0], "-o", tmp_path / out, "--engine", "torch", *words)

    return run_it


ROWS = "1,8,skip,\n9,22,color,15\n23,36,color,\n"


def test_references_are_exported_repaired_and_read_back(colorize, tmp_path):
    code, said, err = colorize(ROWS)
    assert (code, err) == (0, "")
    assert said.startswith("1 references are in ")
    file = tmp_path / "references" / "00015.png"
    painted = np.asarray(Image.open(file)).astype(int)
    assert np.ptp(painted, axis=2).max() > 5
    repaired = np.clip(painted.mean(axis=2, keepdims=True) + np.array([60, -15, -40]), 0, 255).astype(np.uint8)
    Image.fromarray(repaired).save(file)
    for words in ([], ["--smooth", "0.5"]):
        assert colorize(ROWS, *words, "--overwrite")[0] == 0
        reds = [np.median(rgb[..., 0].astype(int) - rgb[..., 2]) for *_, rgb in pictures(tmp_path / "out.mkv")]
        assert min(reds[8:22]) > 60
        assert max(reds[22:]) < 40
    (tmp_path / "references" / "00015.png").unlink()
    Image.fromarray(repaired[:-2]).save(tmp_path / "references" / "00015.jpg")
    code, _, err = colorize(ROWS)
    assert code == 2
    assert "00015.jpg has 96x62, the film 96x64" in err
    Image.fromarray(repaired[:, ::-1]).save(tmp_path / "references" / "00015.jpg")
    code, _, err = colorize(ROWS)
    assert code == 2
    assert "00015.jpg does not show frame 15 of the film" in err


def test_references_lie_in_a_folder_of_their_own(colorize, tmp_path):
    (tmp_path / "references").mkdir()
    code, _, err = colorize(ROWS, out="references")
    assert code == 2
    assert "must be a folder of its own" in err


def test_what_is_transparent_in_a_reference_is_not_known(shown, tmp_path):
    frame = [rgb for *_, rgb in pictures(shown)][14]
    repaired = Image.fromarray((frame + np.array([0, 0, 40])).clip(0, 255).astype(np.uint8))
    repaired.putalpha(Image.fromarray(np.repeat([[255] * 60 + [0] * 36], SIZE[0], axis=0).astype(np.uint8)))
    repaired.save(tmp_path / "00015.png")
    reader = FilmReader(shown)
    found = read_references(tmp_path, ShotList([Shot("1", 1, 36, references=(15,))]), reader)
    told = dict(found.known(small_lumas(reader.frames(), reader.facts)))[15]
    assert (told[:, :60, 2] == 1).all()
    assert told[:, :60, 0].mean() > 0.1
    assert not told[:, 60:].any()


def test_frames_that_the_film_lacks_are_refused(colorize, tmp_path):
    for rows in (ROWS.replace("36,color,", "99,color,80"), "1,8,skip,\n9,99,color,rust.png\n"):
        (tmp_path / "references").mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), "red").save(tmp_path / "references" / "rust.png")
        code, _, err = colorize(rows)
        assert code == 2
        assert re.search(r"the list of shots needs frame (80|54) of the film, which has 36", err)
    assert not (tmp_path / "out.mkv.parts").exists()


def test_a_photo_lends_its_palette_to_a_shot(colorize, tmp_path):
    rows = ROWS.replace(",color,15", ",color,rust.png")
    code, _, err = colorize(rows)
    assert code == 2
    assert "row 3 of the list, column reference: no photo" in err
    (tmp_path / "references").mkdir()
    rust = np.clip(np.linspace(0, 255, 80)[:, None, None] + [50, 0, -50], 0, 255).astype(np.uint8).repeat(60, axis=1)
    Image.fromarray(rust).save(tmp_path / "references" / "rust.png")
    assert colorize(rows)[0] == 0
    reds = [np.median(rgb[..., 0].astype(int) - rgb[..., 2]) for *_, rgb in pictures(tmp_path / "out.mkv")]
    assert min(reds[8:22]) > 50 > 30 > max(reds[22:])


def test_tones_of_its_own_change_nothing():
    photo = view("chelsea", 1)[0].astype(np.uint8)
    assert np.abs(tone_change(photo, tones(photo), tones(photo))).max() < 1e-5
    other = tones(view("coffee", 1)[0].astype(np.uint8))
    changed = chroma(photo.astype(np.float32) / 255) + tone_change(photo, tones(photo), other)
    assert np.abs(changed.mean(axis=(0, 1)) - chroma(view("coffee", 1)[0] / 255).mean(axis=(0, 1))).max() < 0.05
