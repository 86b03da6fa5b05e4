"""Colorize a photo or a folder of them: what is taken, where it goes, what is skipped and why."""

import mimetypes
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.progress import track

from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.hints import Hints, read_hints
from colorgan.console import make_console
from colorgan.files import file_hash
from colorgan.media.film_reader import FILM_ENDINGS
from colorgan.media.formats import Inside, has_photo_or_film_name, look_inside
from colorgan.media.photo import UnreadablePhotoError, read_pages
from colorgan.media.provenance import mark_colorized
from colorgan.media.samples import TooLargeError, to_8bit
from colorgan.media.save import ANIMATED, OUT_ENDINGS, PAGED, write_scans
from colorgan.media.scan import Scan

_CLOSED, _LINK = "it cannot be read", "it is a link to a folder, which is not followed"  # named, whatever their names


@dataclass(frozen=True)
class PhotoOptions:
    """Choose how photos are colorized; `colorgan colorize` has a flag for each.

    Args:
        compare: write gray, colour and original side by side.
        overwrite: replace what exists.
        max_megapixels: larger photos are skipped.
        hints: file of colours that are known, for one photo.
    """

    compare: bool = False
    overwrite: bool = False
    max_megapixels: float = 500.0
    hints: Path | None = None

    def __post_init__(self) -> None:
        if not self.max_megapixels > 0:
            raise ValueError(f"--max-megapixels must be above 0, got {self.max_megapixels}")


@dataclass(frozen=True)
class Plan:
    """Hold what is to be done: the output of each photo, and why other files are skipped."""

    jobs: dict[Path, Path]
    skipped: dict[Path, str] = field(default_factory=dict)
    others: int = 0


def colorize_photos(
    source: Path, out: Path, load: Callable[[int], Colorizer], checkpoint: Path, options: PhotoOptions
) -> bool:
    """Colorize a photo or a folder of them; at the end say what was done, and what was skipped with the reason.

    Args:
        source: the file or the folder.
        out: a file, for one photo, or a folder.
        load: makes the colorizer for so many photos; called once the plan is known to be good.
        checkpoint: the file that `load` reads; it is named in the metadata of the pictures.
        options: how.

    Returns:
        Whether nothing was skipped.

    Raises:
        ValueError: `out` does not fit, or not one photo could be read.
    """
    plan = plan_photos(source, out, overwrite=options.overwrite)
    hints = None if options.hints is None else _read_hints(options.hints, source)
    skipped = {file: f"{file}: {reason}" for file, reason in plan.skipped.items()}
    colorizer = load(len(plan.jobs)) if plan.jobs else None
    console = make_console(stderr=True)
    jobs = track(
        plan.jobs.items(), "colorizing", console=console, disable=len(plan.jobs) < 2 or not console.is_terminal
    )
    for photo, target in jobs:
        assert colorizer is not None
        try:
            write_scans(_colorized(photo, colorizer, checkpoint, options, hints), target)
        except UnreadablePhotoError as error:
            reason = f"{error} (--max-megapixels)" if isinstance(error.__cause__, TooLargeError) else str(error)
            if source == photo:
                raise UnreadablePhotoError(reason) from error
            skipped[photo] = reason
    for line in skipped.values():
        sys.stderr.write(f"skipped: {line}\n")
    done = len(plan.jobs) - len(skipped.keys() & plan.jobs.keys())
    if not done:
        raise ValueError(f"none of the {len(skipped)} photos in {source} could be colorized")
    place = plan.jobs.get(source, out)
    by = f" ({_engine(colorizer, hints)})" if colorizer is not None else ""
    others = f", {plan.others} files that are neither photo nor film left alone" if plan.others else ""
    sys.stdout.write(f"{done} colorized, {len(skipped)} skipped{others}: {place}{by}\n")
    return not skipped


def _read_hints(file: Path, source: Path) -> Hints:
    if source.is_dir():
        raise ValueError(f"--hints goes with one photo, but {source} is a folder")
    if (pages := look_inside(source).pages) > 1:
        raise ValueError(f"--hints goes with one photo, but {source} has {pages}")
    return read_hints(file)


def plan_photos(source: Path, out: Path, *, overwrite: bool) -> Plan:
    """Choose the output file of each photo; refuse before any work what would overwrite something.

    Raises:
        FileNotFoundError: there is no photo.
        ValueError: `out` does not fit the photos, or exists.
    """
    if source.is_dir():
        plan = _plan_folder(source, out)
    elif source.is_file():
        plan = Plan({source: _target_of(source, out, look_inside(source))})
    else:
        raise FileNotFoundError(f"no photo or folder {source}")
    if any(target.resolve() == photo.resolve() for photo, target in plan.jobs.items()):
        raise ValueError(f"--out {out} would replace the original photos; choose another folder")
    for folder in {target.parent for target in plan.jobs.values()}:
        blocking = next(place for place in (folder, *folder.parents) if place.exists())
        if not blocking.is_dir():
            raise ValueError(f"--out {out}: {blocking} is a file, not a folder; choose another --out")
    existing = [target for target in plan.jobs.values() if target.exists()]
    if existing and not overwrite:
        raise ValueError(
            f"{existing[0]} exists ({len(existing)} of {len(plan.jobs)} outputs do); use --overwrite or another --out"
        )
    return plan


