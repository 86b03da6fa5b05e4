"""What judging networks share: features of photos are computed once and kept."""

import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from colorgan.color import quantize, to_uint8
from colorgan.networks.weights import FoundWeights


class FeatureNetwork(nn.Module):
    """A frozen network from pictures (N, 3, H, W) in [0, 1] to features (N, C).

    Photos are looked at once: their features are remembered by the hash of their content, in memory and, where a
    `FeatureStore` is given, on disk. Of pictures only the last batch is remembered, for a second metric.

    Args:
        name: how it is called in records.
        weights: the file it was loaded from.
        preparation: what is done to a picture before the network sees it, for records.
    """

    def __init__(self, name: str, weights: FoundWeights, preparation: str) -> None:
        super().__init__()
        self.name, self.weights, self.preparation = name, weights, preparation
        self.store: FeatureStore | None = None
        self._photos: dict[bytes, Tensor] = {}
        self._last: tuple[bytes, Tensor] | None = None

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in eval mode."""
        return super().train(False)

    def describe(self) -> dict[str, str]:
        """What identifies the features."""
        return {"feature_network": self.name, "weights": self.weights.sha256, "preparation": self.preparation}

    def of_pictures(self, fake_rgb: Tensor) -> Tensor:
        """Features of pictures, rounded to 8 bits first."""
        levels = to_uint8(fake_rgb)
        key = _hash(levels)
        if self._last is None or self._last[0] != key:
            self._last = key, self(levels.float() / 255)
        return self._last[1]

    def of_photos(self, rgb: Tensor) -> Tensor:
        """Features of photos, rounded to 8 bits first; those seen before do not go through the network again."""
        keys = [_hash(photo) for photo in to_uint8(rgb)]
        unknown = [key for key in keys if key not in self._photos]
        if unknown and self.store is not None:
            self._photos.update(self.store.read(self.describe(), unknown))
        new = {key: index for index, key in enumerate(keys) if key not in self._photos}
        if new:
            features = self(quantize(rgb[list(new.values())])).cpu()
            found = dict(zip(new, features, strict=True))
            self._photos.update(found)
            if self.store is not None:
                self.store.write(self.describe(), found)
        return torch.stack([self._photos[key] for key in keys]).to(rgb.device)


def _hash(levels: Tensor) -> bytes:
    return hashlib.sha256(f"{tuple(levels.shape)}".encode() + levels.cpu().contiguous().numpy().tobytes()).digest()


class FeatureStore:
    """Features of photos on disk, by network and content of the photo.

    A SQLite file: what was written survives a kill, and several processes may share it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = "network TEXT, photo BLOB, vector BLOB, PRIMARY KEY (network, photo)"
        try:
            self._database = sqlite3.connect(path, timeout=60)
            with self._database:
                self._database.execute(f"CREATE TABLE IF NOT EXISTS features ({columns}) WITHOUT ROWID")
        except sqlite3.Error as error:
            raise ValueError(f"{path} cannot be used ({error}); delete it, or set data.cache_dir elsewhere") from error

    def read(self, network: Mapping[str, str], photos: list[bytes]) -> dict[bytes, Tensor]:
        """Features of those photos that are stored."""
        query = "SELECT vector FROM features WHERE network = ? AND photo = ?"
        rows = {photo: self._database.execute(query, (_name(network), photo)).fetchone() for photo in photos}
        return {
            photo: torch.from_numpy(np.frombuffer(row[0], dtype=np.float32).copy())
            for photo, row in rows.items()
            if row
        }

    def write(self, network: Mapping[str, str], features: Mapping[bytes, Tensor]) -> None:
        """Store features."""
        rows = [(_name(network), photo, vector.float().numpy().tobytes()) for photo, vector in features.items()]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)


def _name(network: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(network.items()))
