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
from film_fixture import make_clip, packets, photo, pictures
from PIL import Image

from colorgan.checkpoint import load_generator, read_header, save_checkpoint
from colorgan.colorize import film
from colorgan.colorize.colorizer import Colorizer

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(film, "SEGMENT_FRAMES", 8)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


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
def colorize(vivid, colorgan):
    """`colorgan colorize SOURCE --checkpoint ... --out OUT WORDS`: exit code, output and error."""

    def command(source, out, *words):
        return colorgan("colorize", source, "--checkpoint", vivid, "--out", out, *words)

    return command


def facts(path):
    """What players read of a film."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        return {
            "aspect": stream.sample_aspect_ratio,
            "matrix": int(frame.colorspace),
            "range": int(frame.color_range),
            "primaries": int(frame.color_primaries),
            "transfer": int(frame.color_trc),
            "rotation": frame.rotation,
            "size": (frame.width, frame.height),
            "title": container.metadata.get("title"),
            "chapters": [(c["start"] * c["time_base"], c["metadata"].get("title")) for c in container.chapters()],
        }


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
def test_every_format_keeps_frames_times_and_sound(colorize, tmp_path, name, codec, audio, out):
    source = make_clip(tmp_path / name, codec=codec, audio=audio)
    code, said, err = colorize(source, tmp_path / out)
    assert code == 0, err
    assert "20 frames colorized" in said
    before, after = pictures(source), pictures(tmp_path / out)
    assert len(after) == len(before) == 20
    rounding = Fraction(1, 1000) if out.endswith("mkv") else 0  # Matroska counts milliseconds
    assert all(abs(a[0] - b[0]) <= rounding for a, b in zip(after, before, strict=True))
    sound, kept = packets(source, "audio"), packets(tmp_path / out, "audio")
    assert [data for _, data in kept] == [data for _, data in sound]
    assert all(abs(a[0] - b[0]) <= rounding for a, b in zip(kept, sound, strict=True))
    assert max(np.ptp(rgb.astype(int), axis=2).max() for *_, rgb in after) > 20
    assert not list(tmp_path.glob("*.parts"))


def test_variable_frame_rate_stays_to_the_tick(colorize, tmp_path):
    times = list(np.cumsum([0] + [30 + 17 * (n % 4) for n in range(19)]))
    source = make_clip(tmp_path / "a.mp4", times=[int(t) for t in times], time_base=Fraction(1, 1000), audio="aac")
    assert colorize(source, tmp_path / "out.mp4")[0] == 0
    expected = [Fraction(int(t), 1000) for t in times]
    assert [t for t, *_ in pictures(tmp_path / "out.mp4")] == [t for t, *_ in pictures(source)] == expected
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        assert a.duration == b.duration


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(("matrix", "transfer"), [(1, 1), (6, 6), (9, 14)])
def test_lossless_film_has_the_luma_of_its_source_to_the_bit(colorize, tmp_path, color_range, matrix, transfer):
    tags = {"colorspace": matrix, "color_range": color_range, "color_primaries": matrix, "color_trc": transfer}
    source = make_clip(tmp_path / "a.mp4", tags=tags, gray=True)
    assert colorize(source, tmp_path / "out.mkv")[0] == 0
    for (_, luma, _), (_, kept, rgb) in zip(pictures(source), pictures(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(luma, kept)
        weights = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
        shown = rgb @ np.array([weights[0], 1 - sum(weights), weights[1]])
        gray = luma if color_range == 2 else (luma.astype(float) - 16) * 255 / 219
        assert np.abs(shown - gray.clip(0, 255)).mean() < 1  # what a player shows, by the tagged matrix and range
    kept, expected = facts(tmp_path / "out.mkv"), facts(source)
    assert {k: kept[k] for k in expected if k != "size"} == {k: v for k, v in expected.items() if k != "size"}


@pytest.mark.parametrize("out", ["out.mp4", "out.mkv"])
def test_rotation_aspect_tags_title_and_chapters_are_kept(colorize, tmp_path, out):
    chapters = [{"id": 0, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
    chapters += [{"id": 1, "start": 400, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}}]
    tags = {"sample_aspect_ratio": Fraction(16, 15), "colorspace": 5, "color_primaries": 5, "color_trc": 1}
    turned = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    source = make_clip(
        tmp_path / "a.mp4", tags=tags | {"color_range": 1}, matrix=turned, chapters=chapters, audio="aac"
    )
    assert facts(source)["rotation"] == -90
    assert colorize(source, tmp_path / out)[0] == 0
    assert facts(tmp_path / out) == facts(source)


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


def test_odd_sizes_are_padded_for_h264_and_exact_without_loss(colorize, tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", layout="yuv444p", size=(65, 47), frames=3)
    assert colorize(source, tmp_path / "out.mkv")[0] == colorize(source, tmp_path / "out.mp4")[0] == 0
    assert facts(tmp_path / "out.mkv")["size"] == (65, 47)
    assert facts(tmp_path / "out.mp4")["size"] == (66, 48)


@pytest.mark.parametrize("layout", ["gray", "yuv420p10le", "bgr0"])
def test_gray_deep_and_rgb_films_are_read(colorize, tmp_path, layout):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", layout=layout, frames=3, gray=True)
    assert colorize(source, tmp_path / "out.mkv")[0] == 0
    for number, (*_, rgb) in enumerate(pictures(tmp_path / "out.mkv")):
        gray = photo(number, size=(64, 48), gray=True)[..., 0].astype(float)
        assert np.abs(rgb @ np.array([0.299, 0.587, 0.114]) - gray).mean() < 1


def test_subtitles_are_kept_or_refused_before_any_work(colorize, tmp_path):
    source = make_clip(tmp_path / "a.mkv", subtitles="subrip", audio="aac")
    assert colorize(source, tmp_path / "out.mkv")[0] == 0
    assert packets(tmp_path / "out.mkv", "subtitle") == packets(source, "subtitle")
    code, _, err = colorize(source, tmp_path / "out.mp4")
    assert code == 2
    assert ".mp4 cannot hold subtitle stream" in err
    assert "--out that ends in .mkv" in err
    assert not (tmp_path / "out.mp4").exists()


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
    written, original = [], film.FilmPartWriter.write

    def write(self, *item):
        if len(written) == count:
            raise error
        written.append(1)
        original(self, *item)

    monkeypatch.setattr(film.FilmPartWriter, "write", write)
    return lambda: monkeypatch.setattr(film.FilmPartWriter, "write", original)


@pytest.mark.parametrize("words", [[], ["--smooth", "0.8"]])
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


def test_smoothing_over_a_segment_end_needs_the_state(colorize, tmp_path):
    """Otherwise the resumed film above could be right by chance: the first frame of a segment depends on the last."""
    source = make_clip(tmp_path / "a.mp4")
    assert colorize(source, tmp_path / "plain.mkv")[0] == 0
    assert colorize(source, tmp_path / "steady.mkv", "--smooth", "0.8")[0] == 0
    plain, steady = pictures(tmp_path / "plain.mkv"), pictures(tmp_path / "steady.mkv")
    assert np.array_equal(plain[0][2], steady[0][2])
    assert not np.array_equal(plain[8][2], steady[8][2])


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
        ("sound.mp4", "o.mp4", [], "holds no pictures, only sound"),
        ("a.mp4", "o.webm", [], "--out must end in .mp4, .mov, .mkv"),
        ("a.mp4", "a.mp4", [], "would replace the original"),
        ("a.mp4", "taken.mp4", [], "exists; use --overwrite"),
        ("a.mp4", "o.mp4", ["--batch", "0"], "--batch must be at least 1"),
        ("a.mp4", "o.mp4", ["--smooth", "1"], "--smooth must be in [0, 1)"),
        ("a.mp4", "o.mp4", ["--fps", "25"], "--fps is for a folder"),
        ("photo.png", "o.png", ["--resume"], "--resume: only for film"),
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
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    code, _, err = colorize(tmp_path / name, tmp_path / out, *words)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1


class Hungry(torch.nn.Module):
    """A generator that has memory for two frames."""

    def __init__(self, room):
        super().__init__()
        self.room, self.batches = room, []

    def forward(self, gray):
        self.batches.append(len(gray))
        if len(gray) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return (gray + torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)).clamp(0, 1)


_ENCODE = """
import sys
sys.path.insert(0, "tests/fixtures")
from pathlib import Path
import numpy as np
from film_fixture import photo
from colorgan.media.film_writer import FilmPartWriter
from colorgan.media.film_reader import FilmFacts, Frame
from fractions import Fraction
writer = FilmPartWriter(Path(sys.argv[1]), FilmFacts(160, 120, Fraction(1, 24), Fraction(24)), ".mp4")
for number in range(40):
    grain = np.random.default_rng(number).integers(-8, 9, (120, 160, 1))
    rgb = (photo(number, size=(160, 120)) + grain).clip(0, 255).astype(np.uint8)
    writer.write(Frame(number, 1, rgb[..., 1]), rgb)
