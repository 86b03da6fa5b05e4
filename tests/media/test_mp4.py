"""MP4 files that lack bytes before their index."""

import numpy as np
import pytest
from film_fixture import make_clip, packets, pictures, tint

from colorgan.media.film_reader import FilmReader


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
    ],
)
def test_what_lies_behind_a_hole_is_found(tmp_path, name, codec, layout):
    source = make_clip(
        tmp_path / name, codec=codec, layout=layout, audio="pcm_s16le" if name == "a.mov" else "aac", frames=60
    )
    whole, sound = pictures(source), packets(source, "audio")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2] + data[len(data) * 55 // 100 :])
    reader = FilmReader(source)
    frames = {frame.time: frame.luma for frame in reader.frames()}
    assert 50 < len(frames) < 60
    assert f"{60 - len(frames)} of 60 frames" in reader.damage
    unit, depth = reader.facts.time_base, reader.facts.depth
    if depth == 8:
        first = [np.array_equal(luma, frames.get(round(time / unit))) for time, luma, _ in whole[:25]]
        assert all(first)
    tint(source, tmp_path / "out.mkv")
    kept = {data for _, data in packets(tmp_path / "out.mkv", "audio")}
    assert sum(data in kept for _, data in sound) > 0.9 * len(sound)


def test_without_an_index_what_can_be_done_is_told(tmp_path):
    source = make_clip(tmp_path / "a.mp4", frames=60)
    source.write_bytes(source.read_bytes()[:1500])
    with pytest.raises(ValueError, match="bytes are missing, and with them its index: copy it anew, or mend it first"):
        FilmReader(source)


def test_a_hole_at_the_last_picture_leaves_those_before(tmp_path):
    source = make_clip(tmp_path / "a.mp4", audio="aac", frames=20)  # the fixture's sound comes last
    data = source.read_bytes()
    last = max(data.find(sound) for _, sound in packets(source, "audio"))
    source.write_bytes(data[: last - 2000] + data[last - 1000 :])
    reader = FilmReader(source)
    count = len(list(reader.frames()))
    assert count >= 17  # the decoder may drop some that it holds
    assert f"{20 - count} of 20 frames are missing" in reader.damage
