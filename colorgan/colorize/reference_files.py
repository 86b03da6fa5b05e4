"""Export the reference frames of a film, and read them back once they are repaired; and the photos of palettes."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from colorgan.colorize.motion import CUT_LIKENESS, likeness, small
from colorgan.colorize.palette import Tones, tones
from colorgan.colorize.pipeline import Colored, FrameColorizer, colorize_segments
from colorgan.colorize.references import References, small_lumas
from colorgan.colorize.shot_list import ShotList
from colorgan.colorize.smoothing import chroma, luma
from colorgan.files import file_hash
from colorgan.media.film_facts import Frame
from colorgan.media.film_reader import FilmReader
from colorgan.media.frame_folder import FolderReader
from colorgan.media.photo import PHOTO_ENDINGS, read_photo, save_photo


def palettes_of(
    folder: Path,
    shots: ShotList,
    reader: FilmReader | FolderReader,
    choose: Callable[[Frame], FrameColorizer],
) -> dict[int, tuple[Tones, Tones]]:
    """Measure the photos that shots are to look like, and what the middle of each such shot has by itself.

    Returns:
        By the first frame of a shot: its own tones, those of the photo.
    """
    wanted = {}
    for shot in shots.shots:
        if shot.palette is not None and shot.do == "color":
            file = folder / shot.palette
            if not file.is_file():
                raise FileNotFoundError(f"row {shot.row} of the list, column reference: no photo {file}")
            wanted[shot.middle] = (shot.start, tones(np.asarray(read_photo(file).convert("RGB"))))
    colored = color_some([*wanted], reader, choose)
    return {
        wanted[item.frame.number][0]: (tones(item.rgb), wanted[item.frame.number][1])
        for item in (colored if wanted else ())
    }


def reference_hash(folder: Path, shots: ShotList) -> str:
    """Compute one hash of all references and palettes."""
    names = [shot.palette for shot in shots.shots if shot.palette is not None]
    files = [_find(folder, number) for number in _wanted(shots)] + [folder / name for name in names]
    hashes = [file_hash(file) for file in files if file is not None and file.is_file()]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def missing_references(folder: Path, shots: ShotList) -> list[int]:
    """List the frames that the list names as references and the folder does not hold."""
    return [number for number in _wanted(shots) if _find(folder, number) is None]


def export_references(
    folder: Path,
    numbers: Sequence[int],
    reader: FilmReader | FolderReader,
    choose: Callable[[Frame], FrameColorizer],
) -> None:
    """Write frames, in the colours that they get, as `00042.png`, to be repaired and read back."""
    for item in color_some(numbers, reader, choose):
        save_photo(Image.fromarray(item.rgb), folder / f"{item.frame.number:05d}.png")


def color_some(
    numbers: Sequence[int], reader: FilmReader | FolderReader, choose: Callable[[Frame], FrameColorizer]
) -> Iterator[Colored]:
    """Colorize some frames of a film.

    Raises:
        ValueError: the film has no such frame.
    """
    for item in colorize_segments(_picked(numbers, reader), choose, reader.facts, batch_size=1):
        if isinstance(item, Colored):
            yield item


def _picked(numbers: Iterable[int], reader: FilmReader | FolderReader) -> Iterator[Frame]:
    """Read the film as far as its last wanted frame."""
    left, count = set(numbers), 0
    for frame in reader.frames() if left else ():
        count = frame.number
        if count in left:
            left.remove(count)
            yield frame
        if not left:
            return
    if left:
        raise ValueError(f"the list of shots needs frame {min(left)} of the film, which has {count}")


def read_references(
    folder: Path, shots: ShotList, reader: FilmReader | FolderReader, *, last: int | None = None
) -> References:
    """Read repaired frames; what is transparent in them is not known.

    Args:
        folder: where they are.
        shots: the list.
        reader: of the film.
        last: frame up to which is looked whether the film shows the same; None for all.

    Raises:
        ValueError: one of those up to there has another size than the film, or shows something else.
    """
    turned = reader.facts.quarter_turns % 2
    width, height = reader.facts.width, reader.facts.height
    size = (height, width) if turned else (width, height)
    numbers = _wanted(shots)
    looked_at = [number for number in numbers if last is None or number <= last]
    for number, shown in small_lumas(_picked(looked_at, reader), reader.facts):
        planes, gray = _read(folder, number, size)
        if likeness(gray + (1 - planes[..., 2]) * shown, shown) < CUT_LIKENESS:
            raise ValueError(
                f"{_find(folder, number)} does not show frame {number} of the film; repair what was exported, or "
                "move the file away to have the frame exported again"
            )
    return References(shots, _Repaired(folder, set(numbers), size))


class _Repaired(Mapping[int, np.ndarray]):
    """Repaired frames, each read when its shot comes: of a long film they are too many to be kept."""

    def __init__(self, folder: Path, numbers: set[int], size: tuple[int, int]) -> None:
        self._folder, self._numbers, self._size = folder, numbers, size

    def __getitem__(self, number: int) -> np.ndarray:
        return _read(self._folder, number, self._size)[0]

    def __contains__(self, number: object) -> bool:
        return number in self._numbers

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def _read(folder: Path, number: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Read a repaired frame: chroma and confidence (h, w, 3), and its luma (h, w), black where it is transparent."""
    file = _find(folder, number)
    if file is None:
        raise FileNotFoundError(f"reference {number} is no longer in {folder}")
    photo = read_photo(file)
    if photo.size != size:
        raise ValueError(
            f"{file} has {photo.width}x{photo.height}, the film {size[0]}x{size[1]}: repair a reference in its size"
        )
    levels = np.asarray(photo.convert("RGBA"), np.float32) / 255
    rgb, alpha = levels[..., :3], levels[..., 3:]
    planes = small(np.concatenate([alpha * chroma(rgb), alpha], axis=2))
    planes[..., :2] /= np.maximum(planes[..., 2:], 1e-6)
    return planes, small(alpha[..., 0] * luma(rgb))


def _wanted(shots: ShotList) -> list[int]:
    return [number for shot in shots.shots if shot.do == "color" for number in shot.references]


def _find(folder: Path, number: int) -> Path | None:
    """Find the file of a frame, whatever format a paint program has saved it in."""
    files = sorted(folder.glob(f"{number:05d}.*"), key=lambda file: file.stat().st_mtime_ns)
    return next((file for file in reversed(files) if file.suffix.lower() in PHOTO_ENDINGS), None)
