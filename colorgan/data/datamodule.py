"""Load photos as batches of gray and colour, for training and validation."""

import logging
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from colorgan.color import color_planes, recombine, rgb_to_gray
from colorgan.data.degrade import Degradation
from colorgan.data.hints import HintSource
from colorgan.data.library import PhotoLibrary, build_library
from colorgan.data.order import SampleKey, StepBatchSampler, batch_keys
from colorgan.data.sources import Source
from colorgan.data.transforms import center_view, random_view
from colorgan.media.photo import UnreadablePhotoError
from colorgan.ranges import Count, Natural, NotNegative, PositiveShare

Batch = dict[str, Tensor]
_VALIDATION_BATCH = 32
_TRIES = 10  # photos, before a broken one is taken for a broken disk

logger = logging.getLogger(__name__)


class ColorizationDataModule(pl.LightningDataModule):
    """Load the photos of one source as batches `{"gray": (N, 1, H, W), "rgb": (N, 3, H, W)}`, float32 in [0, 1].

    One object serves all stages of a run; `begin_stage` says what the next one wants. The order of the training
    data is a pure function of (seed, step), and what happens to a sample one of (seed, epoch, position): results
    do not depend on the number of workers, and a resumed run sees the batches it would have seen.

    Args:
        source: where photos come from.
        validation_share: share of photos that are never trained on.
        max_validation: no further group joins validation once it holds so many photos.
        validation_panel: how many of them, drawn by their hashes, are looked at during training.
        min_colorfulness: photos less colourful than this are left out as gray.
        store_size: shorter side at which decoded photos are cached; None decodes the file each time.
        min_crop: smallest random square, as a share of the shorter side.
        degradation: damage to the gray of training samples; the target keeps the photo's chroma on that gray.
        hints: colour that the generator is told in training samples, the batch's `hints`; None for none.
        num_workers: loader processes; 0 loads in the training process.
        seed: of split, order and augmentation.
        cache_dir: where examined photos are kept; by default beside the caches of Hugging Face datasets.
    """

    def __init__(
        self,
        source: Source,
        *,
        validation_share: PositiveShare = 0.1,
        max_validation: Count = 200,
        validation_panel: Count = 100,
        min_colorfulness: NotNegative = 5.0,
        store_size: Count | None = None,
        min_crop: PositiveShare = 0.6,
        degradation: Degradation | None = None,
        hints: HintSource | None = None,
        num_workers: Natural = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 < min_crop <= 1:
            raise ValueError(f"min_crop must be in (0, 1], got {min_crop} (data.min_crop)")
        if not 0 < validation_share <= 1:
            raise ValueError(f"validation_share must be in (0, 1], got {validation_share} (data.validation_share)")
        self.source, self.store_size = source, store_size
        self.validation_share, self.max_validation = validation_share, max_validation
        self.validation_panel, self.min_colorfulness = validation_panel, min_colorfulness
        self.min_crop, self.degradation, self.hints = min_crop, degradation, hints
        self.num_workers, self.seed = num_workers, seed
        self.cache_dir = Path(cache_dir) if cache_dir else Path(datasets.config.HF_DATASETS_CACHE) / "colorgan"
        self.library: PhotoLibrary | None = None
        self._panels: dict[tuple[int, str, int | None], ValidationViews] = {}
        self.image_size, self.batch_size, self.num_steps, self.stage_seed = 0, 0, 0, 0
        self.gray_rule, self.share, self.degrade = "", 1.0, True
        self.skipped_file: Path | None = None  # where photos are listed that could not be read in training

    def examine(self, min_size: int) -> PhotoLibrary:
        """Examine and split the photos.

        Args:
            min_size: photos smaller than so many pixels are left out; a stage leaves those out that are smaller than
                its own pictures.
        """
        self.library = build_library(
            self.source,
            min_size=min_size,
            store_size=self.store_size,
            min_colorfulness=self.min_colorfulness,
            validation_share=self.validation_share,
            max_validation=self.max_validation,
            seed=self.seed,
            cache_dir=self.cache_dir,
        )
        self._panels = {}
        return self.library

    def begin_stage(
        self,
        *,
        gray_rule: str,
        image_size: int,
        batch_size: int,
        num_steps: int,
        stage_index: int,
        share: float = 1.0,
        degrade: bool = True,
    ) -> None:
        """Set what the next stage's batches look like.

        Args:
            gray_rule: how gray is made from colour; the generator's.
            image_size: height and width.
            batch_size: photos a step, over all processes.
            num_steps: of the stage.
            stage_index: makes the order of the photos differ from other stages'.
            share: part of the training photos to draw from.
            degrade: whether to damage the gray, where there is a degradation.
        """
        self.gray_rule, self.image_size = gray_rule, image_size
        self.batch_size, self.num_steps = batch_size, num_steps
        self.stage_seed = self.seed * 1000 + stage_index
        self.share, self.degrade = share, degrade

    def training_photos(self) -> Sequence[int]:
        """List the photos that this stage draws from, by index: all that are large enough, or a seeded share."""
        assert self.library is not None
        photos = self.library.large_enough("train", self.image_size)
        if self.share == 1:
            return photos
        chosen = np.random.default_rng([self.stage_seed, len(photos)]).permutation(len(photos))
        return array("q", (photos[i] for i in sorted(chosen[: max(1, int(len(photos) * self.share))])))

    def num_training(self) -> int | None:
        """Count the photos to train on; None for streams."""
        assert self.library is not None
        return len(self.library.splits["train"])

    def view_options(self) -> dict[str, Any]:
        """Collect the options of `make_batch` for this stage."""
        return {
            "image_size": self.image_size,
            "gray_rule": self.gray_rule,
            "min_crop": self.min_crop,
            "degradation": self.degradation if self.degrade else None,
            "hints": self.hints,
        }

    def names_of_step(self, step: int) -> list[str]:
        """List the photos in the batch of a step, by name; none for streams."""
        assert self.library is not None
        photos = self.training_photos()
        keys = batch_keys(num_items=len(photos), batch_size=self.batch_size, seed=self.stage_seed, step=step)
        return [str(self.library.table[photos[position]]["name"]) for _, position in keys]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Load the batches of this stage from the step its module has reached."""
        trainer = self.trainer
        assert trainer is not None
        assert self.library is not None
        if not self.library.splits["train"]:
            raise ValueError("validation_share=1 leaves no photo to train on (data.validation_share)")
        sampler = StepBatchSampler(
            num_items=len(self.training_photos()),
            batch_size=self.batch_size,
            seed=self.stage_seed,
            num_steps=self.num_steps,
            start_step=int(trainer.lightning_module.steps),  # type: ignore[arg-type]  # a `Stage`
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        dataset = TrainingViews(self.library, self)
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=_already_a_batch,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Load the fixed panel of validation photos: centre crops without degradation."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self.validation_loader(self.image_size, limit=self.validation_panel, rank=rank, world_size=world_size)

    def validation_loader(
        self, image_size: int, *, limit: int | None = None, rank: int = 0, world_size: int = 1
    ) -> DataLoader[Batch]:
        """Load validation photos at any size, as `PhotoLibrary.drawn` orders them; views stay in memory."""
        assert self.library is not None
        panel = (image_size, self.gray_rule, limit)
        if panel not in self._panels:
            rows = self.library.drawn(self.library.large_enough("val", image_size), limit)
            self._panels[panel] = ValidationViews(self.library, rows, image_size, self.gray_rule)
        dataset = self._panels[panel]
        if len(dataset) < world_size:
            raise ValueError(
                f"{len(dataset)} validation photos cannot be shared by {world_size} processes (data.validation_panel)"
            )
        indices = range(rank, len(dataset), world_size)
        batches = [list(indices[i : i + _VALIDATION_BATCH]) for i in range(0, len(indices), _VALIDATION_BATCH)]
        if world_size > 1:  # as many batches in each process, for they wait for one another
            count = -(-len(range(0, len(dataset), world_size)) // _VALIDATION_BATCH)
            batches = [part.tolist() for part in np.array_split(indices, count)]
        return DataLoader(dataset, batch_sampler=batches, collate_fn=_already_a_batch)

    def panel_groups(self) -> list[int]:
        """Number the groups of the photos of `val_dataloader`, in the order of one process."""
        assert self.library is not None
        rows = self.library.drawn(self.library.large_enough("val", self.image_size), self.validation_panel)
        return self.library.group_numbers(rows)

    def training_panel(self, limit: int) -> tuple[Batch, list[int]] | None:
        """Read some of the photos that the stage draws from, as validation photos are read, and number their groups.

        None for a stream.
        """
        assert self.library is not None
        rows = self.library.drawn(self.training_photos(), limit)
        if not rows:
            return None
        views = ValidationViews(self.library, rows, self.image_size, self.gray_rule)
        return views.__getitems__(list(range(len(rows)))), self.library.group_numbers(rows)


def _already_a_batch(batch: Any) -> Batch:
    made: Batch = batch
    return made


def views_to_rgb(views: list[np.ndarray]) -> Tensor:
    """Stack images (H, W, 3) uint8 of one size into a batch (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous().float() / 255


class TrainingViews(Dataset[Batch]):
    """Random views of the training photos; one fetch makes a whole batch, so that gray is derived once for it."""

    def __init__(self, library: PhotoLibrary, module: ColorizationDataModule) -> None:
        self.library, self.indices = library, module.training_photos()
        self.seed, self.options = module.stage_seed, module.view_options()
        self._least_side = math.ceil(module.image_size / module.min_crop)  # so that no view is enlarged
        self.skipped_file, self._skipped = module.skipped_file, set[int]()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: SampleKey) -> Batch:
        return self.__getitems__([key])

    def __getitems__(self, keys: list[SampleKey]) -> Batch:
        rngs = [np.random.default_rng([self.seed, *key]) for key in keys]
        return make_batch([self._pixels(key) for key in keys], rngs, **self.options)

    def _pixels(self, key: SampleKey) -> np.ndarray:
        """Read the photo of a sample, or in place of one that became unreadable another, chosen by the sample alone."""
        others = None
        for attempt in range(_TRIES):
            position = key[1] if others is None else others[attempt - 1]
            index = self.indices[int(position)]
            try:
                return self.library.pixels(index, self._least_side)
            except (UnreadablePhotoError, OSError) as error:
                self._list_skipped(index, error)
                last = error
            if others is None:
                others = np.random.default_rng([self.seed, *key, 1]).integers(len(self), size=_TRIES - 1)
        raise ValueError(f"{_TRIES} photos in a row cannot be read, the last one: {last} (data.path)")

    def _list_skipped(self, index: int, error: Exception) -> None:
        if index in self._skipped:
            return
        self._skipped.add(index)
        logger.warning("skipped in training: %s", error)
        if self.skipped_file is not None:
            with self.skipped_file.open("a") as file:  # one short write: lines of several workers do not mix
                file.write(f"{self.library.table[index]['name']}\n")


def make_batch(
    photos: list[np.ndarray],
    rngs: list[np.random.Generator],
    *,
    image_size: int,
    gray_rule: str,
    min_crop: float,
    degradation: Degradation | None,
    hints: HintSource | None = None,
) -> Batch:
    """Take a random view of each photo (H, W, 3) uint8, its gray, damaged if a degradation is given, and its hints."""
    views = [random_view(photo, image_size, rng, min_crop=min_crop) for photo, rng in zip(photos, rngs, strict=True)]
    rgb = views_to_rgb(views)
    gray = rgb_to_gray(rgb, gray_rule)
    if degradation is not None:
        damaged = [degradation(g[0], rng) for g, rng in zip(gray.numpy(), rngs, strict=True)]
        gray = torch.from_numpy(np.stack(damaged)).unsqueeze(1)
        # The target is the photo's chroma on the gray that the generator sees. A generator keeps that gray, so
        # against the clean photo a discriminator would look for the noise, and pixel losses would count it.
        rgb = recombine(gray, rgb, gray_rule)
    if hints is None:
        return {"gray": gray, "rgb": rgb}
    colors = color_planes(rgb, gray_rule).numpy()
    known = torch.from_numpy(np.stack([hints(planes, rng) for planes, rng in zip(colors, rngs, strict=True)]))
    return {"gray": gray, "rgb": rgb, "hints": known}


class ValidationViews(Dataset[Batch]):
    """Centre crops of some photos, from the originals: the same pictures that `evaluate.py` measures."""

    def __init__(self, library: PhotoLibrary, rows: Sequence[int], image_size: int, gray_rule: str) -> None:
        self.library, self.indices = library, rows
        self.image_size, self.gray_rule = image_size, gray_rule
        self._views: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, positions: list[int]) -> Batch:
        for p in positions:
            if p not in self._views:
                self._views[p] = center_view(self.library.original(self.indices[p]), self.image_size)
        rgb = views_to_rgb([self._views[p] for p in positions])
        return {"gray": rgb_to_gray(rgb, self.gray_rule), "rgb": rgb}
