"""Films that are read: luma as it is stored, upright, as far as a damaged file goes."""

from fractions import Fraction

import av
import numpy as np
import pytest
from film_fixture import make_clip, photo, pictures
from PIL import Image

from colorgan.media.film_reader import FilmReader
from colorgan.media.frame_folder import FolderReader


@pytest.mark.parametrize("layout", ["gray", "yuv420p10le", "bgr0"])
def test_gray_deep_and_rgb_films_are_read(tmp_path, layout):
    reader = FilmReader(make_clip(tmp_path / "a.mkv", codec="ffv1", layout=layout, frames=3, gray=True))
    for number, frame in enumerate(reader.frames()):
        gray = photo(number, size=(64, 48), gray=True)[..., 0].astype(float)
        assert np.abs(reader.facts.gray(frame.luma) - gray).mean() < 1


def test_luma_and_times_are_those_of_the_file(tmp_path):
    source = make_clip(tmp_path / "a.mp4", times=[0, 3, 4, 10], time_base=Fraction(1, 90), frames=4)
    reader, stored = FilmReader(source), pictures(source)
    frames = list(reader.frames())
    assert reader.damage is None
    assert [frame.time * reader.facts.time_base for frame in frames] == [time for time, *_ in stored]
    assert all(np.array_equal(frame.luma, luma) for frame, (_, luma, _) in zip(frames, stored, strict=True))


def test_a_turned_film_is_read_upright(tmp_path):
    source = make_clip(tmp_path / "a.mp4", matrix=[0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30], frames=2)
    reader, (_, luma, rgb) = FilmReader(source), pictures(source)[1]
    assert np.array_equal(list(reader.frames())[1].luma, np.rot90(luma, -1))  # -90 degrees counterclockwise
    assert np.array_equal(list(reader.colors())[1], np.rot90(rgb, -1))


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_a_cut_off_film_says_where_it_ends(tmp_path, name):
    whole = make_clip(tmp_path / name, codec="mpeg4", audio="aac", frames=40)
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    reader = FilmReader(whole)
    assert 5 < len(list(reader.frames())) < 40
    assert reader.damage.startswith("it is cut off after ")


def test_sound_alone_is_no_film(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match="holds no pictures, only sound"):
        FilmReader(tmp_path / "sound.mp4")


def test_a_changed_film_has_another_identity(tmp_path):
    source = make_clip(tmp_path / "a.mp4", frames=2)
    before = FilmReader(source).identity()
    assert FilmReader(source).identity() == before
    make_clip(source, frames=3)
    assert FilmReader(source).identity() != before


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 8, 9):
        Image.new("L", (6, 4), number).save(tmp_path / f"{number}.png")
    reader = FolderReader(tmp_path, Fraction(25))
    frames = list(reader.frames())
    assert [reader.facts.gray(frame.luma)[0, 0] for frame in frames] == [8, 9, 10]
    assert [frame.time * reader.facts.time_base for frame in frames] == [0, Fraction(1, 25), Fraction(2, 25)]


def test_frames_of_two_sizes_are_refused(tmp_path):
    for number in (1, 2):
        Image.new("L", (6, 4 + number)).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match=r"2\.png has 6x6, but 1\.png has 6x5: a film has one size"):
        list(FolderReader(tmp_path, Fraction(25)).frames())


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no frames in"):
        FolderReader(tmp_path, Fraction(25))
