"""Films that are written: what is kept of the source, value by value."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_fixture import facts, make_clip, packets, pictures, tint

from colorgan.media.film_reader import FilmReader
from colorgan.media.film_writer import FilmWriter, open_writer

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "codec", "audio", "out"),
    [
        ("a.mp4", "libx264", "aac", "out.mp4"),
        ("a.mp4", "libx264", "aac", "out.mkv"),
        ("a.mov", "libx264", "pcm_s16le", "out.mov"),
        ("a.mkv", "libx264", "flac", "out.mp4"),
        ("a.avi", "mpeg4", "mp3", "out.mp4"),
        ("a.webm", "libvpx-vp9", "libopus", "out.mp4"),
        ("a.webm", "libvpx-vp9", "libopus", "out.mkv"),
    ],
)
def test_every_format_keeps_frames_times_and_sound(tmp_path, name, codec, audio, out):
    source = make_clip(tmp_path / name, codec=codec, audio=audio)
    tint(source, tmp_path / out)
    before, after = pictures(source), pictures(tmp_path / out)
    assert len(after) == len(before) == 20
    rounding = Fraction(1, 1000) if out.endswith("mkv") else 0  # Matroska counts milliseconds
    assert all(abs(a[0] - b[0]) <= rounding for a, b in zip(after, before, strict=True))
    sound, kept = packets(source, "audio"), packets(tmp_path / out, "audio")
    assert [data for _, data in kept] == [data for _, data in sound]
    assert all(abs(a[0] - b[0]) <= rounding for a, b in zip(kept, sound, strict=True))
    assert max(np.ptp(rgb.astype(int), axis=2).max() for *_, rgb in after) > 20


def test_variable_frame_rate_stays_to_the_tick(tmp_path):
    times = list(np.cumsum([0] + [30 + 17 * (n % 4) for n in range(19)]))
    source = make_clip(tmp_path / "a.mp4", times=[int(t) for t in times], time_base=Fraction(1, 1000), audio="aac")
    tint(source, tmp_path / "out.mp4")
    expected = [Fraction(int(t), 1000) for t in times]
    assert [t for t, *_ in pictures(tmp_path / "out.mp4")] == [t for t, *_ in pictures(source)] == expected
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        assert a.duration == b.duration


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(("matrix", "transfer"), [(1, 1), (6, 6), (9, 14)])
def test_lossless_film_has_the_luma_of_its_source_to_the_bit(tmp_path, color_range, matrix, transfer):
    tags = {"colorspace": matrix, "color_range": color_range, "color_primaries": matrix, "color_trc": transfer}
    source = make_clip(tmp_path / "a.mp4", tags=tags, gray=True)
    tint(source, tmp_path / "out.mkv")
    for (_, luma, _), (_, kept, rgb) in zip(pictures(source), pictures(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(luma, kept)
        weights = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
        shown = rgb @ np.array([weights[0], 1 - sum(weights), weights[1]])
        gray = luma if color_range == 2 else (luma.astype(float) - 16) * 255 / 219
        assert np.abs(shown - gray.clip(0, 255)).mean() < 1  # what a player shows, by the tagged matrix and range
    kept, expected = facts(tmp_path / "out.mkv"), facts(source)
    assert {k: kept[k] for k in expected if k != "size"} == {k: v for k, v in expected.items() if k != "size"}


@pytest.mark.parametrize("out", ["out.mp4", "out.mkv"])
def test_rotation_aspect_tags_title_and_chapters_are_kept(tmp_path, out):
    chapters = [{"id": 0, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
    chapters += [{"id": 1, "start": 400, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}}]
    tags = {"sample_aspect_ratio": Fraction(16, 15), "colorspace": 5, "color_primaries": 5, "color_trc": 1}
    turned = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    source = make_clip(
        tmp_path / "a.mp4", tags=tags | {"color_range": 1}, matrix=turned, chapters=chapters, audio="aac"
    )
    assert facts(source)["rotation"] == -90
    tint(source, tmp_path / out)
    assert facts(tmp_path / out) == facts(source)


def test_odd_sizes_are_padded_for_h264_and_exact_without_loss(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", layout="yuv444p", size=(65, 47), frames=3)
    tint(source, tmp_path / "out.mkv")
    tint(source, tmp_path / "out.mp4")
    assert facts(tmp_path / "out.mkv")["size"] == (65, 47)
    assert facts(tmp_path / "out.mp4")["size"] == (66, 48)


def test_subtitles_are_kept_or_refused_before_any_work(tmp_path):
    source = make_clip(tmp_path / "a.mkv", subtitles="subrip", audio="aac")
    tint(source, tmp_path / "out.mkv")
    assert packets(tmp_path / "out.mkv", "subtitle") == packets(source, "subtitle")
    with pytest.raises(ValueError, match=r"\.mp4 cannot hold subtitle stream .*--out that ends in \.mkv"):
        FilmWriter(FilmReader(source), tmp_path / "out.mp4", tmp_path / "segments")
    assert sorted(path.name for path in tmp_path.glob("out.mp4*")) == []


def test_each_segment_plays_by_itself(tmp_path):
    source = make_clip(tmp_path / "a.mp4")
    segments = tint(source, tmp_path / "out.mp4")
    assert [len(pictures(segments / f"0000{number}.mp4")) for number in range(3)] == [8, 8, 4]


def test_a_segment_that_fails_leaves_no_file(tmp_path):
    reader = FilmReader(make_clip(tmp_path / "a.mp4"))
    writer, frame = FilmWriter(reader, tmp_path / "out.mp4", tmp_path / "segments"), next(reader.frames())
    with pytest.raises(ValueError, match="ndim"), writer.segment(0, 0):
        writer.write(frame, np.zeros((48, 64), np.uint8))  # no colour picture
    assert not list((tmp_path / "segments").iterdir())


def test_a_join_that_fails_leaves_the_film_that_was_there(tmp_path):
    source = make_clip(tmp_path / "a.mp4")
    (tmp_path / "out.mp4").write_text("the old film")
    writer = FilmWriter(FilmReader(source), tmp_path / "out.mp4", tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        writer.join([0])
    assert (tmp_path / "out.mp4").read_text() == "the old film"
    assert not list(tmp_path.glob(".*"))


def test_frames_are_numbered_on_and_what_they_cannot_hold_is_named(tmp_path):
    source = make_clip(tmp_path / "a.mkv", frames=10, audio="flac")
    tint(source, tmp_path / "frames")
    assert [f.name for f in sorted((tmp_path / "frames").iterdir())] == [f"{n:05d}.png" for n in range(1, 11)]
    writer = open_writer(FilmReader(source), tmp_path / "frames", tmp_path / "segments")
    assert writer.is_finished()
    assert writer.left_out == ["audio stream 1"]


def test_an_unknown_ending_is_refused(tmp_path):
    reader = FilmReader(make_clip(tmp_path / "a.mp4", frames=1))
    with pytest.raises(ValueError, match=r"--out must end in \.mp4, \.mov, \.mkv, or be a folder"):
        open_writer(reader, tmp_path / "out.webm", tmp_path / "segments")


_ENCODE = """
import sys
sys.path.insert(0, "tests/fixtures")
from pathlib import Path
import numpy as np
from film_fixture import make_clip, photo
from colorgan.media.film_reader import FilmReader, Frame
from colorgan.media.film_writer import FilmWriter
source = make_clip(Path(sys.argv[1]) / "source.mp4", size=(160, 120), frames=1)
writer = FilmWriter(FilmReader(source), Path("out.mp4"), Path(sys.argv[1]))
with writer.segment(0, 0):
    for number in range(40):
        grain = np.random.default_rng(number).integers(-8, 9, (120, 160, 1))
        rgb = (photo(number, size=(160, 120)) + grain).clip(0, 255).astype(np.uint8)
        writer.write(Frame(number, 1, rgb[..., 1]), rgb)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is glibc's")
def test_what_the_encoder_writes_does_not_depend_on_what_memory_held(tmp_path):
    for fill in ("1", "170"):
        (tmp_path / fill).mkdir()
        environment = os.environ | {"MALLOC_PERTURB_": fill}
        subprocess.run([sys.executable, "-c", _ENCODE, tmp_path / fill], cwd=ROOT, env=environment, check=True)
    first, second = (packets(tmp_path / fill / "00000.mp4", "video") for fill in ("1", "170"))
    assert len(first) == 40
    assert first == second
