"""Measure speed and memory of colorizing a film: its parts alone, all together, and what comes out.

    python benchmarks/film_speed.py CHECKPOINT [--frames 2000] [--width 640] [--height 360] [--engine auto] [--smooth 0]

The film pans over a built-in photo, with grain, and has sound. Decode, network and encode are timed alone, each on all
cores, on the first frames. The whole cannot be faster than the slowest of them, nor than their work by the number of
cores. Peak memory is that of `colorgan colorize` in a process of its own, for a tenth of the film and for all of it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.data import coffee

from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.pipeline import Colored, colorize_segments, leave_cores
from colorgan.media.film_reader import FilmReader
from colorgan.media.film_writer import FilmWriter

_RUN = """
import runpy, sys, json
sys.argv = ["colorgan", *json.loads(sys.argv[1])]
try:
    runpy.run_module("colorgan.cli.main", run_name="__main__")
finally:
    # Not getrusage's: a process inherits that of the one which started it.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak", int(peak.split()[1]) / 1024, file=sys.stderr)
"""


def main() -> None:
    """Make the films, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--alone", type=int, default=480, help="frames that each part alone is timed on")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--smooth", type=float, default=0.0, help="of the whole; 0.8 as films are colored by default")
    parser.add_argument("--out", default=".mp4", choices=[".mp4", ".mkv"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film, short = folder / "film.mp4", folder / "short.mp4"
        for path, frames in ((film, options.frames), (short, options.frames // 10)):
            make_film(path, frames=frames, width=options.width, height=options.height)
        alone = time_parts(film, options, folder)
        _, peak_short = run_whole(short, folder / f"short_color{options.out}", options)
        seconds, peak = run_whole(film, folder / f"film_color{options.out}", options)
        print_results(options, alone, seconds, (peak_short, peak), kept(film, folder / f"film_color{options.out}"))


def make_film(path: Path, *, frames: int, width: int, height: int) -> None:
    """Write an H.264 film with AAC sound at 24000/1001 frames a second."""
    rate, random = Fraction(24000, 1001), np.random.default_rng(0)
    photo = np.array(Image.fromarray(coffee()).resize((width + 256, height + 128)))
    grain = random.normal(0, 4, (8, height, width, 1)).astype(np.float32)
    with av.open(str(path), "w") as container:
        film, sound = container.add_stream("libx264", rate=rate), container.add_stream("aac", rate=48000)
        film.width, film.height, film.pix_fmt = width, height, "yuv420p"
        samples = 0
        for number in range(frames):
            left, top = abs(number % 512 - 256), abs(number % 256 - 128)
            view = photo[top : top + height, left : left + width] + grain[number % 8]
            picture = av.VideoFrame.from_ndarray(view.clip(0, 255).astype(np.uint8), format="rgb24")
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(film.encode(picture.reformat(format="yuv420p")))
            while samples < (number + 1) / rate * 48000:
                tone = 0.3 * np.sin(np.arange(samples, samples + 1024) * 0.05, dtype=np.float32)
                piece = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
                piece.sample_rate, piece.pts, piece.time_base = 48000, samples, Fraction(1, 48000)
                container.mux(sound.encode(piece))
                samples += 1024
        container.mux(film.encode(None))
        container.mux(sound.encode(None))


def time_parts(film: Path, options: argparse.Namespace, folder: Path) -> dict[str, tuple[float, float]]:
    """Time decode, network (with bringing chroma to full size) and encode alone: seconds and core seconds a frame."""
    reader = FilmReader(film)
    colorizer = Colorizer.load(options.checkpoint, device="cpu", engine=options.engine, pictures=options.frames)
    count, seconds = min(options.alone, options.frames), {}
    batch = {"batch_size": options.batch}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started, work = time.perf_counter(), time.process_time()
        yield
        seconds[name] = ((time.perf_counter() - started) / count, (time.process_time() - work) / count)

    with timed("decode"):
        frames = list(islice(reader.frames(), count))
    with leave_cores(colorizer.engine):
        deque(colorize_segments(iter(frames[:16]), lambda _: colorizer, reader.facts, **batch), maxlen=0)
        with timed("network"):
            items = list(colorize_segments(iter(frames), lambda _: colorizer, reader.facts, **batch))
    writer = FilmWriter(reader, folder / f"alone{options.out}", folder)
    with timed("encode"), writer.segment(0, frames_before=0):
        for item in items:
            if isinstance(item, Colored):
                writer.write(*item)
    return seconds


def run_whole(film: Path, out: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Run the command in a process of its own; returns seconds a frame, without the start of Python, and peak MiB."""
    words = ["colorize", str(film), "--checkpoint", options.checkpoint, "--out", str(out), "--device", "cpu"]
    words += ["--batch", str(options.batch), "--recolor", "--engine", options.engine]
    words += ["--smooth", str(options.smooth)]
    result = subprocess.run([sys.executable, "-c", _RUN, json.dumps(words)], capture_output=True, text=True, check=True)
    speed = float(result.stdout.rpartition("(")[2].split()[0])
    return 1 / speed, float(result.stderr.rpartition("peak")[2])


def kept(film: Path, colored: Path) -> dict[str, str]:
    """Compare sound and duration of two films."""
    sound, duration, counts = [], [], []
    for path in (film, colored):
        with av.open(str(path)) as container:
            sound.append([(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size])
            duration.append(Fraction(container.duration, av.time_base))
        with av.open(str(path)) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    return {
        "frames": " -> ".join(map(str, counts)),
        "sound packets identical": f"{sound[0] == sound[1]} ({len(sound[0])})",
        "duration (s)": " -> ".join(f"{float(value):.3f}" for value in duration),
    }


def print_results(
    options: argparse.Namespace,
    alone: dict[str, tuple[float, float]],
    whole: float,
    peaks: tuple[float, float],
    facts: dict[str, str],
) -> None:
    table = Table(title=f"{options.frames} frames of {options.width}x{options.height} to {options.out}")
    table.add_column("what")
    table.add_column("value", justify="right")
    for name, (seconds, work) in alone.items():
        table.add_row(f"{name} alone", f"{1e3 * seconds:.1f} ms a frame, {1e3 * work:.1f} ms of a core")
    table.add_row("the whole", f"{1e3 * whole:.1f} ms a frame, {1 / whole:.1f} frames/s")
    slowest = max(seconds for seconds, _ in alone.values())
    shared = sum(work for _, work in alone.values()) / len(os.sched_getaffinity(0))
    table.add_row("the whole by the slowest alone", f"{whole / slowest:.2f}")
    table.add_row("the whole by all work on all cores", f"{whole / shared:.2f}")
    table.add_row(f"peak at {options.frames // 10} frames", f"{peaks[0]:.0f} MiB")
    table.add_row(f"peak at {options.frames} frames", f"{peaks[1]:.0f} MiB ({peaks[1] / peaks[0] - 1:+.1%})")
    for name, value in facts.items():
        table.add_row(name, value)
    Console().print(table)


if __name__ == "__main__":
    main()
