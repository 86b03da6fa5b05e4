"""Largest change of luma, in levels of 255, over all photos of a folder, for every colour head.

python benchmarks/luma.py my_photos [--checkpoint FILE]

Without a checkpoint the heads are those of untrained networks made to paint far out of gamut, which is harder than
anything a trained one does. Luma is BT.601 of the 8-bit picture against that of the 8-bit photo.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from colorgan.color import rgb_to_gray
from colorgan.colorize.colorizer import Colorizer
from colorgan.data import FolderSource
from colorgan.networks import TimmPyramid, UNetGenerator
from colorgan.networks.unet import HEADS


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma in levels of an 8-bit image (H, W, 3)."""
    rgb = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].double() / 255
    return 255 * rgb_to_gray(rgb)[0, 0].numpy()


def wild(head: str) -> Colorizer:
    """A generator that paints random, strongly saturated colours."""
    torch.manual_seed(0)
    encoder = TimmPyramid("tf_efficientnet_lite0", weights="package")
    generator = UNetGenerator(encoder, widths=[16, 16, 16, 16, 8], head=head)
    torch.nn.init.normal_(generator.to_color.weight, std=1.0)
    return Colorizer(generator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint")
    arguments = parser.parse_args()
    source = FolderSource(str(arguments.folder))
    rows = list(source.listing())
    colorizers = {arguments.checkpoint: Colorizer.load(arguments.checkpoint)} if arguments.checkpoint else {}
    for name, colorizer in (colorizers or {head: wild(head) for head in HEADS}).items():
        worst, changed = 0.0, []
        for row in rows:
            photo = source.open(row).convert("RGB")
            before, after = np.asarray(photo), np.asarray(colorizer.colorize(photo))
            worst = max(worst, float(np.abs(luma(after) - luma(before)).max()))
            changed.append(np.abs(after.astype(int) - before).mean())
        print(
            f"{name}: {len(rows)} photos, largest change of luma {worst:.4f} levels, of colour {np.mean(changed):.1f}"
        )


if __name__ == "__main__":
    main()
