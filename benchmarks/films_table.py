"""Colorize 30 films and tabulate what went in and what came out, as Markdown.

    python benchmarks/films_table.py --work /tmp/films_table

Containers, codecs, range, depth, scan and damage; each row is right, or was refused in one sentence before any work.
The network is a small untrained one: nothing here is about colours.
"""

import argparse
import contextlib
import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))
from film_fixture import lumas, make_clip, packets

from colorgan.colorize import Colorizer
from colorgan.colorize.film import FilmOptions, colorize_film
from colorgan.media.film_facts import FilmFacts
from colorgan.media.mp4 import open_film

FRAMES = 24
_HDR10 = "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):hdr10=1"
_PQ = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
_UNEVEN = [int(t) for t in np.cumsum([0] + [30 + 17 * (n % 4) for n in range(FRAMES - 1)])]


class Film(NamedTuple):
    """A film to make, and where it goes."""

    name: str
    codec: str
    layout: str
    sound: str | None
    out: str
    scan: int = 1
    tags: dict[str, int] | None = None
    options: dict[str, str] | None = None
    times: list[int] | None = None
    harm: str = ""
    words: dict[str, bool] | None = None


_FULL, _LIMITED = {"color_range": 2}, {"color_range": 1}
FILMS = [
    Film("a.mp4", "libx264", "yuv420p", "aac", "o.mp4"),
    Film("a.mp4", "libx264", "yuv420p", "aac", "o.mkv", tags=_FULL),
    Film("a.mp4", "libx264", "yuv420p", "aac", "o.mp4", times=_UNEVEN),
    Film("a.mov", "prores_ks", "yuv422p10le", "pcm_s24le", "o.mov"),
    Film("a.mov", "prores_ks", "yuv422p10le", "pcm_s16le", "o.mkv", scan=2),
    Film("a.mov", "v210", "yuv422p10le", "pcm_s16le", "o.mp4", scan=2),
    Film("a.mkv", "ffv1", "gray", "flac", "o.mkv", tags=_LIMITED),
    Film("a.mkv", "ffv1", "gray", "flac", "o.mp4", tags=_FULL),
    Film("a.mkv", "ffv1", "gray16le", "flac", "o.mkv", tags=_LIMITED),
    Film("a.mkv", "ffv1", "yuv422p10le", "pcm_s24le", "o.mkv"),
    Film("a.mkv", "ffv1", "yuv422p10le", "flac", "o.mp4"),
    Film("a.mkv", "ffv1", "yuv444p12le", None, "o.mkv", tags=_FULL),
    Film("a.mkv", "ffv1", "yuv444p12le", None, "o.mov", tags=_FULL),
    Film("a.mkv", "ffv1", "yuv422p", "flac", "o.mp4", scan=3),
    Film("a.mkv", "ffv1", "yuv422p", "flac", "o.mkv", scan=2),
    Film("a.mkv", "ffv1", "yuv422p", "flac", "o.mkv", scan=2, words={"deinterlace": True}),
    Film("a.mkv", "libx265", "yuv420p10le", "aac", "o.mp4", tags=_PQ, options={"x265-params": _HDR10}),
    Film("a.mkv", "libx265", "yuv420p10le", "aac", "o.mkv", tags=_PQ, options={"x265-params": _HDR10}),
    Film("a.avi", "mpeg4", "yuv420p", "mp3", "o.mp4"),
    Film("a.avi", "huffyuv", "yuv422p", "pcm_s16le", "o.mp4"),
    Film("a.avi", "ffv1", "yuv420p", "pcm_f32le", "o.mp4"),
    Film("a.avi", "mjpeg", "yuvj420p", "pcm_s16le", "o.mkv", harm="hole"),
    Film("a.vob", "mpeg2video", "yuv420p", "ac3", "o.mp4", scan=2),
    Film("a.vob", "mpeg2video", "yuv420p", "pcm_dvd", "o.mkv", scan=2),
    Film("a.ts", "libx264", "yuv420p", "aac", "o.mkv", scan=2),
    Film("a.ts", "mpeg2video", "yuv420p", "mp2", "o.mp4", harm="hole"),
    Film("a.webm", "libvpx-vp9", "yuv420p", "libopus", "o.mp4"),
    Film("a.mkv", "ffv1", "yuv420p", "flac", "o.mp4", harm="hole"),
    Film("a.mkv", "libx264", "yuv420p", "aac", "o.mkv", harm="cut off"),
    Film("a.mp4", "libx264", "yuv420p", "aac", "o.mp4", harm="hole"),
]