def _plan_folder(source: Path, out: Path) -> Plan:
    found = {file: _look_inside(file) for file in _files_in(source, out)}
    photos = {file: inside for file, inside in found.items() if inside.kind == "photo"}
    skipped = {
        file: inside.reason if inside.kind is None else f"it is a film; colorgan colorize {file} --out FILM.mp4"
        for file, inside in found.items()
        if inside.kind == "film"
        or (inside.kind is None and (has_photo_or_film_name(file) or inside.reason.startswith((_CLOSED, _LINK))))
    }
    others = len(found) - len(photos) - len(skipped)
    if not photos and not skipped:
        raise FileNotFoundError(f"no photos in {source}" + (f", only {others} other files" if others else ""))
    if _is_file_name(out):
        raise ValueError(f"{source} is a folder, so --out must be a folder, got {out}")
    stems = Counter(photo.with_suffix("") for photo in photos)
    jobs = {}
    for photo, inside in photos.items():
        stem = photo.with_suffix("")
        name = photo.name if stems[stem] > 1 or stem in photos else photo.stem  # a.jpg beside a.png; a beside a.jpg
        jobs[photo] = out / photo.relative_to(source).with_name(f"{name}{_ending_of(inside)}")
    return Plan(jobs, skipped, others)


def _files_in(source: Path, out: Path) -> list[Path]:
    """List what is to be looked at: files, and what cannot be entered; not hidden ones, nor outputs of a run before."""
    found: list[Path] = []
    blocked: list[OSError] = []
    outputs = None if out.resolve() == source.resolve() else out.resolve()
    for folder, below, names in os.walk(source, onerror=blocked.append):
        here = Path(folder)
        linked = [name for name in below if (here / name).is_symlink()]  # not entered: they may lead in a circle
        found += [here / name for name in (*names, *linked) if not name.startswith(".")]
        below[:] = [name for name in below if not name.startswith(".") and (here / name).resolve() != outputs]
    return sorted(found + [Path(error.filename) for error in blocked])


def _look_inside(file: Path) -> Inside:
    """Look inside a file of a folder, whose other files go on where it cannot be read."""
    try:
        if file.is_symlink() and file.is_dir():
            return Inside(None, _LINK)
        if not file.is_file() and not file.is_dir():
            return Inside(None, "it is a dead link" if file.is_symlink() else "it is no regular file")
        return look_inside(file)
    except OSError as error:
        return Inside(None, f"{_CLOSED}: {error.strerror or error}")


def _target_of(source: Path, out: Path, inside: Inside) -> Path:
    if inside.kind != "photo":
        raise ValueError(f"{source} cannot be read as a photo or a film: {inside.reason}")
    ending = out.suffix.lower()
    if out.is_dir() or not _is_file_name(out):
        return out / f"{source.stem}{_ending_of(inside)}"
    if ending not in OUT_ENDINGS:
        raise ValueError(
            f"{source} is a photo, so --out must end in {', '.join(sorted(OUT_ENDINGS))}, or be a folder, got {out}"
        )
    if inside.pages > 1 and ending not in (ANIMATED | PAGED if inside.animated else PAGED):
        what, fitting = ("frames", ANIMATED | PAGED) if inside.animated else ("pages", PAGED)
        raise ValueError(
            f"{source} has {inside.pages} {what}, which {ending} cannot hold; "
            f"--out can end in {', '.join(sorted(fitting))}, or be a folder"
        )
    return out


def _is_file_name(out: Path) -> bool:
    """Tell a file's name from a folder's such as `colorized.v2`."""
    ending = out.suffix.lower()
    return not out.is_dir() and (
        ending in OUT_ENDINGS | FILM_ENDINGS or mimetypes.guess_type(f"x{ending}")[0] is not None
    )


def _ending_of(inside: Inside) -> str:
    """Choose the format of a folder's outputs: lossless, with room for all pages; PNG also holds animations."""
    return ".tif" if inside.pages > 1 and not inside.animated else ".png"


def _colorized(
    photo: Path, colorizer: Colorizer, checkpoint: Path, options: PhotoOptions, hints: Hints | None
) -> Iterator[Scan]:
    """Colorize the pages of a photo one by one."""
    maker = describe_maker(checkpoint, _engine(colorizer, hints))
    for scan in read_pages(photo, max_megapixels=options.max_megapixels):
        colored = colorizer.colorize_scan(scan, hints)
        if options.compare:
            colored = _side_by_side(colorizer.gray_scan(scan), colored, scan)
        yield mark(colored, maker)


def _engine(colorizer: Colorizer, hints: Hints | None) -> str:
    return colorizer.engine if hints is None else colorizer.hint_engine


def describe_maker(checkpoint: Path, engine: str) -> str:
    """Name a checkpoint and its engine, for the metadata of what they make."""
    of_run = checkpoint.stem in ("final", "handover")  # these names say nothing without their folder's
    name = f"{checkpoint.resolve().parent.name}/{checkpoint.name}" if of_run else checkpoint.name
    return f"{name} (sha256 {file_hash(checkpoint)[:16]}), {engine}"


def mark(colored: Scan, maker: str) -> Scan:
    """Say in a picture's metadata that it was colorized, and by what."""
    return replace(colored, metadata=mark_colorized(colored.metadata, f"colorgan {version('colorgan')}", maker))


def _side_by_side(*scans: Scan) -> Scan:
    """Put pictures of one size beside each other, without transparency."""
    pictures = [replace(scan, alpha=None).to_array() for scan in scans]
    if len({picture.dtype for picture in pictures}) > 1:  # --squash has 8 bits
        pictures = [to_8bit(picture) for picture in pictures]
    return Scan(np.concatenate(pictures, axis=1), duration_ms=scans[0].duration_ms)
