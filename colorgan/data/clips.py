"""Read clips from folders of frames and films, and make some from photos that are moved in a known way."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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

from colorgan.data.cache import content_hash
from colorgan.data.folder import Search, common_folder, counted, open_places, shown
from colorgan.data.library import Split
from colorgan.data.sources import Row, Source
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


class ClipsSource(Source):
    """List the clips of a folder: each film is one, and each folder that holds pictures (its frames, in natural order).

    Args:
        path: the folder, a film, or a list of these.
        max_frames: so many frames of each clip, from its beginning.
        hash_dir: where hashes of clips are kept; by default beside the caches of Hugging Face datasets.

    Raises:
        FileNotFoundError: there is no clip.
    """

    def __init__(self, path: str | Sequence[str], max_frames: Count = 300, hash_dir: str | None = None) -> None:
        self.places, self.max_frames = open_places(path, "video"), max_frames
        if max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, got {max_frames} (data.max_frames)")
        self.hash_dir = Path(hash_dir) if hash_dir else Path(datasets.config.HF_DATASETS_CACHE) / "colorgan"
        self.path = shown(self.places)
        self.clips, self._left_out = _find_clips(self.places)
        if not self.clips:
            left_out = f"; left out: {counted(self._left_out)}" if self._left_out else ""
            raise FileNotFoundError(
                f"no clips in {self.path}; looked for {' '.join(sorted(FILM_ENDINGS))} and for folders of pictures"
                f"{left_out} (data.path)"
            )
        self._read = lru_cache(maxsize=2)(self._frames)  # a listing asks for the frames of a clip one by one

    def frames(self, clip: str) -> list[np.ndarray]:
        """Read the frames of a clip, (H, W, 3) uint8 each.

        Raises:
            UnreadablePhotoError: a frame is damaged, or differs in size from the first.
        """
        return self._read(clip)

    def group(self, clip: str) -> str:
        """Identify a clip by its content, the bytes of its film or of all its frames in order.

        So one that was trained on is known under another name, in another folder, and cut to another length by
        `max_frames`.
        """
        place = self.clips[clip]
        return content_hash([place] if isinstance(place, Path) else place, self.hash_dir)

    def listing(self) -> datasets.Dataset:
        """List the frames, a row each; those of a clip are a group, and so are those of equal clips."""
        rows = []
        for clip, place in self.clips.items():
            group = self.group(clip)
            for number in range(self.length(clip)):
                file = (place if isinstance(place, Path) else place[number]).stat()
                row = {"name": f"{clip}/{number:05d}", "group": group, "frame": number}
                rows.append({**row, "bytes": file.st_size, "modified_ns": file.st_mtime_ns})  # tell a changed file
        return datasets.Dataset.from_list(rows)

    def length(self, clip: str) -> int:
        """Count the frames that are taken of a clip; films are decoded for it."""
        place = self.clips[clip]
        return len(self.frames(clip)) if isinstance(place, Path) else min(len(place), self.max_frames)

    def open(self, row: Row) -> Image.Image:
        """Read a frame; of a film all are decoded, and kept until another film is asked for."""
        clip = row["name"].rpartition("/")[0]
        place = self.clips[clip]
        if isinstance(place, Path):
            return Image.fromarray(self.frames(clip)[row["frame"]])
        return read_photo(place[row["frame"]])

    def describe(self) -> dict[str, Any]:
        """Return kind, path, limit, and what a clip is known by."""
        return {"kind": "clips", "path": self.path, "max_frames": self.max_frames, "identity": "content"}

    def left_out(self) -> dict[str, int]:
        """Count what lies in the folders and is no clip, or was not reached."""
        return self._left_out

    def _frames(self, clip: str) -> list[np.ndarray]:
        place = self.clips[clip]
        pictures = _decode(place) if isinstance(place, Path) else (_pixels(file) for file in place)
        frames = list(islice(pictures, self.max_frames))
        if not frames:
            raise UnreadablePhotoError(f"{place} holds no frame that can be decoded")
        if odd := [number for number, frame in enumerate(frames) if frame.shape != frames[0].shape]:
            raise UnreadablePhotoError(f"frame {odd[0]} of clip {clip} differs in size from its first")
        return frames


def content_splits(name: str, splits: Iterable[Mapping[str, Any]]) -> list[Split]:
    """Take the splits of clips among those that a header lists; photos and clips have nothing in common.

    Args:
        name: of the checkpoint.
        splits: as its header has them.

    Raises:
        ValueError: an older version wrote one, which knew clips by their paths.
    """
    chosen = [split for split in splits if split.get("kind") == "clips"]
    if any(split.get("identity") != "content" for split in chosen):
        raise ValueError(
            f"{name} knows clips by their paths (an older version wrote it), so it cannot be told which of these it "
            "trained on; train that run again"
        )
    return [Split(split["seed"], split["threshold"]) for split in chosen]


def _find_clips(places: Sequence[Path]) -> tuple[dict[str, Path | list[Path]], dict[str, int]]:
    root = common_folder(places)
    search = Search(root, FILM_ENDINGS | PHOTO_ENDINGS)
    search.look_into([place for place in places if place.is_dir() or place.suffix.lower() in FILM_ENDINGS])
    found: dict[str, Path | list[Path]] = {}
    for name in sorted((name for name, _, _ in search.files), key=lambda name: natural_order(Path(name))):
        file = Path(name)
        if file.suffix.lower() in FILM_ENDINGS:
            found[name] = root / name
        else:
            frames = found.setdefault(file.parent.as_posix(), [])
            assert isinstance(frames, list)  # a folder is no file
            frames.append(root / name)
    # pictures beside the folders of others are a clip of their own, called `.`
    if list(found) == ["."]:
        found = {root.name: found["."]}
    return found, dict(search.left_out)


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
