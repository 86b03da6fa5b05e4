"""What each defect of `experiment=nogan_archival` costs, in milliseconds for one picture; and how it looks.

python benchmarks/degradations.py [--repeats 200] [--picture benchmarks/figures/archival.jpg]

The picture shows, on a built-in photo at 192 px, the strongest of 20 draws of each defect (flicker and dust: three
frames of a still clip), then all of them together as training draws them.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from PIL import Image, ImageDraw
from skimage.data import astronaut

from colorgan.config import compose
from colorgan.data import ArchivalFilm
from colorgan.data.degrade import Degradation
from colorgan.data.transforms import resize

SIZE, MARGIN, COLUMNS = 192, 18, 6


def defects(*, always: bool) -> dict[str, Degradation]:
    """The experiment's defects by name, each by its own chance or always, and `all` of them together."""
    config = compose("train", "experiment=nogan_archival").data.degradation.defects
    made = {name: instantiate(defect, **({"probability": 1.0} if always else {})) for name, defect in config.items()}
    return {**made, "all": ArchivalFilm(made)}


def milliseconds(degradation: Degradation, size: int, repeats: int) -> float:
    """Mean time for a photo of (size, size)."""
    gray, rng = photo(size), np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(repeats):
        degradation(gray, rng)
    return 1000 * (time.perf_counter() - start) / repeats


def photo(size: int) -> np.ndarray:
    """The astronaut's luma (size, size) in [0, 1]."""
    image = Image.fromarray(resize(astronaut()[:400, 60:460], size)).convert("L")
    return np.asarray(image, dtype=np.float32) / 255


def strongest(defect: Degradation, clip: np.ndarray) -> np.ndarray:
    """Of 20 draws the one that changes a clip (T, H, W) most."""
    draws = [defect(clip, np.random.default_rng(seed)) for seed in range(20)]
    return max(draws, key=lambda draw: np.abs(draw - clip).mean())


def draw() -> Image.Image:
    """A sheet of named pictures: clean, each defect, and what training draws."""
    clean, rng = photo(SIZE), np.random.default_rng(0)
    tiles = [("clean", clean)]
    for name, defect in defects(always=True).items():
        if name != "all":
            frames = strongest(defect, np.stack([clean] * (3 if name in ("flicker", "dust") else 1)))
            tiles += [(f"{name}, frame {t + 1}" if len(frames) > 1 else name, frame) for t, frame in enumerate(frames)]
    chance = defects(always=False)["all"]
    tiles += [("all, by their chances", chance(clean, rng)) for _ in range(-len(tiles) % COLUMNS)]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * (SIZE + 4), rows * (SIZE + MARGIN)), 255)
    for index, (name, tile) in enumerate(tiles):
        left, top = index % COLUMNS * (SIZE + 4), index // COLUMNS * (SIZE + MARGIN)
        ImageDraw.Draw(sheet).text((left + 2, top + 3), name, fill=0)
        sheet.paste(Image.fromarray(np.rint(tile * 255).astype(np.uint8)), (left, top + MARGIN))
    return sheet


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.picture:
        draw().save(options.picture, quality=88)
    print(f"{'ms a picture':24} {'64 px':>8} {'256 px':>8}")
    every, chance = defects(always=True), defects(always=False)["all"]
    for name, defect in {**every, "all, by their chances": chance}.items():
        small, large = (milliseconds(defect, size, options.repeats) for size in (64, 256))
        print(f"{name:24} {small:8.2f} {large:8.2f}")


if __name__ == "__main__":
    main()
