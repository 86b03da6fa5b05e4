"""Colour a film after reference frames: export them, read them back, carry their colours through their shots."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from colorgan.colorize.colorizer import to_array
from colorgan.colorize.motion import CUT_LIKENESS, Link, Tracker, likeness, moved, small
from colorgan.colorize.palette import Tones, tones
from colorgan.colorize.pipeline import Colored, FrameColorizer, SegmentEnd, colorize_segments
from colorgan.colorize.shot_list import ShotList
from colorgan.colorize.smoothing import change_chroma, chroma, luma
from colorgan.files import file_hash
from colorgan.media.film_facts import FilmFacts, Frame
from colorgan.media.film_reader import FilmReader
from colorgan.media.frame_folder import FolderReader
from colorgan.media.photo import PHOTO_ENDINGS, read_photo, save_photo

Known = tuple[int, np.ndarray | None]
REACH = 120  # frames from a reference at which nothing of its colours is left: 5 s


@dataclass
class _Waiting:
    """A frame that waits for a reference: what those before it tell, its link to these; in half precision."""

    number: int
    past: np.ndarray | None
    since: int
    link: tuple[np.ndarray, np.ndarray] | None


class References:
    """Known frames of a film, whose colours are carried through their shots, forwards and backwards.

    Along the flow each pixel takes its colour from frame to frame, with a confidence in [0, 1]: 1 in the reference,
    less with every frame where flows do not cancel or luma differs, and nothing after `REACH` frames. Between two
    references both count, the nearer one more. What appears in between is not known.

    Args:
        shots: which frames are references.
        pictures: by frame, (h, w, 3) at the size of `motion.small`: two planes of chroma and the confidence.
    """

    def __init__(self, shots: ShotList, pictures: Mapping[int, np.ndarray]) -> None:
        self.shots, self._pictures = shots, pictures

    def first_frame(self, frame: int) -> int:
        """Find where to begin for what is known of a frame: where its shot does."""
        return self.shots.at(frame).start

    def known(self, lumas: Iterable[tuple[int, np.ndarray]]) -> Iterator[Known]:
        """Say what is known of each frame.

        Args:
            lumas: number and small luma in [0, 1] of each frame, from the first frame of a shot on.

        Yields:
            The number, and (h, w, 3): two planes of chroma and the confidence; None for nothing.
        """
        tracker, past, since = Tracker(), None, 0
        waiting: list[_Waiting] = []
        for number, gray in lumas:
            shot = self.shots.at(number)
            link = tracker.follow(gray, anew=number == shot.start)
            past, since = None if past is None or link is None else _carried(past, link.back, link.kept), since + 1
            if number in self._pictures:
                yield from self._filled(waiting, self._pictures[number], _forth(link), number)
                past, since, waiting = self._pictures[number], 0, []
                yield number, past
                continue
            if since >= REACH:
                past = None
            if any(number < later <= number + REACH for later in shot.references if later in self._pictures):
                waiting.append(_Waiting(number, _half(past), since, _forth(link)))
            else:
                yield number, None if past is None else _faded(past, since)
        for entry in waiting:  # the film ends before a reference
            yield entry.number, None if entry.past is None else _faded(entry.past.astype(np.float32), entry.since)

    def _filled(
        self, waiting: Sequence[_Waiting], picture: np.ndarray, link: tuple[np.ndarray, np.ndarray] | None, number: int
    ) -> Iterator[Known]:
        """Carry a reference backwards over the frames that wait for it, and mix it with what they have."""
        future: np.ndarray | None = picture
        filled: list[Known] = []
        for entry in reversed(waiting):
            future = None if link is None or future is None else _carried(future, *link)
            link = entry.link
            ahead = None if future is None else _faded(future, number - entry.number)
            behind = None if entry.past is None else _faded(entry.past.astype(np.float32), entry.since)
            filled.append((entry.number, _mixed(behind, ahead)))
        yield from reversed(filled)


def _forth(link: Link | None) -> tuple[np.ndarray, np.ndarray] | None:
    return None if link is None else (link.forth.astype(np.float16), link.goes_on.astype(np.float16))


def _carried(planes: np.ndarray, flow: np.ndarray, trust: np.ndarray) -> np.ndarray:
    carried = moved(planes, flow.astype(np.float32))
    carried[..., 2] *= trust
    return carried


def _faded(planes: np.ndarray, frames: int) -> np.ndarray:
    """Lower the confidence by the distance to the reference."""
    faded = planes.copy()
    faded[..., 2] *= max(0.0, 1 - frames / REACH)
    return faded


def _half(planes: np.ndarray | None) -> np.ndarray | None:
    return None if planes is None else planes.astype(np.float16)


def _mixed(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Mix two by their confidence, which has faded with distance."""
    if first is None or second is None:
        return first if second is None else second
    a, b = first[..., 2:], second[..., 2:]
    planes = (a * first[..., :2] + b * second[..., :2]) / np.maximum(a + b, 1e-6)
    return np.concatenate([planes, a + b - a * b], axis=2)


