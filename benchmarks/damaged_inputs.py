"""Damaged inputs, cut off and with flipped bits: each must be taken or refused in a line, in time, without a traceback.

python benchmarks/damaged_inputs.py --count 500 --seed 0

Kinds: a photo, a film and a checkpoint given to `colorgan colorize`, a checkpoint to `colorgan inspect`, a run's
`last.ckpt`, `config.yaml` and `manifest.csv` and a typo in a config given to `train.py`.
"""

import argparse
import contextlib
import io
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from PIL import Image

_SECONDS = 60  # a command may take
_FORMATS = (".jpg", ".png", ".webp", ".tif", ".gif", ".bmp", ".ppm")


class TooSlowError(BaseException):
    """A command did not end in time."""


def run(main: Callable[[], object], *words: object) -> tuple[int, str]:
    """Run a command in this process; returns exit code and standard error. Code -1: it broke or hung."""
    from colorgan.errors import one_line_errors

    def ring(signum: int, frame: object) -> None:
        raise TooSlowError

    sys.argv = ["command", *map(str, words)]
    error, code = io.StringIO(), 0
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(_SECONDS)
    try:
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()), one_line_errors():
            main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        return -1, traceback.format_exc()
    finally:
        signal.alarm(0)
    return code, error.getvalue()


def damage(content: bytes, rng: random.Random) -> bytes:
    """Cut a file off, or flip up to eight of its bits."""
    if rng.random() < 0.5:
        return content[: rng.randrange(len(content))]
    flipped = bytearray(content)
    for _ in range(rng.choice((1, 1, 8))):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


class Inputs:
    """Whole files and the commands that take them.

    Args:
        folder: a temporary one.
        rng: draws the damage.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        from colorgan.cli import main as cli
        from colorgan.cli import train

        self.folder, self.rng, self.train, self.cli = folder, rng, train.main, cli.main
        places = [f"runs_dir={folder}/runs", f"data.cache_dir={folder}/cache", "trainer.enable_progress_bar=false"]
        self.words = ["experiment=smoke", "name=run", "schedule.times=0", *places]
        self.run = folder / "runs" / "run"
        self._stop_a_run()
        self.last = (self.run / "01-generator_pretrain" / "last.ckpt").read_bytes()
        self.config, self.manifest = ((self.run / name).read_bytes() for name in ("config.yaml", "manifest.csv"))
        code, error = run(self.train, *self.words)
        assert code == 0, error
        self.checkpoint = self.run / "final.safetensors"
        self.photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8))

    def _stop_a_run(self) -> None:
        from colorgan.stages.base import Stage

        before = Stage.take_step

        def stopping(stage: Stage, *args: object) -> object:
            loss = before(stage, *args)  # type: ignore[arg-type]
            if stage.steps == 5:
                signal.raise_signal(signal.SIGTERM)
            return loss

        Stage.take_step = stopping  # type: ignore[method-assign, assignment]
        code, error = run(self.train, *self.words)
        Stage.take_step = before  # type: ignore[method-assign]
        assert code == 143, error

    def damaged_photo(self) -> tuple[int, str]:
        """A photo to colorize."""
        file = self.folder / f"photo{self.rng.choice(_FORMATS)}"
        self.photo.save(file)
        file.write_bytes(damage(file.read_bytes(), self.rng))
        return run(self.cli, "colorize", file, "-c", self.checkpoint, "-o", self.folder / "out", "--overwrite")

    def damaged_film(self) -> tuple[int, str]:
        """A film to colorize."""
        suffix = self.rng.choice((".mp4", ".mkv", ".avi", ".webm"))
        codec = {".avi": "mpeg4", ".webm": "libvpx"}.get(suffix, "libx264")
        file = self.folder / f"film{suffix}"
        with av.open(str(file), "w") as container:
            stream = container.add_stream(codec, rate=24)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for level in range(20):
                picture = np.full((32, 48, 3), 10 * level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        file.write_bytes(damage(file.read_bytes(), self.rng))
        return run(self.cli, "colorize", file, "-c", self.checkpoint, "-o", self.folder / "color.mp4", "--overwrite")

    def damaged_checkpoint(self) -> tuple[int, str]:
        """A checkpoint to colorize with or to inspect."""
        file, photo = self.folder / "damaged.safetensors", self.folder / "whole.png"
        self.photo.save(photo)
        file.write_bytes(damage(self.checkpoint.read_bytes(), self.rng))
        if self.rng.random() < 0.3:
            return run(self.cli, "inspect", file)
        return run(self.cli, "colorize", photo, "-c", file, "-o", self.folder / "out", "--overwrite")

    def damaged_run(self) -> tuple[int, str]:
        """A run that goes on with one of its files damaged."""
        stage = self.run / "01-generator_pretrain"
        for name in ("handover.safetensors", "done.json"):
            (stage / name).unlink(missing_ok=True)
        files = {stage / "last.ckpt": self.last, self.run / "config.yaml": self.config}
        files[self.run / "manifest.csv"] = self.manifest
        for file, content in files.items():
            file.write_bytes(content)
        victim = self.rng.choice(list(files))
        victim.write_bytes(damage(files[victim], self.rng))
        return run(self.train, *self.words)

    def damaged_command(self) -> tuple[int, str]:
        """A command with a damaged word."""
        words = list(self.words)
        words[self.rng.randrange(3)] = damage(b"schedule.stages.gan.steps=8", self.rng).decode(errors="replace")
        return run(self.train, *words, "plan=10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    rng, folder = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="damaged-"))
    inputs, outcomes, failures, started = Inputs(folder, rng), Counter[tuple[str, str]](), 0, time.monotonic()
    kinds = [
        inputs.damaged_photo,
        inputs.damaged_checkpoint,
        inputs.damaged_film,
        inputs.damaged_photo,
        inputs.damaged_checkpoint,
    ]
    kinds += [inputs.damaged_command, inputs.damaged_run]
    for number in range(options.count):
        kind = kinds[number % len(kinds)]
        code, error = kind()
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        refused = code == 2 and (len(lines) == 1 or "Usage:" in error)
        if code not in (0, 2) or "Traceback" in error or (code == 2 and not refused):
            failures += 1
            print(f"--- {number} {kind.__name__}: exit code {code}\n{error[-3000:]}")
        outcomes[kind.__name__, {0: "taken or mended", 2: "refused in a line"}.get(code, "broken")] += 1
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:20} {outcome:20} {count}")
    print(f"{options.count} inputs in {time.monotonic() - started:.0f} s, {failures} failures")
    shutil.rmtree(folder)
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
