"""Sound and subtitles that are copied, turned into FLAC, or refused."""

import io

import av
import numpy as np
import pytest
from film_fixture import facts, make_clip, packets, tint
from PIL import Image

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


def test_a_file_that_holds_it_as_flac_is_offered_too(tmp_path):
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio="adpcm_ms")
    with pytest.raises(ValueError, match=r"\.mov cannot hold audio stream 1 \(adpcm_ms\); .* in \.mkv or \.mp4"):
        OtherStreams(source, tmp_path / "out.mov")


def test_what_can_be_copied_is(tmp_path):
    source = make_clip(tmp_path / "a.avi", codec="mpeg4", audio="pcm_s16le")
    for out in ("out.mkv", "out.mov"):
        tint(source, tmp_path / out)
        joined = [b"".join(data for _, data in packets(path, "audio")) for path in (source, tmp_path / out)]
        assert joined[0] == joined[1]


def test_the_last_sound_of_packets_without_durations_is_heard(tmp_path):
    source = make_clip(tmp_path / "a.nut", codec="ffv1", audio="flac")
    tint(source, tmp_path / "out.mp4")
    assert len(packets(source, "audio")) == len(packets(tmp_path / "out.mp4", "audio")) > 5


@pytest.mark.parametrize("out", ["out.mkv", "out.mp4"])
def test_attachments_and_covers_are_kept_or_named(tmp_path, out):
    cover = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(cover, "JPEG")
    source = tmp_path / "b.mkv"
    with av.open(str(make_clip(tmp_path / "a.mkv", codec="ffv1"))) as clip, av.open(str(source), "w") as container:
        film = container.add_stream_from_template(clip.streams.video[0], opaque=True)
        container.add_attachment("font.ttf", "font/ttf", b"letters")
        container.add_attachment("front.jpg", "image/jpeg", cover.getvalue())
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = film
                container.mux(packet)
    tint(source, tmp_path / out)
    with av.open(str(tmp_path / out)) as container:
        covers = [stream for stream in container.streams.video if stream.disposition & 1 << 10]
        assert [bytes(next(container.demux(stream))) for stream in covers] == [cover.getvalue()]
        attached = [(stream.name, stream.data) for stream in container.streams if stream.type == "attachment"]
    assert attached == ([("font.ttf", b"letters")] if out == "out.mkv" else [])
    writer = FilmWriter(FilmReader(source), tmp_path / out, tmp_path / "parts")
    assert writer.left_out == ([] if out == "out.mkv" else ["attachment stream 1 (font.ttf)"])


def test_a_tape_goes_into_mp4_and_its_timecode_stays_or_is_named(tmp_path):
    source = make_clip(tmp_path / "a.dv", codec="dvvideo", size=(720, 576), frames=2, audio="pcm_s16le", rate=25)
    for out, left_out in (("out.mkv", []), ("out.mov", ["timecode 00:00:00:00 (.mkv keeps it)"])):
        writer = FilmWriter(FilmReader(source), tmp_path / out, tmp_path / "parts")
        assert writer.left_out == left_out
        tint(source, tmp_path / out)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["TIMECODE"] == "00:00:00:00"


def test_tags_that_a_file_cannot_hold_are_named(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", frames=2, words={"DIRECTOR": "Ozu", "comment": "quiet"})
    assert FilmWriter(FilmReader(source), tmp_path / "out.mp4", tmp_path / "parts").left_out == ["tag DIRECTOR"]
    assert FilmWriter(FilmReader(source), tmp_path / "out.mkv", tmp_path / "parts").left_out == []
    tint(source, tmp_path / "out.mp4")
    assert facts(tmp_path / "out.mp4")["title"] == "A walk"
