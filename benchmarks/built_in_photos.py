"""Colour ten pictures of installed packages, the worst first: a figure and two numbers each.

    python benchmarks/built_in_photos.py CHECKPOINT FIGURE.jpg

Three of them are no photos of the everyday: a retina, a stained tissue, a galaxy. Beside each stands its CIEDE2000 to
the original, and that of the gray picture, at a longer side of 320 px.
"""

import argparse
from pathlib import Path

import numpy as np
import skimage
import sklearn
import torch
from PIL import Image

from colorgan.colorize import Colorizer
from colorgan.media.photo import read_photo, save_photo
from colorgan.media.sheet import fitted, picture_sheet
from colorgan.metrics import CIEDE2000

_SCENES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg")
_FILES = [Path(skimage.__file__).parent / "data" / name for name in (*_SCENES, "retina.jpg", "ihc.png")]
_FILES += [Path(sklearn.__file__).parent / "datasets" / "images" / name for name in ("china.jpg", "flower.jpg")]


def main() -> None:
    """Colour, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("figure", type=Path)
    options = parser.parse_args()
    colorizer = Colorizer.load(options.checkpoint, engine="torch")
    rows = []
    for file in _FILES:
        truth = fitted(read_photo(file).convert("RGB"), 320)
        colored = colorizer.colorize(truth).convert("RGB")
        gray = colored.convert("L").convert("RGB")
        rows.append((distance(colored, truth), distance(gray, truth), file.stem, [gray, colored, truth]))
    rows.sort(key=lambda row: -row[0])
    for ours, of_gray, name, _ in rows:
        print(f"{name}: CIEDE2000 {ours:.1f}, gray {of_gray:.1f}")
    labels = [f"{name} {ours:.1f} (gray {of_gray:.1f})" for ours, of_gray, name, _ in rows]
    sheet = picture_sheet(
        [pictures for *_, pictures in rows], columns=("gray", "coloured", "original"), labels=labels, num_blocks=2
    )
    sheet.thumbnail((1000, 1000))
    save_photo(sheet, options.figure)


def distance(picture: Image.Image, truth: Image.Image) -> float:
    """Compute the mean CIEDE2000 of two pictures."""
    metric = CIEDE2000()
    one, two = (torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255 for image in (picture, truth))
    metric.update(one, two)
    return float(metric.compute())


if __name__ == "__main__":
    main()
