"""Load photos from a stream, for sets too large to list, examine or keep; go on at any step.

The order cannot be a function of (seed, step) alone, as nobody knows what a stream holds before it is read. It is one
of (stream, seed, step): the stream is read in blocks, each is shuffled under its own seed, and beside a step stands
the state of the stream where the step's block begins. To go on is to read that block again.
"""

import copy
import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader, Dataset, Sampler

from colorgan.data.cache import drop_damaged_file, seal_file
from colorgan.data.datamodule import Batch, ColorizationDataModule, make_batch
from colorgan.data.examine import examine_photo, shrink, why_unusable
from colorgan.data.hub import HubSource
from colorgan.data.library import PhotoLibrary, Split, build_library
from colorgan.data.sources import Row
from colorgan.files import atomic
from colorgan.ranges import Count

_FILES_AT_ONCE = 16

Item = tuple[tuple[int, int, int], Row]  # (epoch, block, place in it), and the photo as the stream gives it


class StreamBatchSampler(Sampler[list[Item]]):
    """Batches of undecoded photos; runs in the training process, so the number of workers changes nothing.

    Args:
        stream: photos of this process.
        batch_size: of this process.
        seed: of this stage.
        num_steps: of the stage; its length, as Lightning counts finished steps too.
        start_step: first step to yield.
        block_size: photos that are held in memory, undecoded, and shuffled together.
        place: of `start_step`, from `places` of the sampler that went so far; None for the beginning.
    """

    def __init__(
        self,
        stream: datasets.IterableDataset,
        *,
        batch_size: int,
        seed: int,
        num_steps: int,
        start_step: int = 0,
        block_size: int = 2000,
        place: Mapping[str, Any] | None = None,
    ) -> None:
        self.stream, self.batch_size, self.seed = stream, batch_size, seed
        self.num_steps, self.start_step, self.block_size = num_steps, start_step, block_size
        start = {"epoch": 0, "block": 0, "used": 0, "stream": None}
        self.places: dict[int, dict[str, Any]] = {start_step: dict(place or start)}

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> Iterator[list[Item]]:
        place = self.places[self.start_step]
        items = self._items(place)
        for step in range(self.start_step, self.num_steps):
            batch = []
            for _ in range(self.batch_size):
                place, item = next(items)
                batch.append(item)
            self.places[step + 1] = place
            yield batch

    def place_of(self, step: int) -> dict[str, Any]:
        """Where to go on with a step; forgets the places of earlier ones."""
        self.places = {known: place for known, place in self.places.items() if known >= step}
        return self.places[step]

    def _items(self, place: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Item]]:
        """Each photo with the place behind it, epoch after epoch."""
        epoch, block, used, state = place["epoch"], place["block"], place["used"], place["stream"]
        while True:
            stream = self.stream.shuffle(seed=self.seed + epoch, buffer_size=1)  # the order of the files alone
            if state is not None:
                stream.load_state_dict(copy.deepcopy(state))
            else:
                state = copy.deepcopy(stream.state_dict())
            rows = iter(stream)
            while content := [row for _, row in zip(range(self.block_size), rows, strict=False)]:
                order = np.random.default_rng([self.seed, epoch, block]).permutation(len(content))
                for number in range(used, len(content)):
                    key = (epoch, block, int(order[number]))
                    behind = {"epoch": epoch, "block": block, "used": number + 1, "stream": state}
                    yield behind, (key, content[order[number]])
                state, block, used = copy.deepcopy(stream.state_dict()), block + 1, 0
            if block == 0:
                raise ValueError("the stream holds no photo for this process (data.path)")
            epoch, block, used, state = epoch + 1, 0, 0, None


