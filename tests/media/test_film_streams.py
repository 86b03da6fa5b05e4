"""Sound and subtitles that are copied, turned into FLAC, or refused."""

import av
import numpy as np
import pytest
from film_fixture import make_clip, packets, tint

from colorgan.media.film_reader import FilmReader
from colorgan.media.film_streams import OtherStreams
from colorgan.media.film_writer import FilmWriter


def samples(path):
    """The sound of a file, (channels, samples) int32, as far as 24 bits go, and its first time."""
    found, start = [], None
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s32p", layout="stereo")
        for frame in container.decode(audio=0):
            start = float(frame.pts * frame.time_base) if start is None else start
            found += [piece.to_ndarray() for piece in resampler.resample(frame)]
    return np.concatenate(found, axis=1) >> 8, start


@pytest.mark.parametrize("sound", ["pcm_s16le", "pcm_u8", "pcm_alaw"])
def test_sound_that_mp4_cannot_hold_becomes_flac_sample_by_sample(tmp_path, sound):
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio=sound)
    writer = FilmWriter(FilmReader(source), tmp_path / "out.mp4", tmp_path / "parts")
    assert writer.converted == [f"audio stream 1 ({sound}) becomes flac, without loss: .mp4 cannot hold it as it is"]
    tint(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "flac"
    (before, start), (after, later) = samples(source), samples(tmp_path / "out.mp4")
    assert np.array_equal(before, after)
    assert abs(start - later) < 1e-4


@pytest.mark.parametrize(("name", "sound"), [("a.mkv", "pcm_s24le"), ("a.vob", "pcm_dvd")])
def test_24_bits_of_sound_stay_24(tmp_path, name, sound):
    codec = "mpeg2video" if name == "a.vob" else "ffv1"
    source = make_clip(tmp_path / name, codec=codec, audio=sound)
    for out in ("out.mp4", "out.mkv"):
        tint(source, tmp_path / out)
        assert np.array_equal(samples(source)[0], samples(tmp_path / out)[0])


def test_what_would_lose_is_refused_by_name_with_what_mends_it(tmp_path):
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio="pcm_f32le")
    with pytest.raises(ValueError, match=r"\.mp4 cannot hold audio stream 1 \(pcm_f32le\); .* ends in \.mkv or \.mov"):
        OtherStreams(source, tmp_path / "out.mp4")


def test_what_can_be_copied_is(tmp_path):
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio="pcm_s16le")
    for out in ("out.mkv", "out.mov"):
        tint(source, tmp_path / out)
        joined = [b"".join(data for _, data in packets(path, "audio")) for path in (source, tmp_path / out)]
        assert joined[0] == joined[1]
