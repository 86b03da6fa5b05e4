"""Read run folders: their state, and what their results scored under which protocol."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from colorgan.config import flat_values
from colorgan.evaluation.results import Record, Results
from colorgan.files import file_hash

PHOTOS = ("photos_sha256", "num_photos", "num_groups")  # keys of a protocol


@dataclass(frozen=True)
class Measurement:
    """What the result of a run scored on one set of photos, under one protocol.

    Attributes:
        protocol: of the photos.
        data: where they came from.
        metrics: values by name; those on clips are called `motion_<name>`.
        how: by name of the metric, all else that changes its value.
    """

    protocol: Mapping[str, Any]
    data: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    how: Mapping[str, str]

    @property
    def setting(self) -> dict[str, Any]:
        """The protocol without the photos; older measurements counted no groups, and copies of photos as photos."""
        told = {key: value for key, value in self.protocol.items() if key not in ("name", *PHOTOS)}
        return {**told, "counts_groups": self.protocol.get("num_groups") is not None}

    @property
    def photos(self) -> tuple[Any, ...]:
        """Hash and counts of the photos."""
        return tuple(self.protocol.get(key) for key in PHOTOS)


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: of the folder.
        config: as the run began with it; empty if it never began.
        state: `finished`, `pruned: WHY`, `failed: WHY` or `unfinished: WHERE`.
        measurements: of the final checkpoint, one a protocol; none if the run is not finished.
    """

    path: Path
    config: dict[str, Any]
    state: str
    measurements: list[Measurement]

    @cached_property
    def values(self) -> dict[str, Any]:
        """List values of the config by dotted key, without what changes no result."""
        return flat_values(self.config)


def find_runs(*folders: Path) -> list[Run]:
    """Read the runs in folders and their subfolders, or those that they are.

    Raises:
        FileNotFoundError: there is none in one of them.
        ValueError: a config cannot be read.
    """
    paths: dict[Path, Path] = {}  # each run once, however the folders overlap
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}; give a run folder, or one that holds some")
        found = sorted(_run_folders(folder))
        if not found:
            raise FileNotFoundError(f"no run in {folder}; a run folder holds config.yaml, and failed.json if it failed")
        paths = {**{path.resolve(): path for path in found}, **paths}
    return [_read_run(path) for path in paths.values()]


def _run_folders(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        if "config.yaml" in files or "failed.json" in files:
            folders.clear()  # what is inside belongs to the run
            yield Path(path)


def _read_run(path: Path) -> Run:
    config = {}
    if (path / "config.yaml").exists():
        try:
            config = yaml.safe_load((path / "config.yaml").read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path / 'config.yaml'} is damaged: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{path / 'config.yaml'} is damaged: it holds {type(config).__name__}, not a config")
    measurements = _final_measurements(path)
    return Run(path, config, "finished" if measurements else _state(path), measurements)


def _final_measurements(path: Path) -> list[Measurement]:
    """Read what was measured on photos, beside it what was on clips of the same size; none without photos."""
    if not (path / "final.safetensors").exists():
        return []
    digest = file_hash(path / "final.safetensors")  # by content: in a run of one stage it was measured as its hand-over
    records = Results(path / "evaluation").records().values()
    final = [record for record in records if record.get("checkpoint", {}).get("sha256") == digest]
    clips = {_size(record): record for record in final if "num_clips" in record["protocol"]}
    return [_measurement(record, clips.get(_size(record))) for record in final if "num_photos" in record["protocol"]]


def _size(record: Record) -> int | None:
    size: int | None = record["protocol"].get("image_size")
    return size


def _measurement(photos: Record, clips: Record | None) -> Measurement:
    metrics, how = dict(photos["metrics"]), _ways(photos, None)
    if clips is not None:
        metrics |= {f"motion_{name}": value for name, value in clips["metrics"].items()}
        how |= {f"motion_{name}": way for name, way in _ways(clips, clips["protocol"]).items()}
    return Measurement(photos["protocol"], photos.get("data", {}), metrics, how)


def _ways(record: Record, protocol: Mapping[str, Any] | None) -> dict[str, str]:
    protocols = record["metric_protocols"]
    if protocol is not None:  # of clips; which photos they move is the photos' affair
        protocol = {key: value for key, value in protocol.items() if key != "clips_sha256"}
    return {name: json.dumps([protocols.get(name), protocol], sort_keys=True) for name in record["metrics"]}


def _state(path: Path) -> str:
    if (path / "failed.json").exists():
        try:
            facts = json.loads((path / "failed.json").read_text())
            return f"{facts['state']}: {facts['error']}"
        except (ValueError, KeyError, TypeError):
            return "failed: unreadable failed.json"
    if (path / "final.safetensors").exists():
        return "unfinished: trained, not evaluated"
    stages = sorted(stage.name for stage in path.glob("[0-9][0-9]-*") if not (stage / "done.json").exists())
    return f"unfinished: stopped in or still at {stages[0]}" if stages else "unfinished: no stage begun"
