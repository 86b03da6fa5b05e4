"""Colour pictures for many at once: what stands behind page and API."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from colorgan.colorize.colorizer import Colorizer, choose_device
from colorgan.colorize.engines import WORTH_CONVERTING
from colorgan.colorize.hints import Hints
from colorgan.colorize.photos import describe_maker, mark
from colorgan.media.photo import UnreadablePhotoError, read_pages
from colorgan.media.samples import row_strips
from colorgan.media.save import write_scans
from colorgan.media.scan import Scan
from colorgan.media.signatures import head_of, is_tiff, is_webp
from colorgan.serve import fetch
from colorgan.serve.batches import MOST_PIXELS, SharedGenerator
from colorgan.serve.films import Films
from colorgan.serve.refusals import BusyError, RefusedError, TooLongError
from colorgan.serve.results import Results

SIZES = (16, 1024)  # at which the network may work


@dataclass(frozen=True)
class Limits:
    """Bound what a server takes on.

    Args:
        photo_bytes: of a photo's file.
        film_bytes: of a film's file.
        megapixels: of a photo.
        film_seconds: of a film.
        waiting: photos at once, with those that are downloaded and worked on.
        waiting_films: films at once.
        keep_seconds: how long results are kept.
        results_bytes: of all results.
    """

    photo_bytes: int = 32_000_000
    film_bytes: int = 200_000_000
    megapixels: float = 50.0
    film_seconds: float = 60.0
    waiting: int = 32
    waiting_films: int = 4
    keep_seconds: float = 3600.0
    results_bytes: int = 4_000_000_000


@dataclass(frozen=True)
class Colored:
    """Hold a coloured photo, the gray one it was made of, and the original.

    Args:
        colored: at the photo's depth, with its metadata.
        gray: what the network saw, at full size.
        original: as it was sent.
        ending: of the file's format.
        content: the coloured photo as a file.
        several: whether the file that was sent has more pictures, which are left out.
    """

    colored: Scan
    gray: Scan
    original: Scan
    ending: str
    content: bytes
    several: bool


@dataclass(frozen=True)
class _Model:
    file: Path
    network: SharedGenerator
    working_size: int
    maker: str


class Service:
    """Colour photos and films by one or several checkpoints.

    Photos are read and written in a few threads each beside the network, which takes what waits in batches. All
    networks are loaded at once: a wrong checkpoint is told at the start.

    Args:
        checkpoints: files by name; the first is the default.
        results: folder of results.
        devices: where networks work; by default CUDA where there is one.
        engine: see `Colorizer.load`.
        limits: what is taken on.
        fetch: downloads an address, see `colorgan.serve.fetch`.
    """

    def __init__(
        self,
        checkpoints: Mapping[str, Path],
        results: Path,
        *,
        devices: Sequence[str] = (),
        engine: str = "auto",
        limits: Limits | None = None,
        fetch: Callable[..., bytes] = fetch.fetch,
    ) -> None:
        self.limits = limits or Limits()
        self.checkpoints = list(checkpoints)
        self._fetch, self._engine = fetch, engine
        self._devices = [choose_device(device) for device in devices] or [choose_device(None)]
        self._models = {name: self._load(file) for name, file in checkpoints.items()}
        threads = max(4, 2 * torch.get_num_threads())
        # One thread of torch each: they work beside one another and the network.
        self._pool = ThreadPoolExecutor(threads, "photo", initializer=partial(torch.set_num_threads, 1))
        self._counted, self._waiting = threading.Lock(), 0
        self.results = Results(results, keep_seconds=self.limits.keep_seconds, max_bytes=self.limits.results_bytes)
        self.films = Films(
            self.results,
            self._film_colorizer,
            max_seconds=self.limits.film_seconds,
            max_waiting=self.limits.waiting_films,
        )

    def _load(self, file: Path) -> _Model:
        load = partial(Colorizer.load, file, engine=self._engine, pictures=WORTH_CONVERTING)
        loaded = [load(device=device) for device in self._devices]
        network = SharedGenerator([colorizer.generator for colorizer in loaded], self._devices)
        return _Model(file, network, loaded[0].working_size, describe_maker(file, network.name))

    def _film_colorizer(self, name: str) -> Colorizer:
        """Load a network for films, which do not wait for photos."""
        return Colorizer.load(self._model(name).file, device=self._devices[0], engine=self._engine)

    @property
    def waiting(self) -> int:
        """Photos that wait, are downloaded or are worked on."""
        return self._waiting

    def working_size(self, checkpoint: str | None = None) -> int:
        """Shorter side at which a checkpoint works by default."""
        return self._model(checkpoint).working_size

    def takes_hints(self, checkpoint: str | None = None) -> bool:
        """Tell whether a checkpoint takes colours that are known."""
        return self._model(checkpoint).network.takes_hints

    def colorize(
        self,
        data: bytes,
        *,
        checkpoint: str | None = None,
        size: int | None = None,
        strength: float = 1.0,
        hints: Hints | None = None,
        ending: str | None = None,
    ) -> Colored:
        """Colorize a photo's file; a colour photo is turned gray first.

        Args:
            data: the file, of any kind that `read_pages` reads; its first picture is taken.
            checkpoint: by name; None for the default.
            size: shorter side at which the network works; None for the checkpoint's own.
            strength: of the colour in [0, 1]: 0 is gray.
            hints: colour that is known at some places.
            ending: of the format to write; None for the photo's own where it is written here, else PNG.

        Raises:
            RefusedError: something about it cannot be used, and why.
            BusyError: as many photos wait as are allowed to.
        """
        model = self._model(checkpoint)
        if size is not None and not SIZES[0] <= size <= SIZES[1]:
            raise RefusedError(f"size must be {SIZES[0]} to {SIZES[1]}, got {size}")
        if not 0 <= strength <= 1:
            raise RefusedError(f"strength must be 0 to 1, got {strength}")
        if len(data) > self.limits.photo_bytes:
            raise TooLongError(f"the photo is longer than {self.limits.photo_bytes / 1e6:g} MB")
        with self._place():
            how = (size, strength, hints, ending or _fitting(data))
            return self._pool.submit(self._colorize, data, model, *how).result()

    def fetch(self, address: str) -> bytes:
        """Download a photo from the public internet.

        Raises:
            RefusedError: it cannot be had, or may not be; and why.
            BusyError: as many photos wait as are allowed to.
        """
        with self._place():
            return self._fetch(address, max_bytes=self.limits.photo_bytes)

    def submit_film(self, write: Callable[[Path], object], checkpoint: str | None = None) -> str:
        """Take on a film; see `Films.submit`."""
        self._model(checkpoint)
        return self.films.submit(write, checkpoint or self.checkpoints[0])

    def close(self) -> None:
        """Finish the photos that were begun; a film goes on at the next start."""
        self._pool.shutdown()
        self.films.close()
        for model in self._models.values():
            model.network.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take a place among those that wait or are worked on."""
        with self._counted:
            if self._waiting >= self.limits.waiting:
                raise BusyError(max(1, self._waiting // 8))
            self._waiting += 1
        try:
            yield
        finally:
            with self._counted:
                self._waiting -= 1

    def _model(self, name: str | None) -> _Model:
        if name is not None and name not in self._models:
            raise RefusedError(f"there is no such checkpoint; allowed: {', '.join(self.checkpoints)}")
        return self._models[name or self.checkpoints[0]]

    def _colorize(
        self, data: bytes, model: _Model, size: int | None, strength: float, hints: Hints | None, ending: str
    ) -> Colored:
        colorizer = Colorizer(model.network, working_size=size or model.working_size)
        original, several = self._read(data)
        height, width = original.pixels.shape[:2]
        pixels = height * width * min(1.0, colorizer.working_size / min(height, width)) ** 2
        if pixels > MOST_PIXELS:  # a narrow photo: the network sees its whole length
            raise RefusedError(
                f"{width} x {height} pixels are too narrow for a working size of {colorizer.working_size}"
            )
        gray = colorizer.gray_scan(original)
        try:
            colored = colorizer.colorize_scan(original, hints)
        except ValueError as error:  # memory does not suffice, or hints do not fit
            raise RefusedError(str(error)) from error
        if strength < 1:
            colored = replace(colored, pixels=_blend(gray.pixels, colored.pixels, strength))
        marked = mark(colored, model.maker)
        return Colored(marked, gray, original, ending, _encoded(marked, ending), several)

    def _read(self, data: bytes) -> tuple[Scan, bool]:
        """Read the first picture of a file, and tell whether there are more."""
        pages = read_pages(data, max_megapixels=self.limits.megapixels)
        try:
            first = next(pages)
        except UnreadablePhotoError as error:
            raise RefusedError(str(error).replace("image", "the picture", 1)) from error
        try:
            return first, next(pages, None) is not None
        except UnreadablePhotoError:  # a damaged one, which is left out like others
            return first, True


def _blend(gray: np.ndarray, colored: np.ndarray, strength: float) -> np.ndarray:
    """Weaken the colours towards gray, whose luma both have."""
    pixels = np.empty_like(colored)
    for rows in row_strips(*gray.shape):
        luma = gray[rows, :, None].astype(np.float32)
        pixels[rows] = np.rint(luma + strength * (colored[rows] - luma)).astype(pixels.dtype)
    return pixels


def _encoded(scan: Scan, ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"colored{ending}"
        write_scans([scan], file)
        return file.read_bytes()


def _fitting(data: bytes) -> str:
    head = head_of(data)
    if head.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    return ".tif" if is_tiff(head) else ".webp" if is_webp(head) else ".png"
