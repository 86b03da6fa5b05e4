"""Say how many of the photos measured the run behind a checkpoint trained on."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from colorgan.data.library import Split
from colorgan.evaluation.photos import PhotoFacts

_FOLDERS_ABOVE = 3  # from a snapshot to the run that wrote it


@dataclass(frozen=True)
class Exposure:
    """What is known of a checkpoint's training on photos.

    Attributes:
        trained: on so many of them for certain.
        possible: on so many at most; None where the checkpoint, or one that it began with, does not say.
        count: of the photos.
    """

    trained: int
    possible: int | None
    count: int

    @property
    def note(self) -> str | None:
        """Word what a reader must know; None where no photo was trained on."""
        of_all = f"of these {self.count:,} photos"
        if self.possible is None:
            known, other = (f"trained on {self.trained:,} {of_all}, and ", "other ") if self.trained else ("", "")
            return f"{known}does not say which {other}photos it was trained on: these may be among them"
        if self.possible > self.trained:
            certain = f"on {self.trained:,} for certain" if self.trained else "there is no manifest.csv that tells"
            return f"may have trained on up to {self.possible:,} {of_all} ({certain})"
        return f"trained on {self.trained:,} {of_all}" if self.trained else None


def exposure(checkpoint: Path, header: Mapping[str, Any], photos: Sequence[PhotoFacts]) -> Exposure:
    """Find out how many photos a checkpoint was trained on.

    The manifest of its run, where the checkpoint lies in the run's folder, tells for certain. Elsewhere, and for the
    runs that it began with, the rule by which they held photos out tells which they would have trained on, had they
    seen them.

    Args:
        checkpoint: the file.
        header: its header.
        photos: that are measured.
    """
    splits = [split for split in header.get("splits", []) if split.get("kind") != "clips"]
    began_with = [header, *header.get("started_from", [])]
    says = "splits" in header and not any("source" in file for file in began_with)  # imported weights know no split
    in_reach = [photo for photo in photos if any(_in_reach(photo, split) for split in splits)]
    manifest = _manifest(checkpoint)
    listed = _listed_for_training(manifest) if in_reach and manifest else frozenset()
    trained = sum(photo.sha256 in listed for photo in in_reach)
    certain = manifest is not None and len(began_with) == len(splits) == 1  # it says nothing of runs before its own
    possible = trained if certain else len(in_reach)
    return Exposure(trained, possible if says else None, len(photos))


def _manifest(checkpoint: Path) -> Path | None:
    """Find the manifest of the run in whose folder a checkpoint lies."""
    around = (folder / "manifest.csv" for folder in list(checkpoint.resolve().parents)[:_FOLDERS_ABOVE])
    return next((path for path in around if path.is_file()), None)


@lru_cache(maxsize=1)  # the snapshots of a run share it
def _listed_for_training(manifest: Path) -> frozenset[str]:
    """Read the hashes of what a run trained on."""
    with manifest.open(newline="") as file:
        return frozenset(row["sha256"] for row in csv.DictReader(file) if row["split"] == "train")


def _in_reach(photo: PhotoFacts, split: Mapping[str, Any]) -> bool:
    """Tell whether a run with this split would train on a photo."""
    usable = photo.size >= split["min_size"] and photo.colorfulness >= split["min_colorfulness"]
    return usable and not Split(split["seed"], split["threshold"]).holds_out(photo.group, photo.held_out)
