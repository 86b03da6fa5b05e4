"""Read and write the list of a film's shots: a CSV that is edited by hand, in any editor or spreadsheet."""

import csv
import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from colorgan.colorize.looks import PRESETS, Look, parse_hues, parse_number
from colorgan.files import write_text
from colorgan.media.cuts import FoundShot

T = TypeVar("T")

ACTIONS = ("color", "keep", "skip")
COLUMNS = ("shot", "start", "end", "seconds", "begins", "kind", "do", "reference", "preset")
LOOKS = ("strength", "saturation", "dark", "hues")  # empty cells have the preset's value
_NEEDED = ("start", "end", "do")
_FOR_KIND = {"film": "color", "color": "keep", "title": "skip", "blank": "skip"}


@dataclass(frozen=True)
class Shot:
    """Hold what is done with a shot.

    Attributes:
        name: what the list calls it.
        start: its first frame, from 1 on.
        end: its last frame.
        do: `color`, `keep` (as it is in the source) or `skip` (gray).
        dissolve: frames over which it is mixed with the one before.
        references: frames whose colours are given.
        palette: name of a photo whose colours it is to have; None for none.
        look: how its colours are finished.
        row: of the list, for messages.
    """

    name: str
    start: int
    end: int
    do: str = "color"
    dissolve: int = 0
    references: tuple[int, ...] = ()
    palette: str | None = None
    look: Look = field(default_factory=Look)
    row: int = 0

    @property
    def middle(self) -> int:
        """The frame that stands for it."""
        return (self.start + self.end) // 2


class ShotList:
    """The shots of a film, in order and without gaps; what comes behind the last counts to it.

    Args:
        shots: at least one.
    """

    def __init__(self, shots: Sequence[Shot]) -> None:
        self.shots = list(shots)
        self._starts = [shot.start for shot in self.shots]

    def index(self, frame: int) -> int:
        """Find the place in the list of the shot that a frame, from 1 on, belongs to."""
        return max(0, bisect_right(self._starts, frame) - 1)

    def at(self, frame: int) -> Shot:
        """Find the shot that a frame, from 1 on, belongs to."""
        return self.shots[self.index(frame)]

    def named(self, name: str) -> Shot:
        """Find a shot by its name.

        Raises:
            ValueError: there is none.
        """
        for shot in self.shots:
            if shot.name == name:
                return shot
        names = f"{self.shots[0].name} to {self.shots[-1].name}"
        raise ValueError(f"--shot {name}: the list has no such shot; its column shot has {names}")

    def keeps(self, frame: int) -> bool:
        """Whether a frame stays as it is."""
        return self.at(frame).do == "keep"


