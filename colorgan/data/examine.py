"""Examine photos once: whether they can be read, their size, content hash and colorfulness, in a cached table."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image

from colorgan.color import colorfulness
from colorgan.data.cache import checksum, drop_damaged_arrow, seal_arrow
from colorgan.data.sources import Row, Source
from colorgan.media.photo import UnreadablePhotoError

_CACHE_VERSION = 7  # raise it when `_examine` stores, or a source draws, something else
_PARALLEL_FROM = 500  # photos; below, starting processes costs more than it saves
_CHUNK = 25_000  # photos, each so many a file of the cache: a scan that was stopped goes on behind the last whole one
_FEATURES = datasets.Features(
    {
        "position": datasets.Value("int64"),
        "name": datasets.Value("string"),
        "group": datasets.Value("string"),
        "held_out": datasets.Value("bool"),  # none where the source leaves the split to a hash
        "sha256": datasets.Value("string"),
        "width": datasets.Value("int32"),
        "height": datasets.Value("int32"),
        "colorfulness": datasets.Value("float32"),
        "error": datasets.Value("string"),
        "shape": datasets.Sequence(datasets.Value("int32"), length=2),
        "pixels": datasets.Value("binary"),
        "checksum": datasets.Value("uint32"),
    }
)
_JUDGED_AT = 160  # shorter side, in pixels, at which a photo is called gray or not, whatever size is stored


def examine_all(listing: datasets.Dataset, source: Source, store_size: int | None, cache_dir: Path) -> datasets.Dataset:
    """Examine the photos of a listing, once: the table is cached in chunks, and a scan that was stopped goes on.

    Args:
        listing: a row a photo.
        source: opens them.
        store_size: shorter side at which decoded photos are kept in the table; None to keep none.
        cache_dir: folder of the cache.
    """
    columns = [name for name in listing.column_names if name != "image"]
    identity = json.dumps(
        [
            _CACHE_VERSION,
            source.describe(),
            store_size,
            listing._fingerprint if "image" in listing.column_names else "",
        ]
    )
    digest = hashlib.sha256(identity.encode())
    for name, values in read_columns(listing, *columns).items():
        digest.update(json.dumps([name, values]).encode())
    cache_dir.mkdir(parents=True, exist_ok=True)
    parallel = len(listing) >= _PARALLEL_FROM
    parts = []
    for first in range(0, len(listing), _CHUNK):
        part = listing.select(range(first, min(first + _CHUNK, len(listing))))
        last = f" {first + 1} to {first + len(part)} of {len(listing)}" if len(listing) > _CHUNK else ""
        cache = cache_dir / f"{digest.hexdigest()[:32]}{f'-{first}' if first else ''}.arrow"
        for file in _files_of(cache):
            drop_damaged_arrow(file)
        examined = part.map(
            _examine_batch,
            batched=True,
            batch_size=50,
            with_indices=True,
            fn_kwargs={"first": first, "source": source, "store_size": store_size, "in_worker": parallel},
            remove_columns=listing.column_names,
            features=_FEATURES,
            cache_file_name=str(cache),
            new_fingerprint=cache.stem,
            num_proc=os.cpu_count() if parallel else None,
            writer_batch_size=100,
            desc=f"examining photos{last}",
        )
        for file in _files_of(cache):
            seal_arrow(file)
        parts.append(examined)
    return datasets.concatenate_datasets(parts)


def _files_of(cache: Path) -> list[Path]:
    """List the Arrow files of a chunk: one, or one of each process that has examined a part."""
    return [*cache.parent.glob(cache.name), *cache.parent.glob(f"{cache.stem}_*_of_*.arrow")]


def _examine_batch(
    rows: dict[str, list[Any]],
    positions: list[int],
    first: int,
    source: Source,
    store_size: int | None,
    *,
    in_worker: bool,
) -> dict[str, list[Any]]:
    if in_worker:
        torch.set_num_threads(1)  # the OpenMP threads of the parent do not survive the fork: waiting for them hangs
    single = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    results = [_examine(row, first + n, source, store_size) for row, n in zip(single, positions, strict=True)]
    return {key: [result[key] for result in results] for key in _FEATURES}


def _examine(row: Row, position: int, source: Source, store_size: int | None) -> dict[str, Any]:
    image, facts = examine_photo(row, source)
    result = {**facts, "position": position, "name": row["name"], "shape": [0, 0], "pixels": b"", "checksum": 0}
    # Equal photos under two names stay in one split.
    result["group"], result["held_out"] = row.get("group") or facts["sha256"], row.get("held_out")
    if image is None:
        return {**result, "group": row.get("group") or ""}
    if store_size is None:
        return {**result, "shape": [image.height, image.width]}
    small = shrink(image, store_size)
    pixels = small.tobytes()
    return {**result, "shape": [small.height, small.width], "pixels": pixels, "checksum": checksum(pixels)}


def examine_photo(row: Row, source: Source) -> tuple[Image.Image | None, dict[str, Any]]:
    """Open a photo: its RGB image (None if it is unreadable) with hash, size and colorfulness, or the error."""
    facts = {"sha256": "", "width": 0, "height": 0, "colorfulness": 0.0, "error": ""}
    try:
        image = source.open(row).convert("RGB")
    except (UnreadablePhotoError, FileNotFoundError) as error:
        return None, {**facts, "error": str(error)}
    judged = np.array(shrink(image, _JUDGED_AT))  # a copy that torch may own
    rgb = torch.from_numpy(judged).permute(2, 0, 1)[None] / 255
    return image, {
        **facts,
        "sha256": hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest(),
        "width": image.width,
        "height": image.height,
        "colorfulness": colorfulness(rgb).item(),
    }


def why_unusable(facts: Mapping[str, Any], min_size: int, min_colorfulness: float) -> str | None:
    """Give the reason to leave a photo out, from what `examine_photo` says of it; None if there is none."""
    if facts["error"]:
        return "unreadable"
    if min(facts["width"], facts["height"]) < min_size:
        return f"smaller than {min_size} px"
    return "near-gray" if facts["colorfulness"] < min_colorfulness else None


def shrink(image: Image.Image, shorter_side: int) -> Image.Image:
    """Resize so that the shorter side is `shorter_side`, antialiased; smaller images stay as they are."""
    scale = shorter_side / min(image.size)
    if scale >= 1:
        return image
    size = (max(shorter_side, round(image.width * scale)), max(shorter_side, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def read_columns(table: datasets.Dataset, *names: str) -> dict[str, list[Any]]:
    """Read columns of a table by name, all at once; the table's own columns would be read row by row."""
    wanted = [name for name in names if name in table.column_names]
    if not wanted or not len(table):
        return {name: [] for name in wanted}
    read: dict[str, list[Any]] = table.select_columns(wanted).with_format("arrow")[:].to_pydict()
    return read
