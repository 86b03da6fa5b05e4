"""What a damaged film lacks, by times, counts and bytes."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from film_fixture import make_clip

from colorgan.media.film_reader import FilmReader


def remuxed(source, target, keep=lambda number, packet: True, options=None):
    """Copy a film without some of its packets."""
    with av.open(str(source)) as a, av.open(str(target), "w", options=options or {}) as b:
        copies = [b.add_stream_from_template(stream, opaque=True) for stream in a.streams]
        numbers = [0] * len(copies)
        for packet in a.demux():
            if packet.dts is None:
                continue
            index = packet.stream_index
            packet.stream, numbers[index] = copies[index], numbers[index] + 1
            if keep(numbers[index] - 1, packet):
                b.mux(packet)
    return target


def damage_of(path):
    """How many frames come, and what is said."""
    reader = FilmReader(path)
    return len(list(reader.frames())), reader.damage


@pytest.mark.parametrize(
    ("name", "codec", "audio"),
    [
        ("a.mp4", "libx264", "aac"),
        ("a.mov", "mjpeg", "pcm_s16le"),
        ("a.mkv", "libx264", "flac"),
        ("a.avi", "mpeg4", "mp3"),
        ("b.avi", "ffv1", "pcm_s16le"),
        ("a.webm", "libvpx-vp9", "libopus"),
        ("b.webm", "libvpx", "libopus"),
        ("a.ts", "libx264", "aac"),
        ("a.vob", "mpeg2video", "ac3"),
        ("a.mpg", "mpeg2video", "mp2"),
        ("a.flv", "libx264", "aac"),
        ("a.mxf", "mpeg2video", "pcm_s16le"),
    ],
)
@pytest.mark.parametrize("with_sound", [True, False])
def test_a_whole_film_lacks_nothing(tmp_path, name, codec, audio, with_sound):
    layout = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = make_clip(tmp_path / name, codec=codec, audio=audio if with_sound else None, layout=layout, frames=40)
    assert damage_of(source) == (40, None)


def test_a_hole_in_matroska_is_told_with_its_place(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", audio="flac", frames=60)
    data = source.read_bytes()
    clusters = [place for place in range(len(data)) if data.startswith(b"\x1f\x43\xb6\x75", place)]
    source.write_bytes(data[: clusters[1]] + data[clusters[2] :])
    reader = FilmReader(source)
    times = [round(float(frame.time * reader.facts.time_base), 2) for frame in reader.frames()]
    start, end = next((a, b) for a, b in itertools.pairwise(times) if b - a > 0.1)
    assert 30 < len(times) < 60
    assert f"{60 - len(times)} frames are missing ({start + 0.04:.2f}-{end:.2f} s)" in reader.damage


def test_pictures_that_were_dropped_from_an_otherwise_even_film_are_told(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", frames=60)
    lacking = remuxed(source, tmp_path / "b.mkv", lambda number, packet: not 20 <= number < 24)
    count, damage = damage_of(lacking)
    assert count == 56
    assert damage == "4 frames are missing (0.83-1.00 s)"


def test_pictures_that_several_places_of_a_transport_stream_lack_are_told(tmp_path):
    source = make_clip(tmp_path / "a.ts", codec="mpeg2video", options={"g": "1"}, audio="mp2", frames=60)
    lacking = remuxed(
        source,
        tmp_path / "b.ts",
        lambda number, packet: packet.stream.type == "audio" or number not in (20, 21, 30, 40),
    )
    count, damage = damage_of(lacking)
    assert count == 56
    assert damage.startswith("4 frames are missing (")
    assert damage.count("-") == 3


def test_a_film_of_variable_rate_lacks_nothing(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", frames=60)
    uneven = np.random.default_rng(0).random(60) < 0.6
    lacking = remuxed(source, tmp_path / "b.mkv", lambda number, packet: number in (0, 59) or uneven[number])
    assert damage_of(lacking)[1] is None


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_packets_of_mp4_that_give_no_picture_are_told(tmp_path, options):
    source = remuxed(
        make_clip(tmp_path / "a.mov", frames=60, codec="mjpeg", layout="yuvj420p"), tmp_path / "b.mov", options=options
    )
    with av.open(str(source)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(source.read_bytes())
    for pos, size in places[30:33]:
        data[pos : pos + size] = bytes(size)
    source.write_bytes(data)
    count, damage = damage_of(source)
    assert (count, damage) == (57, "3 of 60 frames are missing (1.25-1.38 s)")


def test_after_a_hole_in_an_avi_pictures_and_sound_come_when_they_are_due(tmp_path):
    source = make_clip(tmp_path / "a.avi", codec="mjpeg", layout="yuvj420p", audio="pcm_s16le", frames=60)
    with av.open(str(source)) as container:
        chunks = [(p.stream_index, p.pos, p.size) for p in container.demux() if p.size]
    film = [pos for index, pos, _ in chunks if index == 0]
    data = source.read_bytes()
    source.write_bytes(data[: film[20] + 50] + data[film[25] + 50 :])  # 5 pictures and the sound between them
    reader = FilmReader(source)
    times = [frame.time for frame in reader.frames()]
    assert times == [*range(21), *range(26, 60)]
    assert reader.damage == "5 of 60 frames are missing (0.88-1.08 s)"


@pytest.mark.parametrize("name", ["a.mpg", "a.vob", "a.ts", "a.mkv"])
def test_a_film_whose_flags_show_every_second_picture_for_three_fields_lacks_nothing(tmp_path, name):
    source = make_clip(tmp_path / "a.m2v", codec="mpeg2video", options={"g": "12", "bf": "0"}, rate=30, frames=40)
    flagged = bytearray(source.read_bytes())
    place = number = 0
    while (place := flagged.find(b"\0\0\1\xb5", place + 1)) >= 0:  # H.262, 6.2.2.3 and 6.2.3.1
        if flagged[place + 4] >> 4 == 1:
            flagged[place + 5] &= ~0x08  # no progressive sequence
        elif flagged[place + 4] >> 4 == 8:
            upper_first, repeat = number % 4 in (0, 3), number % 2 == 0
            flagged[place + 7] = flagged[place + 7] & ~0x82 | upper_first << 7 | repeat << 1
            flagged[place + 8] |= 0x80  # a progressive picture
            number += 1
    source.write_bytes(flagged)
    with av.open(str(source)) as a, av.open(str(tmp_path / name), "w") as b:
        copy, time = b.add_stream_from_template(a.streams.video[0]), 0
        for number, packet in enumerate(packet for packet in a.demux(video=0) if packet.size):
            packet.stream, packet.time_base, packet.duration = copy, Fraction(1, 60), 3 - number % 2
            packet.pts = packet.dts = time + 60
            time += packet.duration
            b.mux(packet)
    reader = FilmReader(tmp_path / name)
    times = [float(frame.time * reader.facts.time_base) for frame in reader.frames()]
    assert {round(60 * (b - a), 1) for a, b in itertools.pairwise(times)} == {2, 3}
    assert (len(times), reader.damage) == (40, None)


@pytest.mark.parametrize(
    ("name", "codec", "audio", "harm"),
    [
        ("a.flv", "libx264", "aac", "cut"),
        ("a.mxf", "mpeg2video", "pcm_s16le", "cut"),
        ("a.mp4", "libx264", "aac", "cut"),  # in fragments
        ("a.mp4", "libx264", "aac", "zeroed"),
        ("a.mkv", "ffv1", "flac", "zeroed"),  # of variable rate
    ],
)
def test_no_hole_ends_without_a_word(tmp_path, name, codec, audio, harm):
    words = {"codec": codec, "audio": audio, "frames": 100, "options": {"g": "12"}, "gray": True}
    if name == "a.mkv":
        uneven = [int(t) for t in np.cumsum([0] + [30 + 17 * (n % 4) for n in range(99)])]
        words |= {"times": uneven, "time_base": Fraction(1, 1000)}
    source = make_clip(tmp_path / name, **words)
    if name == "a.mp4":
        source = remuxed(source, tmp_path / "b.mp4", options={"movflags": "frag_keyframe+empty_moov"})
    assert damage_of(source) == (100, None)
    data = source.read_bytes()
    silent = []
    for start in range(15, 85, 7):
        a, b = len(data) * start // 100, len(data) * (start + 5) // 100
        source.write_bytes(data[:a] + (bytes(b - a) if harm == "zeroed" else b"") + data[b:])
        try:
            count, damage = damage_of(source)
        except ValueError:  # refused
            continue
        silent += [(start, count)] if count < 100 and damage is None else []
    assert not silent
