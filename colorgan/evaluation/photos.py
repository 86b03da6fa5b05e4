"""Open pictures to measure: what sets of photos and of clips share, and the photos of a protocol."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from colorgan.color import rgb_to_gray
from colorgan.data.datamodule import ColorizationDataModule, views_to_rgb
from colorgan.data.examine import read_columns
from colorgan.data.library import PhotoLibrary, Split, numbered
from colorgan.data.sources import Source
from colorgan.evaluation.protocol import BaseProtocol, Protocol
from colorgan.media.sheet import fitted, picture_sheet, to_image

Batch = Mapping[str, Any]  # gray (N, 1, H, W), rgb (N, 3, H, W), position; of clips also motion

_PIXELS_AT_ONCE = 2**21  # 32 photos of 256 px
_LEAST_NATIVE = 32  # pixels; judging networks and SSIM can do nothing with less
_LEAST_SHOWN, _MOST_SHOWN = 128, 256  # pixels of a photo on a sheet


@dataclass(frozen=True)
class PhotoFacts:
    """What tells whether a run trained on a photo.

    Attributes:
        sha256: of its content.
        group: by which runs split.
        size: shorter side, in pixels.
        colorfulness: as it was examined.
        held_out: what its source says of the split, if it decides that.
    """

    sha256: str
    group: str
    size: int
    colorfulness: float
    held_out: bool | None = None


class MeasuredSet(ABC):
    """Photos or clips in a fixed order, prepared as a protocol says; they are read anew each time.

    Attributes:
        unit: what they are: `photos` or `clips`.
        names: of each.
        groups: of each; those of one group, as crops of one photo, are no independent evidence.
        photos: what is known of the photos measured; none of clips, where what was trained on is left out.
        protocol: with all that it leaves to the checkpoints filled in.
        data: what the record says of their source.
    """

    unit: ClassVar[str]
    names: list[str]
    groups: list[str]
    photos: Sequence[PhotoFacts] = ()
    protocol: BaseProtocol
    data: dict[str, Any]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def title(self) -> str:
        """Say in a line what is measured, and how."""
        place = self.data.get("held_out") or self.data.get("path") or self.data["kind"]
        count = f"{len(self)} {self.unit} in {self.num_groups} group{'s' if self.num_groups > 1 else ''}"
        return f"{place}: {count}, {self.protocol.size_label}, protocol {self.protocol.name}"

    @property
    def num_groups(self) -> int:
        """Count the independent ones."""
        return len(set(self.groups))

    def group_numbers(self) -> list[int]:
        """Number the groups in the order in which they come; the number of each photo's or clip's."""
        return numbered(self.groups)

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash the content of all, in order."""

    @abstractmethod
    def left_out(self) -> dict[str, int]:
        """Count what the source has and is not measured, by reason; a split is no reason."""

    @abstractmethod
    def batch(self, position: int) -> Batch:
        """Read one photo or clip by its position."""

    @abstractmethod
    def loader(self, num_workers: int = 0) -> Iterable[Batch]:
        """Read all in order, in batches that fit into memory."""

    def other(self, position: int) -> int:
        """Choose one of another group, half the set away or as soon after that as there is one."""
        away = ((position + len(self) // 2 + step) % len(self) for step in range(len(self)))
        return next(other for other in away if self.groups[other] != self.groups[position])

    @abstractmethod
    def others(self, batch: Batch) -> Tensor:
        """Read other photos or another clip, in the shape of the batch's `rgb`."""

    @abstractmethod
    def sheet(self, positions: Sequence[int], pictures: Mapping[str, Sequence[Tensor]]) -> Image.Image:
        """Lay versions of some photos or clips out on one sheet.

        Args:
            positions: of the photos or clips.
            pictures: by the name of the version, those of each position, (N, 3, H, W) in [0, 1].
        """

    @abstractmethod
    def sheets(self, telling: Sequence[int], why: str) -> dict[str, tuple[str, list[int]]]:
        """Choose what a report shows: caption and positions by the name of the sheet.

        Args:
            telling: positions at which the checkpoints are worth a look.
            why: for the caption.
        """


class PhotoSet(MeasuredSet, Dataset[dict[str, Tensor]]):
    """The photos of a protocol as batches `{"gray", "rgb", "position"}`.

    Args:
        library: examined photos.
        protocol: with image size and gray rule filled in.
        data: what the record says of the source.
        splits: of the runs behind the checkpoints; of protocol.photos=val only what all of them hold out is measured.

    Raises:
        ValueError: there is no photo.
    """

    unit = "photos"
    protocol: Protocol

    def __init__(
        self, library: PhotoLibrary, protocol: Protocol, data: Mapping[str, Any], splits: Sequence[Split] = ()
    ) -> None:
        self.library, self.protocol, self.data = library, protocol, dict(data)
        if protocol.photos != "val" or all(split.threshold for split in splits):
            self.data.pop("held_out", None)  # said of the part that its source holds out
        columns = ("name", "group", "sha256", "width", "height", "colorfulness", "held_out")
        names, groups, hashes, widths, heights, colorfulness, held_out = read_columns(library.table, *columns).values()
        indices = self._held_out(splits) if protocol.photos == "val" else list(range(len(names)))
        least = _LEAST_NATIVE if protocol.geometry == "native" else 1 if protocol.enlarge else protocol.image_size or 1
        fitting = [index for index in indices if min(widths[index], heights[index]) >= least]
        if not fitting:
            raise ValueError(
                f"none of {len(indices)} photos has {least} px; ask for a smaller protocol.image_size (in training: "
                "test_size), or for protocol.enlarge=true"
            )
        self.num_too_small = len(indices) - len(fitting)
        distinct = list({hashes[index]: index for index in reversed(fitting)}.values())
        self.num_duplicates, fitting = len(fitting) - len(distinct), sorted(distinct)
        if protocol.first and protocol.draw == "name":
            fitting.sort(key=lambda index: names[index].rsplit("/", 1)[-1])
            self.indices = fitting[: protocol.first]
        else:
            self.indices = sorted(library.drawn(fitting, protocol.first))
        self.names = [names[index] for index in self.indices]
        self.groups = [groups[index] for index in self.indices]
        self.photos = [
            PhotoFacts(hashes[i], groups[i], min(widths[i], heights[i]), colorfulness[i], held_out[i])
            for i in self.indices
        ]

    def _held_out(self, splits: Sequence[Split]) -> list[int]:
        groups = list(zip(*read_columns(self.library.table, "group", "held_out").values(), strict=True))
        indices = [index for index, group in enumerate(groups) if all(split.holds_out(*group) for split in splits)]
        if not indices:
            raise ValueError(
                f"the runs of these checkpoints hold out none of the {len(groups)} photos; give photos that they "
                "never trained on and protocol.photos=all"
            )
        return indices

    @classmethod
    def of_source(cls, source: Source, protocol: Protocol, *, cache_dir: str | None = None) -> "PhotoSet":
        """Take the photos of a source, whatever was trained on.

        Args:
            source: for example `FolderSource("my_photos")`.
            protocol: with image size and gray rule.
            cache_dir: where examined photos are kept; by default beside the caches of Hugging Face datasets.
        """
        data = ColorizationDataModule(source, validation_share=1, cache_dir=cache_dir)
        if protocol.keep_gray:
            data.min_colorfulness = 0.0
        return cls(data.examine(min_size=1), protocol, source.describe())

    @cached_property
    def sha256(self) -> str:
        """Hash the content of all photos, in order."""
        return hashlib.sha256("".join(photo.sha256 for photo in self.photos).encode()).hexdigest()

    def drawn(self, count: int) -> list[int]:
        """Draw so many photos, by position."""
        positions = {index: position for position, index in enumerate(self.indices)}
        return [positions[index] for index in self.library.drawn(self.indices, count)]

    def left_out(self) -> dict[str, int]:
        """Count photos that were dropped, are too small or equal another one."""
        own = {"too small": self.num_too_small, "duplicate": self.num_duplicates}
        return {**self.library.dropped, **{reason: count for reason, count in own.items() if count}}

    def rgb(self, positions: Sequence[int]) -> Tensor:
        """Read photos (N, 3, H, W) in [0, 1] by their positions in the set."""
        return views_to_rgb([self.protocol.view(self.library.original(self.indices[p])) for p in positions])

    def others(self, batch: Batch) -> Tensor:
        """Read for each photo one of another group, half the set away: not a neighbour in a film."""
        size = batch["rgb"].shape[-2:]
        others = self.rgb([self.other(int(position)) for position in batch["position"]])
        if others.shape[-2:] == size:
            return others
        return F.interpolate(others, size, mode="bilinear", antialias=True)  # photos at their native size

    def __getitems__(self, positions: list[int]) -> dict[str, Tensor]:
        rgb = self.rgb(positions)
        assert self.protocol.gray_rule is not None
        gray = rgb_to_gray(rgb, self.protocol.gray_rule)
        return {"gray": gray, "rgb": rgb, "position": torch.tensor(positions)}

    def batch(self, position: int) -> Batch:
        """Read one photo."""
        return self.__getitems__([position])

    def loader(self, num_workers: int = 0) -> DataLoader[dict[str, Tensor]]:
        """Read all photos in order, in batches that fit into memory."""
        size = self.protocol.image_size or 1
        most = 1 if self.protocol.geometry == "native" else max(1, min(32, _PIXELS_AT_ONCE // size**2))
        batches = [list(range(i, min(i + most, len(self)))) for i in range(0, len(self), most)]
        return DataLoader(self, batch_sampler=batches, collate_fn=_as_it_is, num_workers=num_workers)

    def sheet(self, positions: Sequence[int], pictures: Mapping[str, Sequence[Tensor]]) -> Image.Image:
        """Lay out a row a photo; in two blocks where that makes the sheet less of a tower."""
        longest = max(picture.shape[-1] for version in pictures.values() for picture in version)
        size = max(_LEAST_SHOWN, min(_MOST_SHOWN, longest))
        rows = [[fitted(to_image(row[0]), size) for row in photo] for photo in zip(*pictures.values(), strict=True)]
        num_blocks = 2 if len(rows) > len(pictures) else 1
        title = self.data.get("held_out", "")
        return picture_sheet(rows, columns=list(pictures), num_blocks=num_blocks, title=title)

    def sheets(self, telling: Sequence[int], why: str) -> dict[str, tuple[str, list[int]]]:
        """Show on one sheet the photos that tell most."""
        subject = f"{self.data['held_out']}, those" if "held_out" in self.data else "photos"
        return {"differences": (f"The {subject} {why}", list(telling))}


def _as_it_is(batch: Any) -> dict[str, Tensor]:
    made: dict[str, Tensor] = batch
    return made
