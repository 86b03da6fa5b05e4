"""Measure each engine and precision against torch: how far its colours are, and how fast it is.

    python benchmarks/engines.py CHECKPOINT PHOTOS [--count 200] [--size 256] [--batches 1 8] [--rounds 5]

Parity: the photos, evenly spaced in the order of their names, turned gray, shorter side at `--size`, each whole. Speed:
squares of that size, engines interleaved, the median of all rounds (--rounds 0 leaves it out). `as loaded` is the
generator without any preparation. Nothing is read from or written to the cache of conversions.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from colorgan.checkpoint import find_checkpoint, load_generator
from colorgan.color import rgb_to_gray
from colorgan.colorize.engines import Candidate, TorchEngine, facts_of, has_bf16, make_engine
from colorgan.colorize.graph import to_onnx, write_onnx, write_openvino
from colorgan.colorize.parity import Difference, compare
from colorgan.files import file_hash

_ENDINGS = {".jpg", ".jpeg", ".png"}
Engine = Callable[[Tensor], Tensor]


def main() -> None:
    """Convert, compare, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    plain = load_generator(options.checkpoint)
    exact = TorchEngine(load_generator(options.checkpoint), "cpu")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        engines = dict(open_all(find_checkpoint(options.checkpoint), Path(folder)))
        print(f"converted and opened in {time.perf_counter() - started:.0f} s")
        speeds = time_all({"as loaded": plain, "torch fp32": exact, **engines}, options)
        grays = list(read_grays(options.photos, options.count, options.size))
        differences = {name: compare(engine, exact, grays) for name, engine in engines.items()}
    print_table(speeds, differences, options, len(grays))


def open_all(checkpoint: Path, folder: Path) -> Iterator[tuple[str, Engine]]:
    """Make each engine in each precision that there is here."""
    facts, generator = facts_of(checkpoint, file_hash(checkpoint), "fp32"), load_generator(checkpoint)
    rule = str(facts["gray_rule"])
    exact = to_onnx(generator, facts)
    for precision, model in (("fp32", exact), ("fp16", to_onnx(generator, facts, half=True))):
        graph, pair = folder / f"{precision}.onnx", folder / f"{precision}.xml"
        write_onnx(model, graph)
        yield f"onnx {precision}", make_engine(Candidate("onnx", precision), graph, rule)
        write_openvino(exact, pair, half=precision == "fp16")
        yield f"openvino {precision}", make_engine(Candidate("openvino", precision), pair, rule)
    if has_bf16():
        yield "openvino bf16", make_engine(Candidate("openvino", "bf16"), folder / "fp32.onnx", rule)


def read_grays(folder: Path, count: int, size: int) -> Iterator[Tensor]:
    """Read photos as gray, the shorter side brought to a size."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    for place in np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int):
        photo = torch.tensor(np.asarray(Image.open(files[place]).convert("RGB"))).permute(2, 0, 1)[None].float() / 255
        scale = size / min(photo.shape[-2:])
        shape = [round(side * scale) for side in photo.shape[-2:]]
        yield rgb_to_gray(F.interpolate(photo, shape, mode="bilinear", antialias=True)).clamp(0, 1)


@torch.inference_mode()
def time_all(engines: dict[str, Engine], options: argparse.Namespace) -> dict[str, list[float]]:
    """Measure pictures a second of each engine, for each size of a batch."""
    seconds: dict[tuple[str, int], list[float]] = {}
    if not options.rounds:
        options.batches = []
    for _ in range(options.rounds + 1):
        for batch in options.batches:
            gray = torch.rand(batch, 1, options.size, options.size)
            for name, engine in engines.items():
                started = time.perf_counter()
                engine(gray)
                seconds.setdefault((name, batch), []).append(time.perf_counter() - started)
    return {
        name: [batch / statistics.median(seconds[name, batch][1:]) for batch in options.batches] for name in engines
    }


def print_table(
    speeds: dict[str, list[float]], differences: dict[str, Difference], options: argparse.Namespace, count: int
) -> None:
    table = Table(title=f"{count} photos and squares at {options.size} px, {torch.get_num_threads()} threads")
    columns = [f"img/s, batch {batch}" for batch in options.batches]
    for column in ("engine", *columns, "mean", "99.9 %", "worst", "PSNR", "colorfulness", "refused"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    for name, speed in speeds.items():
        values = [
            f"{value:.1f} ({value / plain:.1f}x)" for value, plain in zip(speed, speeds["as loaded"], strict=True)
        ]
        found = differences.get(name)
        if found is not None:
            levels = [f"{value:.2g}" for value in (found.mean, found.high, found.worst)]
            values += [*levels, f"{found.psnr:.1f}", f"{found.colorfulness:+.3f}", found.beyond() or "no"]
        table.add_row(name, *values)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
