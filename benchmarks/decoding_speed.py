"""Photos a second and core that a training loader decodes: large JPEGs, read whole and no larger than needed.

    python benchmarks/decoding_speed.py [--size 128] [--photos 12]

The JPEGs (3 and 12 megapixels, quality 85 and 92, 4:2:0) are enlarged from a built-in photo, with grain; a view is cut
from each as in training. CPU seconds of one process, the median over the photos.
"""

import argparse
import io
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import skimage.data
from PIL import Image

from colorgan.data.transforms import random_view
from colorgan.media.photo import read_photo, read_reduced_photo

MIN_CROP = 0.6


def jpegs(width: int, height: int, quality: int, count: int) -> list[bytes]:
    large = Image.fromarray(skimage.data.astronaut()).resize((width, height), Image.Resampling.LANCZOS)
    made = []
    for seed in range(count):
        grain = np.random.default_rng(seed).normal(0, 4, (height, width, 1))
        file = io.BytesIO()
        Image.fromarray((np.asarray(large) + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
        made.append(file.getvalue())
    return made


def seconds_each(files: list[bytes], size: int, read: Callable[[bytes], Image.Image]) -> float:
    taken = []
    for number, file in enumerate(files):
        started = time.process_time()
        random_view(np.asarray(read(file).convert("RGB")), size, np.random.default_rng(number), min_crop=MIN_CROP)
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def main() -> None:
    """Print a row a kind of JPEG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--photos", type=int, default=12)
    arguments = parser.parse_args()
    least = math.ceil(arguments.size / MIN_CROP)
    print(f"{'':28}{'MB':>6}{'whole, 1/s':>12}{'reduced, 1/s':>14}")
    for width, height, quality in ((2048, 1536, 85), (2048, 1536, 92), (4000, 3000, 85), (4000, 3000, 92)):
        files = jpegs(width, height, quality, arguments.photos)
        whole = seconds_each(files, arguments.size, read_photo)
        reduced = seconds_each(files, arguments.size, lambda file: read_reduced_photo(file, least))
        name = f"{width}x{height}, quality {quality}"
        print(f"{name:28}{len(files[0]) / 1e6:6.1f}{1 / whole:12.1f}{1 / reduced:14.1f}", flush=True)


if __name__ == "__main__":
    main()
