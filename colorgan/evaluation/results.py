"""Keep results of evaluations on disk, so that nothing is measured twice.

    evaluation/  metrics.jsonl           one line a measurement: what was measured, how, values, intervals
                 photos/<key>.npz        the values of each photo, resampled sets, histograms

A measurement belongs to a key, the hash of what was measured (a checkpoint's content, or the name of a baseline) and of
the protocol. Lines of one key add up: a metric that comes later, for example because its weights arrived, is measured
alone.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from colorgan.files import atomic, read_json_lines

Record = dict[str, Any]
_WHOLE = {"key": str, "name": str, "protocol": dict}
_PARTS = ("metrics", "intervals", "metric_protocols", "seconds")


def measurement_key(identity: str, protocol: Mapping[str, Any]) -> str:
    """Make the key of a measurement.

    Args:
        identity: SHA-256 of a checkpoint, or the name of a baseline.
        protocol: all that decides values, besides the metric.
    """
    return hashlib.sha256(json.dumps([identity, dict(protocol)], sort_keys=True).encode()).hexdigest()[:16]


class Results:
    """The results in a folder.

    Args:
        folder: where they are; made when something is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "metrics.jsonl"

    def records(self) -> dict[str, Record]:
        """Read what has been measured, by key; a line that a crash has cut off or a disk has damaged is left out."""
        merged: dict[str, Record] = {}
        for record in read_json_lines(self.path, {**_WHOLE, **dict.fromkeys(_PARTS, dict)}):
            known = merged.setdefault(record["key"], record)
            for part in _PARTS:
                known[part] = {**known[part], **record[part]}
        return merged

    def add(self, record: Record, arrays: Mapping[str, np.ndarray]) -> None:
        """Add a measurement: its arrays first, so that a line in `metrics.jsonl` always has them."""
        path = self._arrays_path(record["key"])
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{**self.arrays(record["key"]), **arrays})  # type: ignore[arg-type]
        self.folder.mkdir(parents=True, exist_ok=True)
        cut_off = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as lines:
            lines.write(("\n" if cut_off else "") + json.dumps(record, sort_keys=True) + "\n")

    def arrays(self, key: str) -> dict[str, np.ndarray]:
        """Read its arrays: `each/<metric>` (N,), `replicates/<metric>` (R,), `histograms`; empty if unknown."""
        path = self._arrays_path(key)
        if not path.exists():
            return {}
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}

    def _arrays_path(self, key: str) -> Path:
        return self.folder / "photos" / f"{key}.npz"


def paired_difference(
    arrays: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], metric: str, *, higher_is_better: bool | None
) -> dict[str, float] | None:
    """Test how much two measurements on the same photos differ, by a paired bootstrap over groups of photos.

    Both values of a pair come from the same resampled set of groups, so what makes a photo hard cancels.

    Returns:
        `difference` (other minus this, mean over resampled sets), `low` and `high` (95 % interval), and
        `confidence` (share of resampled sets in which the other one is better; ties count half; left out where no
        direction is better). None if either lacks the metric.
    """
    key = f"replicates/{metric}"
    if key not in arrays or key not in other or arrays[key].shape != other[key].shape:
        return None
    differences = other[key] - arrays[key]
    low, high = np.percentile(differences, [2.5, 97.5])
    result = {"difference": float(differences.mean()), "low": float(low), "high": float(high)}
    if higher_is_better is not None:
        better = differences > 0 if higher_is_better else differences < 0
        result["confidence"] = float(better.mean() + (differences == 0).mean() / 2)
    return result
