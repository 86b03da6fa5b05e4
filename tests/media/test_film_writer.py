"""Films that are written: what is kept of the source, value by value."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_fixture import facts, lumas, make_clip, packets, pictures, scans, tint

from colorgan.media.film_facts import Frame
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


HDR10 = "log-level=none:bframes=0:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
HDR10_TAGS = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}


@pytest.mark.parametrize(
    ("layout", "out", "codec", "depth", "error"),
    [
        ("yuv422p10le", "out.mkv", "ffv1", 10, 0),
        ("yuv444p12le", "out.mkv", "ffv1", 12, 0),
        ("gray16le", "out.mkv", "ffv1", 16, 0),
        ("gray", "out.mkv", "ffv1", 8, 0),
        ("yuv420p10le", "out.mp4", "hevc", 10, 3),
        ("yuv422p10le", "out.mov", "prores", 10, 1),
    ],
)
def test_luma_keeps_its_bits_and_its_range(tmp_path, layout, out, codec, depth, error):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", layout=layout, gray=True, frames=4, tags={"color_range": 1})
    tint(source, tmp_path / out, segment_frames=2)
    (before, given), (after, facts_after) = lumas(source), lumas(tmp_path / out)
    with av.open(str(tmp_path / out)) as container:
        assert container.streams.video[0].codec_context.name == codec
    assert (given.color_range, facts_after.color_range, facts_after.depth) == (1, 1, depth)
    levels = 2 ** (depth - 8)  # of 8 bits
    assert all(np.abs(a.astype(int) - b).mean() <= error * levels for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("out", ["out.mp4", "out.mov", "out.mkv"])
def test_hdr10_keeps_its_mastering_display_and_light_levels(tmp_path, out):
    options = {"x265-params": f"{HDR10}:max-cll=1000,400"}
    source = make_clip(
        tmp_path / "a.mp4", codec="libx265", layout="yuv420p10le", options=options, tags=HDR10_TAGS, frames=3
    )
    tint(source, tmp_path / out)
    before, after = FilmReader(source).facts, FilmReader(tmp_path / out).facts
    assert before.light == (1000, 400)
    assert before.mastering is not None
    assert [float(value) for value in before.mastering[8:]] == [0.005, 1000]
    assert (after.mastering, after.light, after.transfer, after.depth) == (before.mastering, before.light, 16, 10)


def test_bits_and_light_levels_that_a_file_cannot_hold_are_named(tmp_path):
    deep = FilmReader(make_clip(tmp_path / "a.mkv", codec="ffv1", layout="yuv444p12le", frames=1))
    assert FilmWriter(deep, tmp_path / "out.mp4", tmp_path).left_out == ["2 of 12 bits (.mkv keeps all)"]
    assert FilmWriter(deep, tmp_path / "out.mkv", tmp_path).left_out == []


@pytest.mark.parametrize("scan", [2, 3])
@pytest.mark.parametrize(
    ("layout", "out", "codec"),
    [
        ("yuv422p", "out.mp4", "h264"),
        ("yuv422p", "out.mov", "h264"),
        ("yuv422p", "out.mkv", "ffv1"),
        ("yuv422p10le", "out.mp4", "h264"),
        ("yuv422p10le", "out.mov", "prores"),
    ],
)
def test_an_interlaced_film_keeps_its_fields_and_their_order(tmp_path, scan, layout, out, codec):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", layout=layout, scan=scan, frames=6)
    tint(source, tmp_path / out, segment_frames=4)
    assert scans(tmp_path / out) == scans(source) == [scan] * 6
    with av.open(str(tmp_path / out)) as container:
        context = container.streams.video[0].codec_context
        assert context.name == codec
        assert context.field_order == scan


def test_the_chroma_of_a_field_stays_out_of_the_other(tmp_path):
    """The upper field red, the lower one gray: 4:2:0 made of the woven picture would have pink in both."""
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", layout="yuv420p", scan=2, frames=2, gray=True)
    reader = FilmReader(source)
    writer, frames = FilmWriter(reader, tmp_path / "out.mp4", tmp_path / "parts"), list(reader.frames())
    with writer.segment(0, 0):
        for frame in frames:
            rgb = np.repeat(reader.facts.gray(frame.luma)[..., None], 3, axis=2)
            rgb[0::2] = (rgb[0::2] * [0.3, 0.3, 0.3] + [150, 0, 0]).astype(np.uint8)
            writer.write(frame, rgb)
    writer.join([frames[0].time])
    with av.open(str(tmp_path / "out.mp4")) as container:
        picture = next(container.decode(video=0))
        red = np.frombuffer(picture.planes[2], np.uint8).reshape(picture.height // 2, -1)[:, : picture.width // 2]
    assert red[0::2].mean() > 160
    assert abs(red[1::2].mean() - 128) < 4


def test_nothing_of_the_trial_stays(tmp_path):
    source = make_clip(tmp_path / "a.mp4", audio="aac", frames=2)
    FilmWriter(FilmReader(source), tmp_path / "out.mp4", tmp_path / "parts")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


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
    assert (tmp_path / "out.mp4").read_text() == "the old film"
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
from colorgan.media.film_facts import Frame
from colorgan.media.film_facts import Frame
from colorgan.media.film_reader import FilmReader
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


def test_pictures_before_time_0_are_shown_in_mp4(tmp_path):
    source = make_clip(tmp_path / "a.nut", codec="ffv1", audio="flac")
    reader = FilmReader(source)
    writer = FilmWriter(reader, tmp_path / "out.mp4", tmp_path / "parts")
    frames = [frame._replace(time=frame.time - reader.facts.time_base.denominator // 5) for frame in reader.frames()]
    with writer.segment(0, 0):
        for frame in frames:
            writer.write(frame, np.zeros((48, 64, 3), np.uint8))
    writer.join([frames[0].time])
    after = pictures(tmp_path / "out.mp4")
    assert len(after) == 20
    assert after[0][0] == 0
    assert abs(packets(tmp_path / "out.mp4", "audio")[0][0] - Fraction(1, 5)) < 0.001


@pytest.mark.parametrize("scan", [2, 3])
def test_progressive_pictures_do_not_turn_the_fields_of_the_others(tmp_path, scan):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", scan=[1] * 4 + [scan] * 12 + [1] * 8, frames=24)
    for out in ("out.mkv", "out.mp4"):
        tint(source, tmp_path / out, segment_frames=30)
    assert scans(tmp_path / "out.mkv") == scans(source)
    assert scans(tmp_path / "out.mp4") == [scan] * 24  # x264 has no progressive ones among them


def test_fields_that_come_late_are_found_and_a_few_of_them_do_no_harm(tmp_path):
    late = make_clip(tmp_path / "a.mkv", codec="ffv1", options={"g": "1"}, scan=[1] * 14 + [2] * 46, frames=60)
    assert FilmReader(late).facts.scan == 2
    few = make_clip(tmp_path / "b.mkv", codec="ffv1", size=(64, 46), scan=[1] * 14 + [2] + [1] * 45, frames=60)
    assert FilmReader(few).facts.scan == 1
    for out in ("out.mkv", "out.mp4"):
        tint(few, tmp_path / out, segment_frames=60)
        assert len(scans(tmp_path / out)) == 60
    assert scans(tmp_path / "out.mkv") == scans(few)


@pytest.mark.slow
def test_hevc_of_the_same_pictures_is_the_same_each_time(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", layout="yuv420p10le", size=(96, 64), frames=1)
    writer = FilmWriter(FilmReader(source), tmp_path / "out.mp4", tmp_path)
    down, across = np.mgrid[0:64, 0:96]
    for segment in range(8):
        with writer.segment(segment, 0):
            for number in range(130):
                gray = 110 + 60 * np.sin((across + 3 * number) / 7) + 40 * np.sin((down + number) / 5)
                gray[number * 3 % 64 :][:4] = 230  # a line that wanders
                gray += np.random.default_rng(number).normal(0, 2, gray.shape)
                rgb = np.repeat(gray[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
                writer.write(Frame(40 * number, 40, rgb[..., 0].astype(np.uint16) * 4), rgb)
    films = [packets(writer.segment_path(segment), "video") for segment in range(8)]
    assert len(films[0]) == 130
    assert all(film == films[0] for film in films)
