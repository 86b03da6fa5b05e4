"""List the shots of a film, and show a picture of each on one sheet, before and after it is colorized."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from colorgan.colorize.film_source import open_source
from colorgan.colorize.looks import PRESETS
from colorgan.colorize.shot_list import Shot, ShotList, read_shots, write_shots
from colorgan.files import atomic
from colorgan.media.cuts import find_shots
from colorgan.media.film_reader import FilmReader
from colorgan.media.frame_folder import FolderReader
from colorgan.media.sheet import fitted, picture_sheet

SIDE = 160  # pixels of the longer side of a picture
_BLOCKS = 4  # shots side by side, or more where the sheet would be too high
_HIGHEST = 60_000  # pixels of a sheet: JPEG holds 65,500
_GAP = 4


def list_shots(source: Path, out: Path, preset: str, *, overwrite: bool) -> None:
    """Find the shots of a film, write their list and a sheet beside it, and say how many there are.

    Raises:
        ValueError: the list exists, or an option cannot be used.
    """
    if out.suffix.lower() != ".csv":
        raise ValueError(f"--out must end in .csv, got {out}")
    if preset not in PRESETS:
        raise ValueError(f"--preset {preset} is unknown; allowed: {', '.join(PRESETS)}")
    for file in (out, out.with_suffix(".jpg")):
        if file.exists() and not overwrite:
            raise ValueError(f"{file} exists; use --overwrite or another --out")
    reader = open_source(source, keep_color=True)
    found = find_shots(reader.frames(), reader.facts)
    write_shots(out, found, preset)
    listed = read_shots(out)
    save_sheet(out.with_suffix(".jpg"), listed.shots, _first_looks(reader, listed))
    kinds = {kind: sum(shot.kind == kind for shot in found) for kind in ("color", "title", "blank")}
    words = "".join(f", {number} {kind}" for kind, number in kinds.items() if number)
    mixed = sum(shot.dissolve > 0 for shot in found)
    sys.stdout.write(f"{len(found)} shots (dissolves and fades: {mixed}{words}): {out}, {out.with_suffix('.jpg')}\n")
    if reader.damage:
        raise ValueError(f"{source} is damaged: {reader.damage}; the list is of what can be decoded")


def save_sheet(path: Path, shots: Sequence[Shot], pictures: Mapping[int, Image.Image]) -> bool:
    """Lay out the pictures of shots, by their middle frames; returns whether one of them has any."""
    shown = [shot for shot in shots if shot.middle in pictures]
    if not shown:
        return False
    labels = [f"{shot.name}: {shot.start}-{shot.end} {shot.do}" for shot in shown]
    rows = [[pictures[shot.middle]] for shot in shown]
    height = len(rows) * (max(row[0].height for row in rows) + _GAP)
    blocks = max(min(_BLOCKS, len(rows)), -(-height // _HIGHEST))
    sheet = picture_sheet(rows, labels=labels, gap=_GAP, num_blocks=blocks)
    with atomic(path) as temporary:
        sheet.save(temporary, format="JPEG", quality=90)
    return True


def _first_looks(reader: FilmReader | FolderReader, shots: ShotList) -> dict[int, Image.Image]:
    """Read the middle frame of each shot, in its colours where it has some."""
    middles, pictures = {shot.middle for shot in shots.shots}, {}
    for frame in reader.frames():
        if frame.number in middles:
            rgb = frame.rgb if frame.rgb is not None else reader.facts.gray(frame.luma)
            pictures[frame.number] = fitted(Image.fromarray(rgb).convert("RGB"), SIDE)
    return pictures