writer.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is glibc's")
def test_what_the_encoder_writes_does_not_depend_on_what_memory_held(tmp_path):
    for fill in ("1", "170"):
        environment = os.environ | {"MALLOC_PERTURB_": fill}
        command = [sys.executable, "-c", _ENCODE, str(tmp_path / f"{fill}.mp4")]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert len({str(packets(path, "video")) for path in tmp_path.iterdir()}) == 1


def test_where_memory_is_short_the_batch_is_halved(caplog):
    generator = Hungry(2)
    frames = [np.full((20, 20), 10 * n, np.uint8) for n in range(11)]
    colored = list(Colorizer(generator, working_size=16).colorize_frames(frames, batch_size=8))
    assert [round(float(rgb.mean())) for rgb in colored] == pytest.approx([10 * n for n in range(11)], abs=6)
    assert generator.batches == [8, 4, 2, 2, 2, 2, 2, 1]
    assert "memory does not suffice for 8 frames at once; going on with 4" in caplog.text


def test_a_frame_that_does_not_fit_is_an_error_never_gray():
    with pytest.raises(ValueError, match="smaller --size"):
        list(Colorizer(Hungry(0)).colorize_frames([np.zeros((300, 300, 3), np.uint8)]))


def test_what_fails_in_a_thread_reaches_the_caller():
    def items():
        yield 1
        raise ValueError("broken")

    stream = film.ahead(items(), count=1)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_an_abandoned_stream_ends_its_thread():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    stream = film.ahead(items(), count=2)
    next(stream)
    stream.close()
    assert closed == [True]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle_and_resumed_gives_the_same_frames(vivid, tmp_path, number):
    source = make_clip(tmp_path / "a.mp4", frames=500, size=(160, 120), audio="aac")

    def command(out, *words):
        typed = ["colorize", source, "--checkpoint", vivid, "--out", out, *words]
        return [sys.executable, "-m", "colorgan.cli.main", *map(str, typed)]

    subprocess.run(command(tmp_path / "whole.mp4"), cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen(command(tmp_path / "out.mp4"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "out.mp4.parts"
    while not (parts / "00001.json").exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate()
    assert process.returncode == (-9 if number == signal.SIGKILL else 143), err
    assert not (tmp_path / "out.mp4").exists()
    for part in parts.glob("0000[01].mp4"):
        assert len(pictures(part)) == 120
    subprocess.run(command(tmp_path / "out.mp4", "--resume"), cwd=ROOT, check=True, capture_output=True)
    whole, resumed = pictures(tmp_path / "whole.mp4"), pictures(tmp_path / "out.mp4")
    assert len(whole) == len(resumed) == 500
    for (t, _, a), (u, _, b) in zip(whole, resumed, strict=True):
        assert t == u
        assert np.array_equal(a, b)
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