class StreamViews(Dataset[Batch]):
    """Makes a batch of a list of items: decodes, checks, cuts views.

    In place of a photo that cannot be used stands another view of one that can, so that a batch keeps its size.
    """

    def __init__(self, module: "StreamingDataModule", split: Split, min_size: int) -> None:
        self.source, self.split, self.min_size = module.source, split, min_size
        self.min_colorfulness, self.store_size = module.min_colorfulness, module.store_size
        self.seed, self.options = module.stage_seed, module.view_options()

    def __getitems__(self, items: list[Item]) -> Batch:
        decoded = [self._decode({**row, "name": f"photo {n} of a batch"}) for n, (_, row) in enumerate(items)]
        pixels = [photo for photo, _ in decoded]
        usable = [photo for photo in pixels if photo is not None]
        if not usable:
            reasons = dict(Counter(reason for _, reason in decoded))
            raise ValueError(f"no photo of a batch can be used: {reasons} (data.path, data.min_colorfulness)")
        chosen = [usable[n % len(usable)] if photo is None else photo for n, photo in enumerate(pixels)]
        rngs = [np.random.default_rng([self.seed, *key]) for key, _ in items]
        return make_batch(chosen, rngs, **self.options)

    def _decode(self, row: Row) -> tuple[np.ndarray | None, str | None]:
        image, facts = examine_photo(row, self.source)
        reason = why_unusable(facts, self.min_size, self.min_colorfulness)
        if reason is None and self.split.holds_out(facts["sha256"]):
            reason = "held out"
        if reason is not None or image is None:
            return None, reason
        return np.asarray(image if self.store_size is None else shrink(image, self.store_size)), None


