"""Films colorized by a list of shots: what is done with each, and how a part is done again."""

import numpy as np
import pytest
from film_fixture import pictures
from PIL import Image

from colorgan.colorize import pipeline
from colorgan.colorize.film import FilmOptions
from colorgan.media.film_writer import FilmWriter

HEADER = "shot,start,end,begins,do,reference,preset,strength,saturation,dark,hues\n"


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FRAMES", 8)


@pytest.fixture
def colorize(command, tiny, shown, tmp_path):
    """`colorgan colorize FILM --shots LIST` with the rows of a list: exit code, output and error."""

    def run_it(rows, *words, out="out.mkv"):
        (tmp_path / "shots.csv").write_text(HEADER + rows)
        words = ["--shots", tmp_path / "shots.csv", *words]
        return command("colorize", shown, "-c", tiny[0], "-o", tmp_path / out, "--engine", "torch", *words)

    return run_it


def chroma(path):
    """(frames, H, W, 3) away from gray."""
    rgb = np.stack([picture.astype(float) for *_, picture in pictures(path)])
    return rgb - rgb @ np.array([[0.299], [0.587], [0.114]])


def size(path):
    return np.abs(chroma(path)).mean(axis=(1, 2, 3))


PLAIN = "1,1,8,,skip\n2,9,22,,color\n3,23,36,,color\n"


def test_a_film_is_averaged_along_its_motion_unless_it_is_told_not_to_be(colorize, tmp_path):
    for out, words in (("out.mkv", []), ("asked.mkv", ["--smooth", "0.8"]), ("alone.mkv", ["--smooth", "0"])):
        assert colorize(PLAIN, *words, out=out)[0] == 0
    plain, asked, alone = (chroma(tmp_path / name) for name in ("out.mkv", "asked.mkv", "alone.mkv"))
    assert np.array_equal(plain, asked)
    assert not np.array_equal(plain, alone)


def test_each_shot_is_done_as_its_row_says(colorize, shown, tmp_path):
    code, said, err = colorize(PLAIN)
    assert (code, err) == (0, "")
    assert "each shot before and after: " in said
    assert Image.open(tmp_path / "out.shots.jpg").width > 3 * 320
    assert colorize("1,1,8,,color\n2,9,22,,keep\n3,23,36,,color,,,,0.5\n", out="other.mkv")[0] == 0
    plain, other = size(tmp_path / "out.mkv"), size(tmp_path / "other.mkv")
    assert plain[:8].max() < 1 < plain[8:].min()
    assert other[8:22].max() < 1 < other[:8].min()
    ratio = other[22:] / plain[22:]
    assert ratio.min() > 0.4
    assert ratio.max() < 0.6
    for (_, luma, _), (_, kept, _) in zip(pictures(shown), pictures(tmp_path / "other.mkv"), strict=True):
        assert np.array_equal(luma, kept)


def test_strength_mixes_two_checkpoints(colorize, command, tiny, shown, tmp_path):
    mixed = "1,1,8,,skip\n2,9,22,,color,,,0.25\n3,23,36,,color,,,0\n"
    code, _, err = colorize(mixed)
    assert code == 2
    assert "shots.csv, row 3, column strength: got 0.25; a value below 1 mixes in another checkpoint" in err
    assert colorize(mixed, "--blend", tiny[1])[0] == 0
    assert colorize(PLAIN, out="a.mkv")[0] == 0
    assert command("colorize", shown, "-c", tiny[1], "-o", tmp_path / "b.mkv", "--engine", "torch")[0] == 0
    done, first, second = (chroma(tmp_path / name) for name in ("out.mkv", "a.mkv", "b.mkv"))
    assert np.abs(done[8:22] - (0.25 * first + 0.75 * second)[8:22]).mean() < 0.8
    assert np.array_equal(done[22:], second[22:])