def small_lumas(frames: Iterable[Frame], facts: FilmFacts) -> Iterator[tuple[int, np.ndarray]]:
    """Make number and small luma of each frame."""
    return ((frame.number, small(facts.gray(frame.luma).astype(np.float32) / 255)) for frame in frames)


def referred(
    items: Iterable[Colored | SegmentEnd], known: Generator[Known, None, None], gray_rule: str
) -> Iterator[Colored | SegmentEnd]:
    """Draw the colours of frames to what references tell of them, as far as these are sure.

    Args:
        items: coloured frames.
        known: of the same frames and perhaps some before.
        gray_rule: of the colorizer.
    """
    with closing(known):
        for item in items:
            planes = None
            if isinstance(item, Colored):
                planes = next(planes for number, planes in known if number == item.frame.number)
            if planes is None or isinstance(item, SegmentEnd) or item.frame.rgb is not None:
                yield item
                continue
            own = chroma(small(item.rgb.astype(np.float32) / 255))
            change = planes[..., 2:] * (planes[..., :2] - own)
            yield Colored(item.frame, to_array(change_chroma(item.rgb, change, gray_rule)))


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
        ValueError: one has another size than the film, or shows something else.
    """
    turned = reader.facts.quarter_turns % 2
    width, height = reader.facts.width, reader.facts.height
    size = (height, width) if turned else (width, height)
    pictures, lumas = {}, {}
    for number in _wanted(shots):
        file = _find(folder, number)
        assert file is not None, "exported before"
        photo = read_photo(file)
        if photo.size != size:
            raise ValueError(
                f"{file} has {photo.width}x{photo.height}, the film {size[0]}x{size[1]}: repair a reference in its size"
            )
        levels = np.asarray(photo.convert("RGBA"), np.float32) / 255
        rgb, alpha = levels[..., :3], levels[..., 3:]
        planes = small(np.concatenate([alpha * chroma(rgb), alpha], axis=2))
        pictures[number] = np.concatenate([planes[..., :2] / np.maximum(planes[..., 2:], 1e-6), planes[..., 2:]], 2)
        lumas[number] = small(alpha[..., 0] * luma(rgb))
    looked_at = [number for number in lumas if last is None or number <= last]
    for number, shown in small_lumas(_picked(looked_at, reader), reader.facts):
        if likeness(lumas[number] + (1 - pictures[number][..., 2]) * shown, shown) < CUT_LIKENESS:
            raise ValueError(
                f"{_find(folder, number)} does not show frame {number} of the film; repair what was exported, or "
                "move the file away to have the frame exported again"
            )
    return References(shots, pictures)


def _wanted(shots: ShotList) -> list[int]:
    return [number for shot in shots.shots if shot.do == "color" for number in shot.references]


def _find(folder: Path, number: int) -> Path | None:
    """Find the file of a frame, whatever format a paint program has saved it in."""
    files = sorted(folder.glob(f"{number:05d}.*"), key=lambda file: file.stat().st_mtime_ns)
    return next((file for file in reversed(files) if file.suffix.lower() in PHOTO_ENDINGS), None)
