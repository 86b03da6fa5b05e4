"""Damage films in the middle and colorize them: is each complete, or told with what is missing?

    python benchmarks/damaged_films.py --inputs 300 --work /tmp/damaged_films

Ten kinds of film (120 frames of 64x48, a sound) are each damaged in three ways, by a seed: a block is cut out, zeroed,
or some of its bits are flipped, anywhere behind the header. Each goes through `colorize_film` with a small untrained
generator. Allowed are: as many frames as before and exit code 0; or exit code 2 with what is missing, in one line.
"""

import argparse
import contextlib
import io
import sys
from collections import Counter
from pathlib import Path

import av
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))
from film_fixture import make_clip

from colorgan.colorize import Colorizer
from colorgan.colorize.film import FilmOptions, colorize_film

FRAMES = 120
KINDS = {
    "h264.mkv": ("libx264", "aac"),
    "ffv1.mkv": ("ffv1", "flac"),
    "mpeg4.avi": ("mpeg4", "mp3"),
    "mjpeg.avi": ("mjpeg", "pcm_s16le"),
    "h264.mp4": ("libx264", "aac"),
    "mpeg4.mp4": ("mpeg4", "aac"),
    "h264.ts": ("libx264", "aac"),
    "mpeg2.ts": ("mpeg2video", "mp2"),
    "mpeg2.vob": ("mpeg2video", "ac3"),
    "mpeg2.mpg": ("mpeg2video", "mp2"),
}
LAYOUTS = {"ffv1": "yuv420p", "mjpeg": "yuvj420p"}
HARM = ("cut", "zeroed", "flipped")


class Red(torch.nn.Module):
    """A generator that reddens."""

    gray_rule = "luma601"

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Add red, take blue."""
        return (gray + torch.tensor([0.08, 0.0, -0.08]).view(1, 3, 1, 1)).clamp(0, 1)


def damage(data: bytes, harm: str, seed: int) -> bytes:
    """Damage a block of 0.2 to 5 % of a file, behind its first 5 %."""
    rng = np.random.default_rng(seed)
    size = int(len(data) * rng.uniform(0.002, 0.05))
    start = int(rng.uniform(0.05 * len(data), 0.95 * len(data) - size))
    block = np.frombuffer(data[start : start + size], np.uint8).copy()
    if harm == "cut":
        return data[:start] + data[start + size :]
    if harm == "zeroed":
        block[:] = 0
    else:
        places = rng.integers(0, size, max(1, size // 50))
        block[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
    return data[:start] + block.tobytes() + data[start + size :]


def count_frames(film: Path) -> int:
    """Count the pictures of a film."""
    with av.open(str(film)) as container:
        return sum(1 for _ in container.decode(video=0))


def colorize(film: Path, out: Path, checkpoint: Path) -> tuple[int, str]:
    """Colorize a film as the command does: exit code and what it said."""
    options = FilmOptions(overwrite=True, recolor=True)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            colorize_film(film, out, lambda _: Colorizer(Red(), working_size=16), checkpoint, options)
        except (ValueError, FileNotFoundError) as error:
            return 2, str(error)
    return 0, said.getvalue()


def main() -> None:
    """Damage, colorize, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=300)
    parser.add_argument("--work", type=Path, default=Path("damaged_films"))
    options = parser.parse_args()
    av.logging.set_level(None)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    checkpoint = options.work / "checkpoint"
    checkpoint.write_text("none")
    table: dict[str, Counter[str]] = {name: Counter() for name in KINDS}
    for number in range(options.inputs):
        name = list(KINDS)[number % len(KINDS)]
        harm = HARM[number // len(KINDS) % len(HARM)]
        whole = options.work / name
        codec, sound = KINDS[name]
        if not whole.exists():
            make_clip(whole, codec=codec, audio=sound, layout=LAYOUTS.get(codec, "yuv420p"), frames=FRAMES, gray=True)
        film = options.work / f"{number:03d}-{harm}-{name}"
        film.write_bytes(damage(whole.read_bytes(), harm, number))
        out = options.work / f"out{number:03d}.mkv"
        code, said = colorize(film, out, checkpoint)
        frames = count_frames(out) if out.exists() else 0
        verdict = judge(code, frames, said)
        table[name][f"{harm}: {verdict}"] += 1
        print(f"{film.name}\t{frames}\t{code}\t{verdict}\t{' '.join(said.split())}", flush=True)
        out.unlink(missing_ok=True)
    print_table(table)


def judge(code: int, frames: int, said: str) -> str:
    """Name what became of an input."""
    if code == 0:
        return "complete" if frames >= FRAMES else "SILENT LOSS"
    if not frames:
        return "refused"
    if frames >= FRAMES:
        return "told, complete"
    return "told, with place" if " s)" in said or " s," in said else "told"


def print_table(table: dict[str, Counter[str]]) -> None:
    """Print a Markdown table of the verdicts."""
    verdicts = sorted({key.partition(": ")[2] for counts in table.values() for key in counts})
    print("\n| film | " + " | ".join(verdicts) + " |\n|---|" + "---|" * len(verdicts))
    for name, counts in table.items():
        sums = [sum(n for key, n in counts.items() if key.endswith(f": {verdict}")) for verdict in verdicts]
        print(f"| {name} | " + " | ".join(map(str, sums)) + " |")


if __name__ == "__main__":
    main()