def write_shots(path: Path, found: Sequence[FoundShot], preset: str = "natural") -> None:
    """Write what was found as a list, each shot with what to do by its kind and its middle frame as reference."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, *LOOKS])
    for number, shot in enumerate(found, start=1):
        do = _FOR_KIND[shot.kind]
        begins = "cut" if not shot.dissolve else f"dissolve {shot.dissolve}"
        reference = (shot.start + shot.end) // 2 if do == "color" else ""
        cells = [number, shot.start, shot.end, f"{shot.seconds:.2f}", begins, shot.kind, do, reference, preset]
        table.writerow([*cells, *[""] * len(LOOKS)])
    write_text(path, text.getvalue())


def read_shots(path: Path) -> ShotList:
    """Read a list; commas, semicolons or tabs, UTF-8 or UTF-16, as spreadsheets write them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: what is wrong with it, by row and column.
    """
    rows = _rows(path)
    number, header = next(rows, (0, []))
    names = [name.strip().lower() for name in header]
    while names and not names[-1]:
        names.pop()
    _check_names(path, names)
    shots: list[Shot] = []
    for number, cells in rows:
        if len(cells) > len(header):  # else the cells behind it would be read as those of other columns
            raise ValueError(
                f"{path}, row {number}: got {len(cells)} cells; allowed: {len(header)}, as in row 1; put a cell that "
                "holds the separator in double quotes"
            )
        if any(cell.strip() for cell in cells):
            row = _Row(path, number, dict(zip(names, [*cells, *[""] * len(names)], strict=False)))
            shots.append(row.shot(shots[-1] if shots else None))
    if not shots:
        raise ValueError(f"{path} lists no shots; `colorgan shots FILM -o {path.name}` makes a list")
    taken: dict[str, int] = {}
    for shot in shots:
        taken[shot.name] = taken.get(shot.name, 0) + 1
        if taken[shot.name] > 1:
            raise ValueError(f"{path}, column shot: {shot.name} is there more than once; leave new ones empty")
    return ShotList(shots)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    if not path.is_file():
        raise FileNotFoundError(f"no list of shots {path}; `colorgan shots FILM -o {path.name}` makes one")
    data = path.read_bytes()
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no CSV in UTF-8 or UTF-16; save it as CSV in UTF-8, not as a workbook") from error
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        yield from enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator), start=1)
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV: {error}; a double quote that is not closed, perhaps") from error


def _check_names(path: Path, names: Sequence[str]) -> None:
    allowed = [*COLUMNS, *LOOKS]
    for place, name in enumerate(names, start=1):
        if name not in allowed:
            raise ValueError(f"{path}, row 1, column {place}: {name!r} is unknown; allowed: {', '.join(allowed)}")
        if name in names[: place - 1]:
            raise ValueError(f"{path}, row 1, column {place}: {name} is there more than once")
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise ValueError(f"{path}, row 1: column {', '.join(missing)} is missing")


class _Row:
    """A row that is read cell by cell; what is wrong is told with its place."""

    def __init__(self, path: Path, number: int, cells: Mapping[str, str]) -> None:
        self._place, self._number, self._cells = f"{path}, row {number}", number, cells

    def shot(self, before: Shot | None) -> Shot:
        start, end = self._read("start", _frame), self._read("end", _frame)
        first = before.end + 1 if before else 1
        if start != first:
            behind = f"one behind the end of the row above ({first - 1})" if before else "the film's first frame"
            raise ValueError(f"{self._place}, column start: got {start}; allowed: {first}, {behind}")
        if end < start:
            raise ValueError(f"{self._place}, column end: got {end}; allowed: {start} (its start) or more")
        references, palette = self._read("reference", _references)
        for frame in references:
            if not start <= frame <= end:
                raise ValueError(f"{self._place}, column reference: got {frame}; allowed: its frames {start} to {end}")
        name = self._cells.get("shot", "").strip() or f"at {start}"
        do, dissolve = self._read("do", _choice(ACTIONS, None)), self._read("begins", _dissolve)
        return Shot(name, start, end, do, dissolve, references, palette, self._look(), self._number)

    def _look(self) -> Look:
        look = PRESETS[self._read("preset", _choice(PRESETS, "natural"))]
        return Look(
            self._read("strength", _up_to(1, look.strength)),
            self._read("saturation", _up_to(3, look.saturation)),
            self._read("dark", _up_to(1, look.dark)),
            self._read("hues", parse_hues) or look.hues,
        )

    def _read(self, column: str, parse: Callable[[str], T]) -> T:
        try:
            return parse(self._cells.get(column, "").strip())
        except ValueError as error:
            raise ValueError(f"{self._place}, column {column}: {error}") from error


def _frame(text: str) -> int:
    try:
        number = parse_number(text)
    except ValueError:
        number = 0.5
    if not number.is_integer() or number < 1:
        raise ValueError(f"got {text!r}; allowed: the number of a frame, from 1 on")
    return int(number)


def _references(text: str) -> tuple[tuple[int, ...], str | None]:
    """Read frames, and the name of a photo, which has a dot in it."""
    words = text.replace(";", " ").replace(",", " ").split()
    photos = [word for word in words if not word.isdigit() and "." in word.strip(".")]
    photos = [photo for photo in photos if not photo.replace(".", "").isdigit()]
    if len(photos) > 1:
        raise ValueError(f"got {text!r}; allowed: frames, and one photo")
    frames = {_frame(word) for word in words if word not in photos}
    return tuple(sorted(frames)), photos[0] if photos else None


def _dissolve(text: str) -> int:
    word, _, count = text.lower().partition(" ")
    if word in ("", "cut") and not count:
        return 0
    if word != "dissolve":
        raise ValueError(f"got {text!r}; allowed: cut, or dissolve and its frames, as in 'dissolve 12'")
    return _frame(count.strip())


def _choice(allowed: Sequence[str] | Mapping[str, object], default: str | None) -> Callable[[str], str]:
    def parse(text: str) -> str:
        word = text.lower() or default
        if word not in allowed:
            raise ValueError(f"got {text!r}; allowed: {', '.join(allowed)}")
        return str(word)

    return parse


def _up_to(highest: float, default: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = parse_number(text) if text else default
        except ValueError:
            value = -1.0
        if not 0 <= value <= highest:
            raise ValueError(f"got {text!r}; allowed: a number from 0 to {highest:g}")
        return value

    return parse
