"""Keep the photos of a run: examined once, kept in a cache on disk, split by the hash of their content."""

import csv
import hashlib
import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from colorgan.data.cache import checksum
from colorgan.data.examine import examine_all, read_columns, shrink, why_unusable
from colorgan.data.sources import Source
from colorgan.files import atomic, file_hash, write_text

logger = logging.getLogger(__name__)

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Split:
    """Which photos a run holds out: those whose group has, under the seed, a hash up to the threshold.

    So whether a photo was trained on does not depend on which other photos are in a folder.

    Attributes:
        seed: of the hash.
        threshold: SHA-256 in hex, of the last group held out; None where the source itself says what is held out.
    """

    seed: int
    threshold: str | None

    def holds_out(self, group: str, marked: bool | None = None) -> bool:
        """Tell whether photos of this group are never trained on.

        Args:
            group: of the photo.
            marked: what its source says (column `held_out`); None of a photo that is not of such a source.
        """
        return marked is not False if self.threshold is None else _rank(self.seed, group) <= self.threshold


def _rank(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


@dataclass(frozen=True)
class PhotoLibrary:
    """Examined photos and their split.

    Attributes:
        source: where they come from.
        listing: its rows.
        table: one row a usable photo, in the order of the listing.
        splits: for each split the row numbers, in the order of the listing.
        split: the rule behind `splits`; None if nothing is for training.
        dropped: how many photos were left out, by reason.
        store_size: shorter side, in pixels, at which decoded photos are kept; None: decoded anew each time.
    """

    source: Source
    listing: datasets.Dataset
    table: datasets.Dataset
    splits: dict[str, Sequence[int]]
    split: Split | None
    dropped: dict[str, int]
    store_size: int | None

    def pixels(self, index: int, least_side: int | None = None) -> np.ndarray:
        """Read the photo of a row as it is kept for training, (H, W, 3) uint8.

        Args:
            index: of the row.
            least_side: pixels on the shorter side that are enough where photos are decoded anew each time; None: all.
        """
        if self.store_size is None:
            if least_side is None:
                return self.original(index)
            row = self.listing[self.table["position"][index]]
            return np.asarray(self.source.open_reduced(row, least_side).convert("RGB"))
        row = self._mapped[index]
        pixels = row["pixels"][0].as_buffer()
        if index not in self._checked:
            if checksum(pixels) != row["checksum"][0].as_py():
                logger.warning("the kept pixels of %s are damaged; it is decoded anew", row["name"][0])
                return np.asarray(shrink(self._open(index), self.store_size))
            self._checked.add(index)
        return np.frombuffer(pixels, dtype=np.uint8).reshape(*row["shape"][0].as_py(), 3)

    @cached_property
    def _checked(self) -> set[int]:
        """The rows whose kept pixels were found whole since the program began."""
        return set()

    @cached_property
    def _mapped(self) -> datasets.Dataset:
        """The table as it lies in the mapped file: a row is not copied."""
        return self.table.with_format("arrow")

    def original(self, index: int) -> np.ndarray:
        """Decode the photo of a row at its full size, (H, W, 3) uint8."""
        return np.asarray(self._open(index))

    def _open(self, index: int) -> Image.Image:
        return self.source.open(self.listing[self.table["position"][index]]).convert("RGB")

    def large_enough(self, split: str, size: int) -> Sequence[int]:
        """List the rows of a split whose photos have at least `size` pixels on their shorter side."""
        rows = self.splits[split]
        sides = read_columns(self.table, "width", "height")
        enough = np.minimum(sides["width"], sides["height"]) >= size
        return rows if enough[rows].all() else array("q", (row for row in rows if enough[row]))

    def drawn(self, rows: Iterable[int], count: int | None = None) -> list[int]:
        """Draw so many rows, or bring all into the order in which they are drawn: by the hash of their content.

        So a part of the photos shows what all show, in whatever order and folders they lie. No group gives a second
        photo before each has given one.
        """
        groups, hashes, names = read_columns(self.table, "group", "sha256", "name").values()
        given = Counter[str]()
        turns = []
        for rank, name, row in sorted((_rank(0, hashes[row]), names[row], row) for row in rows):
            turns.append((given[groups[row]], rank, name, row))
            given[groups[row]] += 1
        return [row for *_, row in sorted(turns)[:count]]

    def group_numbers(self, rows: Sequence[int]) -> list[int]:
        """Number the groups of some rows."""
        groups = read_columns(self.table, "group")["group"]
        return numbered([groups[row] for row in rows])

    def manifest(self) -> dict[str, list[str]]:
        """List every used photo with its split and hash, by columns."""
        held_out = set(self.splits["val"])
        splits = ["val" if index in held_out else "train" for index in range(len(self.table))]
        columns = read_columns(self.table, "name", "group", "sha256", "width", "height")
        return {"split": splits, **{key: [str(value) for value in values] for key, values in columns.items()}}

    def summary(self) -> str:
        """Say in one line how many photos are used, and how many were left out, why."""
        used = ", ".join(f"{len(indices)} {split}" for split, indices in self.splits.items())
        left_out = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "none"
        return f"photos: {used}; left out: {left_out}"


def numbered(groups: Sequence[str]) -> list[int]:
    """Number groups in the order in which they come; the number of each."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return [numbers[group] for group in groups]


def build_library(
    source: Source,
    *,
    min_size: int,
    store_size: int | None,
    min_colorfulness: float,
    validation_share: float,
    max_validation: int,
    seed: int,
    cache_dir: Path,
) -> PhotoLibrary:
    """Examine all photos of a source (once: the result is cached) and split them.

    Args:
        source: the photos.
        min_size: photos whose shorter side is below this many pixels are left out.
        store_size: shorter side at which to keep decoded photos; larger ones are shrunk, none is enlarged.
        min_colorfulness: photos below this (Hasler and Süsstrunk, 0..~100) count as gray and are left out.
        validation_share: share of the photos, by groups, that are never trained on; 1 to measure only. A source that
            marks what it holds out has its own.
        max_validation: no further group joins validation once it holds so many photos.
        seed: of the split.
        cache_dir: folder of the cache.

    Raises:
        ValueError: fewer than two groups of photos are left; the message counts the reasons.
    """
    listing = source.listing()
    examined = examine_all(listing, source, store_size, cache_dir)
    keep, dropped = _select(examined, min_size, min_colorfulness)
    counts = {**dropped, **source.left_out()}
    if not keep:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        error = next(filter(None, read_columns(examined, "error")["error"]), None)
        raise ValueError(
            f"none of {len(examined)} photos can be used: {reasons} (data.path; data.min_colorfulness="
            f"{min_colorfulness:g}, though evaluate.py measures black-and-white photos with truth=false; the largest "
            f"schedule.stages.*.image_size={min_size}){f'; for example {error}' if error else ''}"
        )
    table = examined.select(keep)
    groups, marks = read_columns(table, "group", "held_out").values()
    split = None
    if validation_share != 1:
        marked = marks[0] is not None
        split = Split(seed, None) if marked else _choose_split(table, validation_share, max_validation, seed)
    # Arrays, not lists: what worker processes share with their parent stays shared only if nobody counts references.
    rows = {"train": array("q"), "val": array("q")}
    for index, (group, mark) in enumerate(zip(groups, marks, strict=True)):
        rows["val" if split is None or split.holds_out(group, mark) else "train"].append(index)
    return PhotoLibrary(source, listing, table, {**rows}, split, counts, store_size)


def write_manifest(library: PhotoLibrary, path: Path) -> None:
    """Write the manifest, or check that the photos are still those of an existing one.

    A manifest that does not fit the hash beside it is damaged, and is written again from the photos.

    Raises:
        ValueError: photos were added, removed or changed since the manifest was written.
    """
    columns, digest = library.manifest(), path.with_suffix(".csv.sha256")
    damaged = path.exists() and digest.exists() and digest.read_bytes().split()[:1] != [file_hash(path).encode()]
    if damaged:
        logger.warning("%s is damaged; it is written again from the photos as they are now", path)
    if damaged or not path.exists():
        with atomic(path) as temporary:
            with temporary.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
            digest.unlink(missing_ok=True)
        write_text(digest, f"{file_hash(path)}  {path.name}\n")
        return
    with path.open(newline="") as file:
        before = {(row["name"], row["sha256"], row["split"]) for row in csv.DictReader(file)}
    changed = before ^ set(zip(columns["name"], columns["sha256"], columns["split"], strict=True))
    if changed:
        raise ValueError(
            f"the photos are not those this run began with: {len({name for name, *_ in changed})} were added, removed "
            f"or changed, or are split otherwise, for example {min(changed)[0]} (see {path}; give a new run its own "
            "name=)"
        )


def _select(examined: datasets.Dataset, min_size: int, min_colorfulness: float) -> tuple[list[int], Counter[str]]:
    keep, dropped = [], Counter[str]()
    columns = read_columns(examined, "name", "error", "width", "height", "colorfulness")
    for index, values in enumerate(zip(*columns.values(), strict=True)):
        facts = dict(zip(columns, values, strict=True))
        reason = why_unusable(facts, min_size, min_colorfulness)
        if reason is None:
            keep.append(index)
            continue
        dropped[reason] += 1
        if facts["error"]:
            logger.warning("left out: %s: %s", facts["name"], facts["error"])
    return keep, dropped


def _choose_split(table: datasets.Dataset, share: float, most: int, seed: int) -> Split:
    """Groups in the order of a seeded hash; the first ones are for validation, as many as the share needs."""
    sizes = Counter(read_columns(table, "group")["group"])
    if len(sizes) < 2:
        raise ValueError("only one photo can be used; training and validation need at least two (data.path)")
    ranked = sorted(sizes, key=lambda group: _rank(seed, group))
    wanted, count, last = min(max(1, round(share * len(table))), most), 0, ranked[0]
    for group in ranked[:-1]:
        if count >= wanted:
            break
        count, last = count + sizes[group], group
    return Split(seed, _rank(seed, last))
