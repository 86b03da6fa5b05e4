"""What a hundred thousand photos cost: python benchmarks/data_scale.py FOLDER [--photos 100000].

Links the photos of FOLDER until there are enough of them, then measures seconds until the first batch, with a cold and
with a warm cache (that of the file system is warm in both); photos/s of the loader alone, beside those of a training
step (benchmarks/training_speed.py measures them); memory of each worker's own over an epoch; and decoding on one core.
"""

import argparse
import gc
import io
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from colorgan.data import ColorizationDataModule, FolderSource
from colorgan.data.examine import examine_photo
from colorgan.data.library import write_manifest
from colorgan.data.transforms import random_view
from colorgan.media.photo import PHOTO_ENDINGS


@contextmanager
def timed(label: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"| {label} | {time.perf_counter() - start:.1f} s |", flush=True)


def link_copies(folder: Path, target: Path, num_photos: int) -> None:
    photos = sorted(file.resolve() for file in folder.rglob("*") if file.suffix.lower() in PHOTO_ENDINGS)
    made = 0
    for copy in count():
        (target / f"{copy:04d}").mkdir(parents=True)
        for number, photo in enumerate(photos[: num_photos - made]):
            (target / f"{copy:04d}" / f"{number:06d}{photo.suffix}").hardlink_to(
                photo
            )  # symbolic links to one photo count once
        made += min(len(photos), num_photos - made)
        if made == num_photos:
            return


def own_memory() -> float:
    """Mean of the memory, in MB, that each child has for itself alone."""
    own = []
    for child in multiprocessing.active_children():
        lines = Path(f"/proc/{child.pid}/smaps_rollup").read_text().splitlines()
        own.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024)
    return float(np.mean(own)) if own else 0.0


def begin(folder: Path, cache: Path, options: argparse.Namespace) -> ColorizationDataModule:
    module = ColorizationDataModule(
        FolderSource(str(folder)), store_size=options.size, cache_dir=str(cache), num_workers=options.workers
    )
    module.examine(min_size=options.size)
    steps = len(module.library.splits["train"]) // options.batch  # type: ignore[union-attr]
    sizes = {"image_size": options.size, "batch_size": options.batch, "num_steps": steps}
    module.begin_stage(gray_rule="luma601", stage_index=1, **sizes)
    step = SimpleNamespace(steps=0)
    module.trainer = SimpleNamespace(global_rank=0, world_size=1, lightning_module=step)  # type: ignore[assignment]
    return module


def decoding(sizes: tuple[tuple[int, int], ...] = ((256, 256), (500, 375))) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for width, height in sizes:
        small = Image.fromarray(rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        small.resize((width, height), Image.Resampling.BICUBIC).save(buffer, format="JPEG", quality=90)
        source = SimpleNamespace(open=lambda row: Image.open(io.BytesIO(row["bytes"])))
        row = {"bytes": buffer.getvalue(), "name": ""}
        for label, work in (
            ("decode and crop", lambda row=row: random_view(
                np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")), 128, rng, min_crop=0.6)),
            ("examine", lambda row=row, source=source: examine_photo(row, source)),
        ):  # fmt: skip
            start = time.process_time()
            for _ in range(200):
                work()
            rate = 200 / (time.process_time() - start)
            print(f"| {label}, {width}x{height}, {len(row['bytes']) / 1e3:.0f} kB, one core | {rate:.0f} photos/s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--step", type=float, default=100, help="photos/s of the training step alone, to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary, "photos"), Path(temporary, "cache")
        link_copies(options.folder, folder, options.photos)
        print(f"| {options.photos} photos, {options.size} px, batch {options.batch} | |\n| --- | ---: |")
        for label in ("cold", "warm"):
            with timed(f"first batch, {label}"):
                module = begin(folder, cache, options)
                write_manifest(module.library, Path(temporary, "manifest.csv"))  # type: ignore[arg-type]
                batches = iter(module.train_dataloader())
                next(batches)
        gc.collect()
        steps, seen = module.num_steps, 1
        memory, start = [own_memory()], time.perf_counter()
        for tenth in range(1, 11):
            until = steps * tenth // 10
            seen += sum(1 for _ in islice(batches, until - seen))
            if tenth < 10:  # behind the last batch workers end
                memory.append(own_memory())
        rate = seen * options.batch / (time.perf_counter() - start)
        print(f"| loader alone, {options.workers} workers, one epoch | {rate:.0f} photos/s |")
        print(f"| the same, times a step of {options.step:.0f} photos/s | {rate / options.step:.1f} |")
        shown = ", ".join(f"{value:.0f}" for value in memory)
        print(f"| memory of a worker's own over the epoch, in tenths | {shown} MB |")
    decoding()


if __name__ == "__main__":
    main()
