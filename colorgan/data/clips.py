"""Read clips from folders of frames and films, and make some from photos that are moved in a known way."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from colorgan.data.sources import Row
from colorgan.files import natural_order
from colorgan.flow import Motion, inside, similarity_flow
from colorgan.media.film_reader import FILM_ENDINGS, FilmReader
from colorgan.media.photo import PHOTO_ENDINGS, UnreadablePhotoError, read_photo
from colorgan.ranges import Count

MOTIONS = ("pan", "zoom", "rotation", "noise")
_MARGIN = 1.5  # side of the cut-out that moves are made in, in sides of the frame
_PAN = (2.0, 1.0)  # pixels a frame: whole ones, so that nothing is resampled and the truth is exact
_ZOOM, _ANGLE = 1.02, np.deg2rad(1.5)  # a frame
_NOISE = 0.03  # standard deviation on the input of a still: about 8 levels of 255


class ClipsSource:
    """List the clips of a folder: each film is one, and each folder that holds pictures (its frames, in natural order).

    Args:
        path: the folder, or one film.
        max_frames: so many frames of each clip, from its beginning.

    Raises:
        FileNotFoundError: there is no clip.
    """

    def __init__(self, path: str, max_frames: Count = 300) -> None:
        self.path, self.max_frames = Path(path).expanduser(), max_frames
        if max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, got {max_frames} (data.max_frames)")
        if not self.path.exists():
            raise FileNotFoundError(f"no folder or video {self.path} (data.path)")
        self.clips = _find_clips(self.path)
        if not self.clips:
            raise FileNotFoundError(
                f"no clips in {self.path}; looked for {' '.join(sorted(FILM_ENDINGS))} and for folders of pictures "
                "(data.path)"
            )
        self._read = lru_cache(maxsize=2)(self._frames)  # a listing asks for the frames of a clip one by one

    def frames(self, clip: str) -> list[np.ndarray]:
        """Read the frames of a clip, (H, W, 3) uint8 each.

        Raises:
            UnreadablePhotoError: a frame is damaged, or differs in size from the first.
        """
        return self._read(clip)

    def listing(self) -> datasets.Dataset:
        """List the frames, a row each; those of a clip are a group."""
        rows = []
        for clip, place in self.clips.items():
            for number in range(self.length(clip)):
                file = (place if isinstance(place, Path) else place[number]).stat()
                row = {"name": f"{clip}/{number:05d}", "group": clip, "frame": number}
                rows.append({**row, "bytes": file.st_size, "modified_ns": file.st_mtime_ns})  # tell a changed file
        return datasets.Dataset.from_list(rows)

    def length(self, clip: str) -> int:
        """Count the frames that are taken of a clip; films are decoded for it."""
        place = self.clips[clip]
        return len(self.frames(clip)) if isinstance(place, Path) else min(len(place), self.max_frames)

    def open(self, row: Row) -> Image.Image:
        """Read a frame; of a film all are decoded, and kept until another film is asked for."""
        place = self.clips[row["group"]]
        if isinstance(place, Path):
            return Image.fromarray(self.frames(row["group"])[row["frame"]])
        return read_photo(place[row["frame"]])

    def describe(self) -> dict[str, Any]:
        """Return kind, path and limit."""
        return {"kind": "clips", "path": str(self.path), "max_frames": self.max_frames}

    def _frames(self, clip: str) -> list[np.ndarray]:
        place = self.clips[clip]
        pictures = _decode(place) if isinstance(place, Path) else (_pixels(file) for file in place)
        frames = list(islice(pictures, self.max_frames))
        if not frames:
            raise UnreadablePhotoError(f"{place} holds no frame that can be decoded")
        if odd := [number for number, frame in enumerate(frames) if frame.shape != frames[0].shape]:
            raise UnreadablePhotoError(f"frame {odd[0]} of clip {clip} differs in size from its first")
        return frames


def _find_clips(path: Path) -> dict[str, Path | list[Path]]:
    if path.is_file():
        return {path.name: path} if path.suffix.lower() in FILM_ENDINGS else {}
    places: dict[Path, Path | list[Path]] = {}
    for file in sorted(path.rglob("*"), key=natural_order):
        if file.suffix.lower() in FILM_ENDINGS and file.is_file():
            places[file] = file
        elif file.suffix.lower() in PHOTO_ENDINGS and file.is_file():
            frames = places.setdefault(file.parent, [])
            assert isinstance(frames, list)  # a folder is no file
            frames.append(file)
    # pictures beside the folders of others are a clip of their own, called `.`
    alone = list(places) == [path]
    return {path.name if alone else place.relative_to(path).as_posix(): files for place, files in places.items()}


def _pixels(file: Path) -> np.ndarray:
    return np.asarray(read_photo(file).convert("RGB"))


def _decode(file: Path) -> Iterator[np.ndarray]:
    try:
        reader = FilmReader(file)
    except ValueError as error:
        raise UnreadablePhotoError(str(error)) from error
    yield from reader.colors()
    if reader.damage:
        raise UnreadablePhotoError(f"{file} is damaged: {reader.damage}")


def moved_photo(pixels: np.ndarray, size: int, motion: str, num_frames: int) -> tuple[Tensor, Motion]:
    """Make a clip that moves over a still photo in a known way, with its exact flow.

    `pan` goes by whole pixels, `zoom` and `rotation` resample bicubically, `noise` stands still (its input gets noise,
    see `input_noise`). The cut-out around the centre is one and a half times as wide as the frame.

    Args:
        pixels: (H, W, 3) uint8; enlarged if it is smaller than the cut-out.
        size: height and width of the frames.
        motion: one of `MOTIONS`.
        num_frames: T, at least 2; a pan of more than the margin bounces back.

    Returns:
        (T, 3, size, size) in [0, 1], and the motion.
    """
    if motion not in MOTIONS:
        raise ValueError(f"motion={motion!r} is unknown; allowed: {', '.join(MOTIONS)} (motion.motions)")
    wide = _centre(pixels, round(_MARGIN * size))
    time = torch.arange(num_frames, dtype=torch.float64) - (num_frames - 1) // 2
    still = torch.zeros_like(time)
    room = (wide.shape[-1] - size) // 2
    pan = _bounce(time, room / max(_PAN)) if motion == "pan" else still
    shift = torch.stack([step * pan for step in _PAN], dim=1)
    zoom = torch.exp(np.log(_ZOOM) * _bounce(time, np.log(1.3) / np.log(_ZOOM))) if motion == "zoom" else still + 1
    angle = _ANGLE * _bounce(time, np.deg2rad(20) / _ANGLE) if motion == "rotation" else still
    frames = torch.cat([_seen(wide, size, shift[t], zoom[t], angle[t]) for t in range(num_frames)])
    # z' R(a') p' + s' = z R(a) p + s, both places in the photo, solved for p'
    flow = similarity_flow(
        size,
        size,
        shift=_rotated(shift[:-1] - shift[1:], -angle[1:]) / zoom[1:, None],
        zoom=zoom[:-1] / zoom[1:],
        angle=angle[:-1] - angle[1:],
    )
    return frames, Motion(flow, inside(flow))


def input_noise(gray: Tensor, motion: str, seed: int) -> Tensor:
    """Make the input of a clip of a motion, (T, 1, H, W): for `noise`, gray with fresh noise in each frame."""
    if motion != "noise":
        return gray
    noise = torch.randn(gray.shape, generator=torch.Generator().manual_seed(seed))
    return (gray + _NOISE * noise).clamp(0, 1)


def _centre(pixels: np.ndarray, side: int) -> Tensor:
    """Cut the largest centred square and resize it, (1, 3, side, side) in [0, 1]."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = Image.fromarray(pixels[top : top + short, left : left + short]).resize((side, side))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255


