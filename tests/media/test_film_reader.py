"""Films that are read: luma as it is stored, upright, as far as a damaged file goes."""

from fractions import Fraction

import av
import numpy as np
import pytest
from film_fixture import make_clip, photo, pictures

from colorgan.media.film_reader import FilmReader


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


@pytest.mark.parametrize(
    ("layout", "color_range", "full"),
    [("gray", 1, False), ("gray", 2, True), ("gray16le", 1, False), ("gray", 0, True)],
)
def test_the_range_of_gray_is_the_tagged_one_or_full(tmp_path, layout, color_range, full):
    source = make_clip(
        tmp_path / "a.mkv", codec="ffv1", layout=layout, frames=1, tags={"color_range": color_range}, gray=True
    )
    assert FilmReader(source).facts.color_range == (2 if full else 1)


@pytest.mark.parametrize(("layout", "depth"), [("yuv422p10le", 10), ("gbrp10le", 10), ("yuv444p12le", 12)])
def test_deep_film_is_read_in_all_its_bits(tmp_path, layout, depth):
    reader = FilmReader(make_clip(tmp_path / "a.mkv", codec="ffv1", layout=layout, frames=1, gray=True))
    luma = next(reader.frames()).luma
    assert (reader.facts.depth, luma.dtype) == (depth, np.uint16)
    gray = photo(0, size=(64, 48), gray=True)[..., 0].astype(float)
    black, white = (16, 235) if reader.facts.color_range == 1 else (0, 255)
    levels = black + gray * (white - black) / 255
    assert np.abs(luma / 2 ** (depth - 8) - levels).max() < 1.1


@pytest.mark.parametrize("scan", [1, 2, 3])
@pytest.mark.parametrize(("name", "codec"), [("a.vob", "mpeg2video"), ("a.ts", "libx264"), ("a.mkv", "ffv1")])
def test_each_picture_says_which_field_comes_first(tmp_path, name, codec, scan):
    reader = FilmReader(make_clip(tmp_path / name, codec=codec, frames=4, scan=scan))
    assert reader.facts.scan == scan
    assert {frame.scan for frame in reader.frames()} == {scan}


def test_a_deinterlaced_film_keeps_count_and_times_and_loses_the_comb(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", scan=2, gray=True)
    woven, reader = list(FilmReader(source).frames()), FilmReader(source, deinterlace=True)
    plain = list(reader.frames())
    assert [frame.time for frame in plain] == [frame.time for frame in woven]
    assert {frame.scan for frame in plain} == {1} == {reader.facts.scan}

    def comb(frame):
        luma = frame.luma.astype(int)
        return np.abs(2 * luma[1:-1] - luma[:-2] - luma[2:]).mean()

    assert comb(plain[5]) < 0.8 * comb(woven[5])
