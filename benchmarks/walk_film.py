"""Make the film of the walk in docs/film.md, three shots panned over built-in photos; or take the walk for its picture.

python benchmarks/walk_film.py [film.mkv] [--picture walk.jpg]
"""

import argparse
import contextlib
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image
from skimage import data

HEIGHT, WIDTH, FRAMES = 144, 192, 48
PHOTOS = ("astronaut", "chelsea", "coffee")
SHOTS, REFERENCES, OUT = "shots.csv", "references", "film_color.mkv"
LIST = ["shots", "film.mkv", "-o", SHOTS]
COLORIZE = ["colorize", "film.mkv", "--shots", SHOTS, "--references", REFERENCES, "-o", OUT]


def shot(name: str) -> np.ndarray:
    """Pan over a photo: (frames, H, W) of gray levels."""
    photo = Image.fromarray(getattr(data, name)()).convert("L")
    photo = photo.resize((WIDTH + FRAMES, round(photo.height * (WIDTH + FRAMES) / photo.width)))
    pixels = np.asarray(photo)
    return np.stack([pixels[:HEIGHT, left : left + WIDTH] for left in range(FRAMES)])


def make_film(path: Path) -> None:
    """Write the film, lossless, 24 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "gray"
        for gray in np.concatenate([shot(name) for name in PHOTOS]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), format="gray")))
        container.mux(stream.encode(None))


def paint(folder: Path, change: tuple[int, int, int]) -> None:
    """Repair the reference of the second shot: add a colour to all of it that is neither dark nor bright."""
    file = folder / REFERENCES / "00072.png"
    gray = np.asarray(Image.open(file).convert("L"), np.float32)[..., None].repeat(3, axis=2)
    mask = (gray > 60) & (gray < 200)
    Image.fromarray((gray + mask * np.array(change)).clip(0, 255).astype(np.uint8)).save(file)


def edit(folder: Path) -> None:
    """Halve the saturation of the third shot in the list."""
    header, *rows = (folder / SHOTS).read_text().splitlines()
    cells = rows[2].split(",")
    cells[header.split(",").index("saturation")] = "0.5"
    rows[2] = ",".join(cells)
    (folder / SHOTS).write_text("\n".join([header, *rows, ""]))


def main() -> None:
    """Make the film, or the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", nargs="?", type=Path, default=Path("film.mkv"))
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.picture is None:
        make_film(options.film)
        return
    from colorgan.cli.main import main as colorgan

    picture = options.picture.resolve()
    with TemporaryDirectory() as place, contextlib.chdir(place):
        make_film(Path("film.mkv"))
        for number, words in enumerate((LIST, COLORIZE, COLORIZE)):
            if number == 2:
                paint(Path(), (70, -20, -30))
                edit(Path())
            sys.argv = ["colorgan", *words]
            with contextlib.suppress(SystemExit):
                colorgan()
        shutil.copy(Path(OUT).with_suffix(".shots.jpg"), picture)


if __name__ == "__main__":
    main()