def test_a_shot_is_done_again_and_the_rest_stays(colorize, tmp_path, monkeypatch):
    assert colorize(PLAIN)[0] == 0
    before, parts = chroma(tmp_path / "out.mkv"), tmp_path / "out.mkv.parts"
    files = {path.name: path.stat().st_mtime_ns for path in parts.glob("[0-9]*")}
    other = PLAIN.replace("3,23,36,,color", "3,23,36,,color,,,,0")
    code, _, err = colorize(other, "--shot", "3")
    assert (code, err) == (0, "")
    after = chroma(tmp_path / "out.mkv")
    assert np.array_equal(after[:22], before[:22])
    assert np.abs(after[22:]).max() < 2
    again = {path.name for path in parts.glob("[0-9]*") if path.stat().st_mtime_ns != files[path.name]}
    assert {name[:5] for name in again} == {"00002", "00003", "00004"}
    assert "finished already" in colorize(other, "--resume")[1]
    code, _, err = colorize(PLAIN, "--resume")
    assert code == 2
    assert "without --resume, --shot and --frames do a part again" in err
    written, original = [], FilmWriter.write
    monkeypatch.setattr(FilmWriter, "write", lambda *item: written.append(1) or original(*item))
    assert colorize(PLAIN, "--frames", "9..10")[0] == 0
    assert len(written) == 8 + 1  # one segment, and the picture that is tried before


def test_a_part_that_is_interrupted_goes_on_to_the_same_frames(colorize, tmp_path, monkeypatch):
    calm = PLAIN.replace("3,23,36,,color", "3,23,36,,color,,muted")
    for name in ("whole.mkv", "out.mkv"):
        assert colorize(PLAIN, out=name)[0] == 0
    assert colorize(calm, "--shot", "3", out="whole.mkv")[0] == 0
    original, written = FilmWriter.write, []

    def write(*item):
        written.append(1)
        if len(written) == 12:
            raise KeyboardInterrupt
        original(*item)

    monkeypatch.setattr(FilmWriter, "write", write)
    assert colorize(calm, "--shot", "3")[0] == 130
    monkeypatch.setattr(FilmWriter, "write", original)
    assert colorize(calm, "--shot", "3", "--resume")[0] == 0
    assert np.array_equal(chroma(tmp_path / "whole.mkv"), chroma(tmp_path / "out.mkv"))


def test_a_part_is_gone_before_another_run_can_go_on(colorize, tmp_path, monkeypatch):
    assert colorize(PLAIN, "--smooth", "0.5")[0] == 0

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("colorgan.colorize.film_job.write_json", die)
    assert colorize(PLAIN, "--shot", "3")[0] == 130
    left = {file.name for file in (tmp_path / "out.mkv.parts").glob("0*") if file.suffix in (".json", ".npz")}
    assert left == {"00000.json", "00001.json", "00001.npz"}


def test_options_that_need_another_are_refused(colorize):
    with pytest.raises(ValueError, match="--frames needs --shots"):
        FilmOptions(frames="1..4")
    code, _, err = colorize("1,1,36,,color,rust.png\n")
    assert code == 2
    assert "shots.csv, row 2, column reference: got rust.png, a photo, which is looked for in a folder that" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frames", "1..4"], "no parts of a whole film"),
        (["--frames", "4-9"], "--frames must be a frame or FROM..TO"),
        (["--frames", "4.."], "--frames must be a frame or FROM..TO"),
        (["--shot", "9"], "--shot 9: the list has no such shot; its column shot has 1 to 3"),
        (["--shot", "1", "--frames", "1"], "it does not go with --frames"),
        (["--frames", "1", "--overwrite"], "--overwrite does all anew"),
        (["--recolor"], "--recolor does not go with --shots"),
    ],
)
def test_what_cannot_be_done_is_told(colorize, words, message):
    code, _, err = colorize(PLAIN, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_frames_beyond_the_film_and_other_sources_are_refused(colorize, command, tiny, shown, tmp_path):
    code, _, err = colorize("1,1,20,,color\n")
    assert (code, err) == (0, "the list ends at frame 20, the film at 36: what is behind counts to the last shot\n")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out.mkv.parts").glob("0*.json")}
    assert colorize("1,1,20,,color\n", "--shot", "1")[0] == 0  # up to the end of the film
    assert len(files) == 5
    assert all(path.stat().st_mtime_ns != before for path, before in files.items())
    code, _, err = colorize("1,1,20,,color\n", "--frames", "30..37")
    assert code == 2
    assert "frames 30 to 37 cannot be done again; the film has frames 1 to 36" in err
    code, _, err = colorize("1,1,20,,color\n", "--frames", "3", "--compare")
    assert code == 2
    assert "--compare was False, is True; it must be the same in all parts" in err
