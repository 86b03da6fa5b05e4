"""`colorgan colorize` on films: what is kept, what goes on, what is said."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from film_fixture import make_clip, packets, photo, pictures, scans
from PIL import Image

from colorgan.checkpoint import load_generator, read_header, save_checkpoint
from colorgan.colorize import Colorizer, pipeline
from colorgan.colorize.film import FilmOptions
from colorgan.media.fields import ScanMarker, weave
from colorgan.media.film_reader import FilmReader
from colorgan.media.film_writer import FilmWriter

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FRAMES", 8)


@pytest.fixture(scope="session")
def vivid(run, place):
    """A checkpoint that colours strongly; what the smoke run learns is nearly gray."""
    final, target = run / "final.safetensors", place / "vivid.safetensors"
    generator, header = load_generator(final), read_header(final)
    torch.manual_seed(0)
    with torch.no_grad():
        generator.to_color.weight.normal_(std=0.03)
        generator.to_color.bias.copy_(torch.tensor([-0.1, 0.1]))
    facts = {"gray_rule": "luma601", "image_size": header["image_size"]}
    save_checkpoint(target, {"generator": generator}, configs=header["networks"], facts=facts)
    return target


@pytest.fixture
def colorize(vivid, command):
    """`colorgan colorize SOURCE --checkpoint ... --out OUT WORDS`: exit code, output and error.

    The clips are in colour: `recolor=False` leaves them so.
    """

    def run_it(source, out, *words, recolor=True):
        recolored = ["--recolor"] if recolor and source.suffix != ".png" else []
        return command("colorize", source, "--checkpoint", vivid, "--out", out, *words, *recolored)

    return run_it


def test_a_film_keeps_frames_times_and_sound_and_gets_colours(colorize, tmp_path):
    source = make_clip(tmp_path / "a.mp4", audio="aac")
    code, said, err = colorize(source, tmp_path / "out.mp4")
    assert code == 0, err
    assert "20 frames colorized" in said
    after = pictures(tmp_path / "out.mp4")
    assert [time for time, *_ in after] == [time for time, *_ in pictures(source)]
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
    assert max(np.ptp(rgb.astype(int), axis=2).max() for *_, rgb in after) > 20
    assert not list(tmp_path.glob("*.parts"))


def test_shots_in_colour_are_left_and_named_or_colorized_on_request(colorize, tmp_path):
    source = tmp_path / "a.mkv"
    gray, bright = (
        make_clip(tmp_path / f"{name}.mkv", codec="ffv1", gray=name == "gray") for name in ("gray", "bright")
    )
    with av.open(str(source), "w") as film:
        stream = None
        for number, part in enumerate((gray, bright, gray)):
            with av.open(str(part)) as container:
                stream = stream or film.add_stream_from_template(container.streams.video[0], opaque=True)
                for packet in container.demux(video=0):
                    if packet.dts is not None:
                        packet.pts = packet.dts = packet.pts + number * 834
                        packet.stream = stream
                        film.mux(packet)
    code, said, err = colorize(source, tmp_path / "out.mkv", recolor=False)
    assert code == 0, err
    assert "60 frames" in said
    assert err == "in colour already and left as it is: 0.83-1.67 s; --recolor colorizes that too\n"
    before, after = pictures(source), pictures(tmp_path / "out.mkv")
    for number, ((_, luma, rgb), (_, kept, colored)) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(luma, kept)
        change = np.abs(rgb.astype(int) - colored).mean()
        assert change < 1.5 if 20 <= number < 40 else change > 5
    code, _, err = colorize(source, tmp_path / "all.mkv", "--smooth", "0.8")
    assert (code, err) == (0, "")
    assert np.abs(pictures(tmp_path / "all.mkv")[30][2].astype(int) - before[30][2]).mean() > 5


def test_an_interlaced_film_is_colorized_field_by_field(colorize, tmp_path, monkeypatch):
    source, seen = make_clip(tmp_path / "a.mkv", codec="ffv1", scan=3, frames=4), []
    original = Colorizer.colorize_frames

    def watch(self, frames, **options):
        frames = list(frames)
        seen.extend(frames)
        return original(self, frames, **options)

    monkeypatch.setattr(Colorizer, "colorize_frames", watch)
    assert colorize(source, tmp_path / "out.mkv")[0] == 0
    assert scans(tmp_path / "out.mkv") == [3] * 4
    assert [frame.shape for frame in seen] == [(48, 64)] * 8
    luma = FilmReader(source).facts.gray(pictures(source)[0][1])
    assert np.array_equal(seen[0][0::2], luma[0::2])
    assert np.array_equal(seen[1][1::2], luma[1::2])
    colorize(source, tmp_path / "plain.mkv", "--deinterlace")
    assert scans(tmp_path / "plain.mkv") == [1] * 4


def test_sound_that_cannot_be_copied_is_converted_and_named(colorize, tmp_path):
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio="pcm_s16le")
    code, _, err = colorize(source, tmp_path / "out.mp4")
    assert code == 0
    assert "audio stream 1 (pcm_s16le) becomes flac, without loss: .mp4 cannot hold it as it is" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["--resume"]])
def test_sound_that_cannot_be_kept_is_refused_before_any_work(colorize, tmp_path, words):
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio="pcm_f32le")
    code, _, err = colorize(source, tmp_path / "out.mp4", *words)
    assert code == 2
    assert "pcm_f32le" in err
    assert ".mkv or .mov" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.avi"]


def test_a_hole_is_told_with_its_place_and_sound_stays_in_step(colorize, tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", audio="flac", frames=60)
    data = source.read_bytes()
    clusters = [place for place in range(len(data)) if data.startswith(b"\x1f\x43\xb6\x75", place)]
    source.write_bytes(data[: clusters[1]] + data[clusters[2] :])
    code, _, err = colorize(source, tmp_path / "out.mp4")
    assert code == 2
    assert "12 frames are missing (0.50-1.00 s); 48 frames could be decoded and are in" in err
    for kind in ("video", "audio"):  # nothing is moved over the hole
        before, after = (sorted(t for t, _ in packets(path, kind)) for path in (source, tmp_path / "out.mp4"))
        assert all(abs(a - b) < 0.002 for a, b in zip(before, after, strict=True))


def test_gaps_in_the_numbers_of_frames_stay_as_time_and_are_named(colorize, tmp_path):
    (tmp_path / "frames").mkdir()
    for number in (1, 2, 5, 6):
        Image.new("RGB", (64, 48), (number * 20,) * 3).save(tmp_path / "frames" / f"{number:03d}.png")
    code, _, err = colorize(tmp_path / "frames", tmp_path / "out.mp4", "--fps", 25)
    assert code == 0
    assert "2 frames are left out (3-4); the frame before each gap stays for as long" in err
    assert [time for time, *_ in pictures(tmp_path / "out.mp4")] == [Fraction(n, 25) for n in (0, 1, 4, 5)]


def test_a_telecined_film_is_named(colorize, tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as film:
        stream, marker = film.add_stream("ffv1", rate=Fraction(30000, 1001)), ScanMarker()
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv422p"
        for number in range(30):
            group, place = divmod(number, 5)
            first, second = [(0, 0), (0, 1), (1, 2), (2, 2), (3, 3)][place]
            upper, lower = (photo(3 * (4 * group + n), size=(64, 48), gray=True) for n in (first, second))
            picture = av.VideoFrame.from_ndarray(weave(upper, lower), format="rgb24").reformat(format="yuv422p")
            picture.pts, picture.time_base = number, Fraction(1001, 30000)
            film.mux(stream.encode(marker.mark(picture, 2)))
        film.mux(stream.encode(None))
    code, _, err = colorize(tmp_path / "a.mkv", tmp_path / "out.mkv")
    assert code == 0
    assert "looks telecined: 24 frames a second" in err


def test_options_out_of_range_are_refused_by_their_flags():
    for options, flag in (({"batch": 0}, "--batch"), ({"smooth": 1.0}, "--smooth"), ({"fps": -1.0}, "--fps")):
        with pytest.raises(ValueError, match=f"{flag} must be"):
            FilmOptions(**options)


def test_the_network_sees_a_turned_film_upright(colorize, tmp_path, monkeypatch):
    seen = []
    original = Colorizer.colorize_frames

    def watch(self, frames, **options):
        frames = list(frames)
        seen.extend(frames)
        return original(self, frames, **options)

    monkeypatch.setattr(Colorizer, "colorize_frames", watch)
    source = make_clip(tmp_path / "a.mp4", matrix=[0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30], frames=2)
    assert colorize(source, tmp_path / "out")[0] == 0
    stored = pictures(source)[0][1]
    assert seen[0].shape == (64, 48)
    expected = np.rot90(stored, -1)  # -90 degrees counterclockwise
    assert np.corrcoef(seen[0].ravel(), expected.ravel())[0, 1] > 0.999
    assert Image.open(tmp_path / "out" / "00001.png").size == (48, 64)


@pytest.mark.parametrize("name", ["out.MP4", "out.Mkv"])
def test_endings_may_be_in_capitals(colorize, tmp_path, name):
    source = make_clip(tmp_path / "a.mp4", frames=2, audio="aac")
    code, _, err = colorize(source, tmp_path / name)
    assert code == 0, err
    assert len(pictures(tmp_path / name)) == 2
    assert packets(tmp_path / name, "audio")


def test_compare_is_twice_as_wide_and_gray_on_the_left(colorize, tmp_path):
    source = make_clip(tmp_path / "a.mp4", frames=3)
    assert colorize(source, tmp_path / "out.mkv", "--compare")[0] == 0
    for (_, luma, _), (_, kept, rgb) in zip(pictures(source), pictures(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(kept, np.hstack([luma, luma]))
        assert np.ptp(rgb[:, :64].astype(int), axis=2).max() <= 1
        assert np.ptp(rgb[:, 64:].astype(int), axis=2).max() > 20


def test_film_to_frames_and_frames_to_film(colorize, tmp_path):
    source = make_clip(tmp_path / "a.mp4", audio="aac")
    code, _, err = colorize(source, tmp_path / "frames")
    assert code == 0, err
    assert "frames: audio stream 1" in err
    assert [f.name for f in sorted((tmp_path / "frames").iterdir())] == [f"{n:05d}.png" for n in range(1, 21)]
    assert colorize(tmp_path / "frames", tmp_path / "again.mp4", "--fps", 25)[0] == 0
    again = pictures(tmp_path / "again.mp4")
    assert [t for t, *_ in again] == [Fraction(n, 25) for n in range(20)]
    assert colorize(tmp_path / "frames", tmp_path / "steady", "--smooth", 0.5)[0] == 0
    assert len(list((tmp_path / "steady").iterdir())) == 20


def stop_after(monkeypatch, count, error):
    """Let the writer fail before a frame."""
    written, original = [], FilmWriter.write

    def write(self, *item):
        if len(written) == count:
            raise error
        written.append(1)
        original(self, *item)

    monkeypatch.setattr(FilmWriter, "write", write)
    return lambda: monkeypatch.setattr(FilmWriter, "write", original)


@pytest.mark.parametrize("words", [[], ["--smooth", "0"]])
def test_an_interrupted_film_goes_on_to_the_same_frames(colorize, tmp_path, monkeypatch, words):
    source = make_clip(tmp_path / "a.mp4", audio="aac")
    assert colorize(source, tmp_path / "whole.mp4", *words)[0] == 0
    repair = stop_after(monkeypatch, 13, KeyboardInterrupt())
    code, _, err = colorize(source, tmp_path / "out.mp4", *words)
    assert code == 130
    assert "8 frames are safe" in err
    assert "--resume goes on" in err
    assert len(err.strip().splitlines()) == 1
    parts = tmp_path / "out.mp4.parts"
    assert len(pictures(parts / "00000.mp4")) == 8
    assert (parts / "play.m3u").read_text() == "00000.mp4\n"
    repair()
    assert colorize(source, tmp_path / "out.mp4", *words)[0] == 2  # neither --resume nor --overwrite
    code, _, err = colorize(source, tmp_path / "out.mp4", *words, "--resume", "--batch", "3")
    assert code == 2
    assert "--batch was 8, is 3" in err
    assert colorize(source, tmp_path / "out.mp4", *words, "--resume")[0] == 0
    for (t, _, a), (u, _, b) in zip(pictures(tmp_path / "whole.mp4"), pictures(tmp_path / "out.mp4"), strict=True):
        assert t == u
        assert np.array_equal(a, b)
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
    assert "finished already" in colorize(source, tmp_path / "out.mp4", *words, "--resume")[1]


def test_a_cut_off_film_is_colorized_as_far_as_it_goes(colorize, tmp_path):
    for name, out in (("a.mkv", "out.mp4"), ("a.avi", "out.mkv")):
        whole = make_clip(tmp_path / name, codec="mpeg4", audio="aac", frames=40)
        data = whole.read_bytes()
        whole.write_bytes(data[: len(data) // 2])
        code, _, err = colorize(whole, tmp_path / out)
        assert code == 2
        assert "is damaged: it is cut off after" in err
        assert len(err.strip().splitlines()) == 1
        count = len(pictures(tmp_path / out))
        assert 5 < count < 40
        assert f"{count} frames could be decoded and are in" in err


@pytest.mark.parametrize(
    ("name", "out", "words", "message"),
    [
        ("none.mp4", "o.mp4", [], "no film"),
        ("empty.mp4", "o.mp4", [], "is empty"),
        ("text.mp4", "o.mp4", [], "cannot be read as a film"),
        ("cut.mp4", "o.mp4", [], "cannot be read as a film"),
        ("a.mp4", "o.mp4", ["--smooth", "nan"], "--smooth must be in [0, 1)"),
        ("a.mp4", "o.webm", [], "--out must end in .mp4, .mov, .mkv"),
        ("a.mp4", "a.mp4", [], "would replace the original"),
        ("a.mp4", "taken.mp4", [], "exists; use --overwrite"),
        ("a.mp4", "o.mp4", ["--batch", "0"], "--batch must be at least 1"),
        ("a.mp4", "o.mp4", ["--smooth", "1"], "--smooth must be in [0, 1)"),
        ("a.mp4", "o.mp4", ["--fps", "25"], "--fps is for a folder"),
        ("photo.png", "o.png", ["--resume"], "--resume: only for film"),
        ("sizes", "o.mp4", ["--fps", "0"], "--fps must be above 0"),
        ("sizes", "o.mp4", ["--fps", "inf"], "--fps must be above 0"),
        ("sizes", "o.mp4", [], "a film has one size"),
    ],
)
def test_what_is_no_film_gets_one_line_and_exit_code_2(colorize, tmp_path, name, out, words, message):
    whole = make_clip(tmp_path / "a.mp4", frames=4)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "taken.mp4").touch()
    (tmp_path / "text.mp4").write_text("no film " * 500)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:2000])  # without the index at its end
    (tmp_path / "sizes").mkdir()
    for number in (1, 2):
        Image.new("RGB", (20 + number, 20)).save(tmp_path / "sizes" / f"{number}.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    code, _, err = colorize(tmp_path / name, tmp_path / out, *words)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def long_film(vivid, tmp_path_factory):
    """A film of three parts, and what colorizes it into a file; `whole.mp4` beside it is made undisturbed."""
    source = make_clip(tmp_path_factory.mktemp("film") / "a.mp4", frames=320, audio="aac")

    def command(out, *words):
        typed = ["colorize", source, "--checkpoint", vivid, "--out", out, "--recolor", *words]
        return [sys.executable, "-m", "colorgan.cli.main", *map(str, typed)]

    subprocess.run(command(source.with_name("whole.mp4")), cwd=ROOT, check=True, capture_output=True)
    return source, command


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle_and_resumed_gives_the_same_frames(long_film, tmp_path, number):
    source, command = long_film
    process = subprocess.Popen(command(tmp_path / "out.mp4"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "out.mp4.parts"
    while not (parts / "00000.json").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate()
    assert process.returncode == (-9 if number == signal.SIGKILL else 143), err
    assert not (tmp_path / "out.mp4").exists()
    for part in parts.glob("0000[01].mp4"):
        assert len(pictures(part)) == 120
    subprocess.run(command(tmp_path / "out.mp4", "--resume"), cwd=ROOT, check=True, capture_output=True)
    whole, resumed = pictures(source.with_name("whole.mp4")), pictures(tmp_path / "out.mp4")
    assert len(whole) == len(resumed) == 320
    for (t, _, a), (u, _, b) in zip(whole, resumed, strict=True):
        assert t == u
        assert np.array_equal(a, b)
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")


@pytest.mark.parametrize("name", ["job.json", "00000.json"])
def test_a_damaged_record_of_an_interrupted_film_is_told_in_one_line(colorize, tmp_path, monkeypatch, name):
    source, out = make_clip(tmp_path / "a.mkv", codec="ffv1"), tmp_path / "out.mkv"
    stopped = FilmWriter.join
    monkeypatch.setattr(FilmWriter, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert colorize(source, out)[0] == 130
    monkeypatch.setattr(FilmWriter, "join", stopped)
    (tmp_path / "out.mkv.parts" / name).write_text("{")
    code, _, err = colorize(source, out, "--resume")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{name} is damaged, so --resume cannot go on; --overwrite starts anew" in err
    assert colorize(source, out, "--overwrite")[0] == 0
