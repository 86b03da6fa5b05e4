"""Clips for tests, made with PyAV: a photo that is panned over, in any format, with sound, subtitles, tags."""

from fractions import Fraction

import av
import numpy as np
from skimage.data import astronaut

RATE = Fraction(24000, 1001)


def make_clip(
    path,
    *,
    frames=20,
    size=(64, 48),
    codec="libx264",
    layout="yuv420p",
    times=None,
    time_base=1 / RATE,
    audio=None,
    subtitles=None,
    tags=None,
    matrix=None,
    gray=False,
    chapters=None,
):
    """Write a clip; `times` are in `time_base`, `tags` are set on the codec, `matrix` turns the picture."""
    width, height = size
    with av.open(str(path), "w") as container:
        film = container.add_stream(codec, rate=RATE)
        film.width, film.height, film.pix_fmt = width, height, layout
        film.codec_context.time_base = film.time_base = time_base
        for name, value in (tags or {}).items():
            setattr(film.codec_context, name, value)
        film.set_display_matrix(matrix)
        sound = container.add_stream(audio, rate=48000) if audio else None
        text = container.add_mux_stream(subtitles, time_base=Fraction(1, 1000)) if subtitles else None
        if chapters:
            container.set_chapters(chapters)
        container.metadata["title"] = "A walk"
        for number in range(frames):
            rgb = photo(number, size=size, gray=gray)
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=layout)
            picture.pts, picture.time_base = times[number] if times else number, time_base
            container.mux(film.encode(picture))
        container.mux(film.encode(None))
        if sound is not None:
            _mux_sound(container, sound, seconds=float(frames / RATE))
        if text is not None:
            _mux_text(container, text)
    return path


def photo(number, *, size, gray=False):
    """The picture of a frame, (H, W, 3) uint8."""
    width, height = size
    rgb = np.roll(astronaut()[60 : 60 + height * 2 : 2, 120 : 120 + width * 2 : 2], number, axis=1)
    return rgb.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2) if gray else np.ascontiguousarray(rgb)


def _mux_sound(container, stream, *, seconds):
    samples = int(48000 * seconds)
    tone = 0.3 * np.sin(np.arange(samples) * 0.05, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = 48000, 0
    resampler = av.AudioResampler(format=stream.format.name, layout="stereo", rate=48000, frame_size=1024)
    for piece in resampler.resample(frame) + resampler.resample(None):
        container.mux(stream.encode(piece))
    container.mux(stream.encode(None))


def _mux_text(container, stream):
    for start, words in ((0, b"First line"), (400, b"Second line")):
        packet = av.Packet(words)
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = 300, Fraction(1, 1000), stream
        container.mux(packet)


def packets(path, kind):
    """(time in seconds, bytes) of each packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def pictures(path):
    """The frames of a film: a list of (time in seconds, luma plane, rgb), in its own size and stored direction."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].copy()
            found.append((frame.pts * frame.time_base, luma, frame.to_ndarray(format="rgb24")))
    return found