class Red(torch.nn.Module):
    """A generator that reddens."""

    gray_rule = "luma601"

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Add red, take blue."""
        return (gray + torch.tensor([0.08, 0.0, -0.08]).view(1, 3, 1, 1)).clamp(0, 1)


def make(film: Film, folder: Path) -> Path:
    """Write a film, damaged as the row says."""
    unit = {"time_base": Fraction(1, 1000), "times": film.times} if film.times else {}
    path = make_clip(
        folder / film.name,
        **unit,
        frames=FRAMES,
        codec=film.codec,
        layout=film.layout,
        audio=film.sound,
        scan=film.scan,
        tags=film.tags,
        options=film.options,
        gray=True,
    )
    data = path.read_bytes()
    if film.harm == "hole":
        path.write_bytes(data[: len(data) // 2] + data[len(data) * 6 // 10 :])
    elif film.harm:
        path.write_bytes(data[: len(data) * 6 // 10])
    return path


def colorize(film: Film, source: Path, out: Path) -> tuple[int, str]:
    """Colorize as the command does: exit code and what it said."""
    options = FilmOptions(recolor=True, **(film.words or {}))
    said = io.StringIO()
    (source.parent / "checkpoint").write_text("none")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            colorize_film(source, out, lambda: Colorizer(Red(), working_size=16), source.parent / "checkpoint", options)
        except ValueError as error:
            return 2, said.getvalue() + str(error)
    return 0, said.getvalue()


def row(number: int, film: Film, folder: Path) -> list[str]:
    """Make, colorize and compare one film."""
    source, out = make(film, folder), folder / film.out
    damage = f", {film.harm}" if film.harm else ""
    start = [str(number), f"{film.name[1:]} {film.codec}{damage}", film.out[1:]]
    code, said = colorize(film, source, out)
    said = " ".join(said.replace(f"{folder}/", "").split())
    if not out.exists():
        return [*start, *[""] * 4, "", str(code), said]
    (before, given), (after, kept) = lumas(source), lumas(out)
    before = [np.rot90(luma) for luma in before] if given.quarter_turns else before
    times = [abs(a - b) for a, b in zip(seconds(source), seconds(out), strict=False)]
    return [
        *start,
        f"{len(before)} → {len(after)}",
        f"{1000 * max(times):.1f} ms",
        f"{tags(given)} → {tags(kept)}",
        sound(source, out),
        luma_error(before, after, given, kept) if not film.words else "deinterlaced",
        str(code),
        said,
    ]


def seconds(path: Path) -> list[float]:
    """Read the time of each picture."""
    found: list[av.VideoFrame] = []
    with open_film(path) as container:
        for packet in container.demux(video=0):
            with contextlib.suppress(av.FFmpegError):  # damaged
                found.extend(packet.decode())
    return [picture.time for picture in found]


def tags(facts: FilmFacts) -> str:
    """Word depth, range, scan, matrix and HDR10."""
    scan = {1: "p", 2: "tff", 3: "bff"}[facts.scan]
    bits = f"{facts.depth} {'full' if facts.color_range == 2 else 'limited'} {scan} {facts.matrix}/{facts.transfer}"
    return f"{bits} HDR10" if facts.mastering else bits


def sound(source: Path, out: Path) -> str:
    """Compare sound: the same packets, or the same samples, or neither."""
    try:
        before, after = packets(source, "audio"), packets(out, "audio")
    except StopIteration:
        return "none"
    late = 1000 * float(abs(before[0][0] - after[0][0]))
    if b"".join(data for _, data in before) == b"".join(data for _, data in after):
        return f"copied, {late:.1f} ms"
    same = np.array_equal(samples(source), samples(out))
    return f"{'same samples' if same else 'OTHER'}, {late:.1f} ms"


def samples(path: Path) -> np.ndarray:
    """Decode sound to 24 bits."""
    with open_film(path) as container:
        resampler = av.AudioResampler(format="s32p", layout="stereo")
        found = [piece.to_ndarray() for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    whole: np.ndarray = np.concatenate(found, axis=1) >> 8
    return whole


def luma_error(before: list[np.ndarray], after: list[np.ndarray], given: FilmFacts, kept: FilmFacts) -> str:
    """Measure the largest and mean difference of luma, in levels of the output's depth."""
    factor = 2.0 ** (kept.depth - given.depth)
    height, width = before[0].shape
    pairs = zip(before, after, strict=False)
    apart = [np.abs(a * factor - b[:height, :width]) for a, b in pairs]
    return f"{max(d.max() for d in apart):.0f} (mean {np.mean([d.mean() for d in apart]):.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("films_table"))
    options = parser.parse_args()
    av.logging.set_level(None)
    torch.set_num_threads(1)
    head = "| | film | out | frames | times | depth, range, scan, matrix/transfer | sound | luma | exit | said |"
    print(head + "\n|" + "---|" * 10)
    for number, film in enumerate(FILMS, start=1):
        folder = options.work / f"{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        print("| " + " | ".join(row(number, film, folder)) + " |", flush=True)


if __name__ == "__main__":
    main()
