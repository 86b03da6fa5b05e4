"""Read and write folders of numbered frames."""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from math import gcd
from pathlib import Path

import av
import numpy as np
from PIL import Image

from colorgan.files import natural_order
from colorgan.media.film_facts import BT709, HD_HEIGHT, SMPTE170M, FilmFacts, Frame
from colorgan.media.film_reader import FilmReader, film_stream
from colorgan.media.photo import PHOTO_ENDINGS, read_photo, save_photo
from colorgan.media.shots import ColorDetector


class FolderReader:
    """Read a folder of frames of one size, in the order of the numbers in their names.

    Numbers that are left out stay as time: the frame before is shown for as long, and `gaps` names them.

    Args:
        path: the folder.
        rate: frames a second.
        keep_color: give the colours of frames that have some, shot by shot.
    """

    def __init__(self, path: Path, rate: Fraction, *, keep_color: bool = False) -> None:
        self.path, self.damage, self.telecined, self._keep_color = path, None, False, keep_color
        self.files = sorted((f for f in path.iterdir() if f.suffix.lower() in PHOTO_ENDINGS), key=natural_order)
        if not self.files:
            raise FileNotFoundError(f"no frames in {path}; looked for {' '.join(sorted(PHOTO_ENDINGS))}")
        self.times, self.gaps = _times([file.stem for file in self.files])
        width, height = read_photo(self.files[0]).size
        matrix = BT709 if height >= HD_HEIGHT else SMPTE170M
        self.facts = FilmFacts(width, height, 1 / rate, rate, matrix=matrix, frames=len(self.files))

    def identity(self) -> dict[str, int | str]:
        """Describe the folder, to tell whether it still holds the same frames."""
        newest = max(file.stat().st_mtime_ns for file in self.files)
        return {"name": self.path.name, "frames": len(self.files), "modified_ns": newest}

    def frames(self) -> Iterator[Frame]:
        """Read all frames; luma is BT.601's, in the limited range that film is stored in."""
        levels, detector = np.rint(16 + np.arange(256) * 219 / 255).astype(np.uint8), ColorDetector()
        for file, time, after in zip(self.files, self.times, [*self.times[1:], self.times[-1] + 1], strict=True):
            photo = read_photo(file)
            if photo.size != (self.facts.width, self.facts.height):
                first = f"{self.files[0].name} has {self.facts.width}x{self.facts.height}"
                raise ValueError(f"{file} has {photo.width}x{photo.height}, but {first}: a film has one size")
            rgb = np.asarray(photo.convert("RGB")) if self._keep_color else None
            if rgb is not None and not detector.is_colored(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                rgb = None
            yield Frame(time, after - time, levels[np.asarray(photo.convert("L"))], rgb=rgb)


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
            with av.open(str(source.path)) as container:
                film = film_stream(container, source.path).index
                self.left_out = [f"{s.type} stream {s.index}" for s in container.streams if s.index != film]
            self.left_out += source.facts.lost

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
