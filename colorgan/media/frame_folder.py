"""Read and write folders of numbered frames."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from math import gcd
from pathlib import Path

import av
import numpy as np
from PIL import Image

from colorgan.files import natural_order
from colorgan.media.film_facts import BT709, HD_HEIGHT, SMPTE170M, FilmFacts, Frame
from colorgan.media.film_reader import FilmReader, film_stream
from colorgan.media.mp4 import open_film
from colorgan.media.photo import PHOTO_ENDINGS, UnreadablePhotoError, read_scan, save_photo
from colorgan.media.scan import Scan
from colorgan.media.shots import keeper

_LUMA_601 = (0.299, 0.587, 0.114)
_LEVELS = np.rint(16 + np.arange(256) * 219 / 255).astype(np.uint8)
_SHOWN = 8


class FolderReader:
    """Read a folder of frames of one size, in the order of the numbers in their names.

    Numbers that are left out stay as time: the frame before is shown for as long, and `gaps` names them. After all
    frames were read, `damage` names those that could not be.

    Args:
        path: the folder.
        rate: frames a second.
        keep_color: as of `FilmReader`.
    """

    def __init__(self, path: Path, rate: Fraction, *, keep_color: bool | Callable[[int], bool] = False) -> None:
        self.path, self.telecined, self._keep_color = path, False, keep_color
        self.damage: str | None = None
        self.files = sorted((f for f in path.iterdir() if f.suffix.lower() in PHOTO_ENDINGS), key=natural_order)
        if not self.files:
            raise FileNotFoundError(f"no frames in {path}; looked for {' '.join(sorted(PHOTO_ENDINGS))}")
        self.times, self.gaps = _times([file.stem for file in self.files])
        first, pixels = _first_pixels(self.files)
        height, width = pixels.shape[:2]
        self._size = f"{first.name} has {width}x{height}: a film has one size"
        matrix, depth = BT709 if height >= HD_HEIGHT else SMPTE170M, 8 * pixels.itemsize
        self.facts = FilmFacts(width, height, 1 / rate, rate, matrix=matrix, frames=len(self.files), depth=depth)

    def identity(self) -> dict[str, int | str]:
        """Describe the folder, to tell whether it still holds the same frames."""
        newest = max(file.stat().st_mtime_ns for file in self.files)
        return {"name": self.path.name, "frames": len(self.files), "modified_ns": newest}

    def frames(self) -> Iterator[Frame]:
        """Read all frames; luma is BT.601's, in limited range; what is broken is left out."""
        self.damage, broken, keeps, number = None, [], keeper(self._keep_color), 0
        for file, time, after in zip(self.files, self.times, [*self.times[1:], self.times[-1] + 1], strict=True):
            try:
                scan = read_scan(file)
            except UnreadablePhotoError:
                broken.append(file.name)
                continue
            height, width = scan.pixels.shape[:2]
            if (width, height) != (self.facts.width, self.facts.height):
                raise ValueError(f"{file} has {width}x{height}, but {self._size}")
            number += 1
            rgb = np.asarray(scan.to_image().convert("RGB")) if self._keep_color else None
            if rgb is not None and not keeps(av.VideoFrame.from_ndarray(rgb, format="rgb24"), number):
                rgb = None
            yield Frame(time, after - time, _luma(scan, self.facts.depth), rgb=rgb, number=number)
        if broken:
            names = ", ".join(broken[:_SHOWN]) + (f" and {len(broken) - _SHOWN} more" if broken[_SHOWN:] else "")
            self.damage = f"{len(broken)} of {len(self.files)} frames cannot be read ({names})"


def _first_pixels(files: Sequence[Path]) -> tuple[Path, np.ndarray]:
    """Read the first frame that can be read."""
    for file in files[:-1]:
        with suppress(UnreadablePhotoError):
            return file, read_scan(file).pixels
    return files[-1], read_scan(files[-1]).pixels


def _luma(scan: Scan, depth: int) -> np.ndarray:
    """Compute the luma of a frame, (H, W) uint8 or uint16, in limited range."""
    if depth == 8:
        luma: np.ndarray = _LEVELS[np.asarray(scan.to_image().convert("L"))]
        return luma
    pixels = scan.pixels if scan.pixels.itemsize == 2 else scan.pixels.astype(np.uint16) * 257
    gray = pixels if pixels.ndim == 2 else pixels @ np.array(_LUMA_601)
    deep: np.ndarray = np.rint(256 * (16 + gray * (219 / 65535))).astype(np.uint16)
    return deep


def _times(names: Sequence[str]) -> tuple[list[int], str | None]:
    """Place frames by the last number in their names; returns the places, and in words what is left out."""
    matches = [re.search(r"^(.*?)(\d+)\D*$", name) for name in names]
    in_order = list(range(len(names)))
    if not all(matches) or len({match[1] for match in matches if match}) > 1:
        return in_order, None
    numbers = [int(match[2]) for match in matches if match]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    step = gcd(*steps)
    left_out = [(a + step, b - step) for a, b in itertools.pairwise(numbers) if b - a > step]
    if not left_out or 0 in steps:
        return in_order, None
    count = sum((b - a) // step + 1 for a, b in left_out)
    places = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in left_out[:8]) + (" ..." if left_out[8:] else "")
    if count > len(names):
        text = f"more numbers are left out than there are ({places}); the frames follow one another without gaps"
        return in_order, text
    text = f"{count} frames are left out ({places}); the frame before each gap stays for as long"
    return [(number - numbers[0]) // step for number in numbers], text


class FrameFolderWriter:
    """Write pictures, upright, as numbered PNG files: 00001.png, 00002.png, ... It has the methods of `FilmWriter`.

    Args:
        source: what the pictures are made of; its sound and subtitles are left out.
        out: the folder.
    """

    def __init__(self, source: FilmReader | FolderReader, out: Path) -> None:
        self.out, self._number = out, 0
        self.left_out: list[str] = []
        self.converted: list[str] = []
        if isinstance(source, FilmReader):
            with open_film(source.path) as container:
                film = film_stream(container, source.path).index
                self.left_out = [f"{s.type} stream {s.index}" for s in container.streams if s.index != film]
            self.left_out += source.facts.lost
        if source.facts.depth > 8:
            self.left_out.append(f"{source.facts.depth - 8} of {source.facts.depth} bits (.mkv keeps all)")

    def is_finished(self) -> bool:
        """Whether there are frames."""
        return any(self.out.glob("*.png"))

    @contextmanager
    def segment(self, number: int, frames_before: int) -> Iterator[None]:
        """Number the next pictures on from those of the segments before."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._number = frames_before
        yield

    def write(self, _: Frame, rgb: np.ndarray) -> None:
        """Save one picture (H, W, 3) uint8, whole or not at all."""
        self._number += 1
        save_photo(Image.fromarray(rgb), self.out / f"{self._number:05d}.png")

    def join(self, _: Sequence[int]) -> None:
        """Do nothing: the frames are there."""

    def cut(self, count: int) -> None:
        """Delete what an older film has left behind the last of `count` frames."""
        for frame in self.out.glob("[0-9]*.png"):
            if re.fullmatch(r"[0-9]{5,}", frame.stem) and int(frame.stem) > count:
                frame.unlink()
