"""Films that are read: luma as it is stored, upright, as far as a damaged file goes."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.codec.context import Flags
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


def test_deinterlacing_leaves_progressive_pictures_and_the_last_duration(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", scan=[1] * 6 + [2] * 14, gray=True)
    woven, plain = (list(FilmReader(source, deinterlace=choice).frames()) for choice in (False, True))
    same = [np.array_equal(a.luma, b.luma) for a, b in zip(woven, plain, strict=True)]
    assert same == [True] * 6 + [False] * 14
    assert [frame.duration for frame in plain] == [frame.duration for frame in woven]


@pytest.mark.parametrize("scan", [2, 3])
@pytest.mark.parametrize(("codec", "layout"), [("magicyuv", "yuv422p"), ("qtrle", "rgb24")])
def test_of_codecs_without_marks_the_container_says_which_field_comes_first(tmp_path, codec, layout, scan):
    words = {"codec": codec, "layout": layout, "scan": scan, "gray": True, "frames": 4}
    source = make_clip(tmp_path / "a.mov", **words)
    marked = make_clip(tmp_path / "b.mkv", **words | {"codec": "ffv1", "layout": "yuv422p"})
    assert {frame.scan for frame in FilmReader(source).frames()} == {scan}
    if layout == "yuv422p":  # deinterlaced alike, so by the right field
        plain = [list(FilmReader(film, deinterlace=True).frames()) for film in (source, marked)]
        assert all(np.array_equal(a.luma, b.luma) for a, b in zip(*plain, strict=True))


def test_png_that_is_stored_in_passes_has_no_fields(tmp_path):
    source = make_clip(tmp_path / "a.mov", codec="png", layout="rgb24", scan=1, frames=2)
    with av.open(str(tmp_path / "b.mov"), "w") as film:
        stream = film.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        stream.codec_context.flags |= Flags.interlaced_dct  # Adam7
        with av.open(str(source)) as container:
            for picture in container.decode(video=0):
                film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    assert FilmReader(tmp_path / "b.mov").facts.scan == 1


def test_a_matrix_that_cannot_be_converted_keeps_its_luma(tmp_path):
    source = make_clip(tmp_path / "a.mkv", layout="yuv420p10le", tags={"colorspace": 10, "color_trc": 14}, frames=3)
    assert [frame.rgb is None for frame in FilmReader(source, keep_color=True).frames()] == [False] * 3


def test_transparency_is_named_as_lost_where_there_is_some(tmp_path):
    for alpha, lost in ((255, ()), (100, ("alpha",))):
        with av.open(str(tmp_path / f"{alpha}.mkv"), "w") as film:
            stream = film.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 8, 8, "bgra"
            pixels = np.full((8, 8, 4), 90, np.uint8)
            pixels[..., 3] = alpha
            film.mux([*stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgra")), *stream.encode(None)])
        assert FilmReader(tmp_path / f"{alpha}.mkv").facts.lost == lost