def _bounce(time: Tensor, limit: float) -> Tensor:
    """Fold time into a triangle wave of slope 1 around 0 that turns at whole steps below the limit."""
    reach = max(1, int(limit))
    return reach - ((time + reach) % (4 * reach) - 2 * reach).abs()


def _seen(wide: Tensor, size: int, shift: Tensor, zoom: Tensor, angle: Tensor) -> Tensor:
    """Cut what a frame shows of the photo: at p from its centre, the photo at zoom R(angle) p + shift from its own."""
    offset = (wide.shape[-1] - size) / 2
    if zoom == 1 and angle == 0 and (offset + shift).frac().abs().max() == 0:
        left, top = (int(value) for value in offset + shift)
        return wide[..., top : top + size, left : left + size]
    flow = similarity_flow(size, size, shift=shift[None], zoom=zoom[None], angle=angle[None], dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    place = torch.stack([x, y], dim=-1)[None] + flow.permute(0, 2, 3, 1) + offset
    grid = (2 * place / (wide.shape[-1] - 1) - 1).float()
    return F.grid_sample(wide, grid, mode="bicubic", padding_mode="border", align_corners=True).clamp(0, 1)


def _rotated(vectors: Tensor, angle: Tensor) -> Tensor:
    x, y = vectors.unbind(dim=1)
    return torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], dim=1)