class StreamingDataModule(ColorizationDataModule):
    """Load batches from a stream: nothing is scanned beforehand, and memory holds a block of undecoded photos.

    A photo is held out if its hash lies in the lowest `validation_share` of all hashes. The validation photos are the
    first `max_validation` of these, found in many files of the stream side by side; none of the others is trained on
    either. Unreadable, small and near-gray
    photos are left out as they come. Photos that come twice are seen twice.

    Several processes share out the files of the stream, or, where files cannot be shared evenly, its photos; a run
    goes on under as many processes as it had.

    Args:
        source: a set that can be streamed.
        block_size: undecoded photos that are held in memory and shuffled together.
        options: of `ColorizationDataModule`.
    """

    def __init__(self, source: HubSource, *, block_size: Count = 2000, **options: Any) -> None:
        super().__init__(source, **options)
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {block_size} (data.block_size)")
        if self.validation_share >= 1:
            raise ValueError("a stream cannot be all validation: data.validation_share must be below 1")
        self.stream_source, self.block_size = source, block_size
        self._sampler: StreamBatchSampler | None = None
        self._places: list[dict[str, Any]] | None = None

    def num_training(self) -> int | None:
        """Return None: nobody knows how many photos a stream holds."""
        return None

    def names_of_step(self, step: int) -> list[str]:
        """Return none: the photos of a stream have no names that would find them again."""
        return []

    def examine(self, min_size: int) -> PhotoLibrary:
        """Read the stream until enough held-out photos are found; the library holds these alone."""
        threshold = f"{int(self.validation_share * 2**52) << 204:064x}"
        split, options = Split(self.seed, threshold), [self.max_validation, min_size, self.min_colorfulness]
        facts = [self.stream_source.describe(), self.stream_source.version(), self.seed, threshold, *options]
        identity = json.dumps([*facts, _FILES_AT_ONCE], sort_keys=True)
        path = self.cache_dir / f"stream-{hashlib.sha256(identity.encode()).hexdigest()[:32]}.parquet"
        drop_damaged_file(path)
        if not path.exists():
            _keep(self._held_out(split, min_size), path)
        self.library = build_library(
            _HeldOut(self.stream_source, path),
            min_size=min_size,
            store_size=None,
            min_colorfulness=self.min_colorfulness,
            validation_share=1,
            max_validation=self.max_validation,
            seed=self.seed,
            cache_dir=self.cache_dir,
        )
        self.library = replace(self.library, split=split, store_size=self.store_size)
        self._panels = {}
        return self.library

    def _held_out(self, split: Split, min_size: int) -> Iterator[dict[str, Any]]:
        found, seen, error = 0, Counter[str](), ""
        for number, row in enumerate(_from_many_files(self.stream_source.stream(), self.seed)):
            image, facts = examine_photo({**row, "name": f"{number:08d}"}, self.source)
            unusable = why_unusable(facts, min_size, self.min_colorfulness)
            seen[unusable or "usable"] += 1
            error = error or facts["error"]
            if image is not None and unusable is None and split.holds_out(facts["sha256"]):
                content = self.stream_source.files.content(row["image"])
                content = content.read_bytes() if isinstance(content, Path) else content
                yield {"name": f"{number:08d}", "image": {"bytes": content, "path": None}}
                found += 1
                if found == self.max_validation:
                    return
        if not found:
            raise ValueError(_why_none_held_out(seen, error))

    def begin_stage(self, *, share: float = 1.0, **options: Any) -> None:
        """As for photos that are listed; a stage cannot draw from a share of a stream."""
        if share != 1:
            raise ValueError(f"share={share}: a stream has no share; give schedule.stages.*.share=1 (data=hub_stream)")
        super().begin_stage(**options)
        self._sampler = self._places = None

    def train_dataloader(self) -> DataLoader[Batch]:
        """Load the batches of this stage from the step its module has reached."""
        trainer = self.trainer
        assert trainer is not None
        assert self.library is not None
        assert self.library.split is not None
        rank, world_size = trainer.global_rank, trainer.world_size
        if self.batch_size % world_size:
            raise ValueError(f"batch_size={self.batch_size} cannot be shared by {world_size} processes (batch_size)")
        if self._places is not None and len(self._places) != world_size:
            raise ValueError(
                f"this run streams under {len(self._places)} processes, not {world_size} (trainer.devices)"
            )
        self._sampler = StreamBatchSampler(
            split_dataset_by_node(self.stream_source.stream(), rank=rank, world_size=world_size),
            batch_size=self.batch_size // world_size,
            seed=self.stage_seed,
            num_steps=self.num_steps,
            start_step=int(trainer.lightning_module.steps),  # type: ignore[arg-type]  # a `Stage`
            block_size=self.block_size,
            place=self._places[rank] if self._places else None,
        )
        return DataLoader(
            StreamViews(self, self.library.split, self.image_size),
            batch_sampler=self._sampler,
            collate_fn=_as_it_is,
            num_workers=self.num_workers,
        )

    def state_dict(self) -> dict[str, Any]:
        """Gather where each process goes on."""
        trainer = self.trainer
        assert trainer is not None
        if self._sampler is None:
            return {}
        place = self._sampler.place_of(int(trainer.lightning_module.steps))  # type: ignore[arg-type]  # a `Stage`
        places: list[Any] = [place] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(places, place)
        return {"places": places}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the places."""
        self._places = state_dict.get("places")


def _from_many_files(stream: datasets.IterableDataset, seed: int) -> Iterator[Row]:
    """Read the files of a stream side by side, in seeded order, a row of each in turn.

    In many sets a file holds a few classes. More files than `_FILES_AT_ONCE` would have to be fetched for a few rows.
    """
    waiting = iter(np.random.default_rng(seed).permutation(stream.num_shards).tolist())
    reading = deque(iter(stream.shard(stream.num_shards, file)) for file in islice(waiting, _FILES_AT_ONCE))
    while reading:
        rows = reading.popleft()
        if (row := next(rows, None)) is not None:
            yield row
            reading.append(rows)
        elif (file := next(waiting, None)) is not None:
            reading.append(iter(stream.shard(stream.num_shards, file)))


class _HeldOut(HubSource):
    """The validation photos of a stream, kept in a file."""

    def __init__(self, source: HubSource, path: Path) -> None:
        super().__init__(source.path, name=source.name, split=source.split)
        self.file = path

    def listing(self) -> datasets.Dataset:
        table = datasets.Dataset.from_parquet(str(self.file), cache_dir=str(self.file.parent / "parquet"))
        return table.cast_column("image", datasets.Image(decode=False))


def _why_none_held_out(seen: Mapping[str, int], error: str) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in seen.items())
    if "usable" in seen:
        return f"the stream holds no photo for validation ({counts}); raise data.validation_share"
    counts = f"{counts}, such as: {error}" if error else counts or "it is empty"
    return f"no photo of the stream can be used: {counts} (data.path, data.min_colorfulness)"


def _keep(rows: Iterator[dict[str, Any]], path: Path) -> None:
    kept = list(rows)
    with atomic(path) as temporary:
        datasets.Dataset.from_list(kept).to_parquet(str(temporary))
    seal_file(path)


def _as_it_is(batch: Any) -> Batch:
    made: Batch = batch
    return made
