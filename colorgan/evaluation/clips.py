"""Open clips to measure over time: films in folders, and photos under known motion."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from colorgan.color import recombine, rgb_to_gray, to_uint8
from colorgan.data.clips import MOTIONS, ClipsSource, input_noise, moved_photo
from colorgan.data.datamodule import views_to_rgb
from colorgan.data.library import Split
from colorgan.evaluation.photos import Batch, MeasuredSet, PhotoFacts, PhotoSet
from colorgan.evaluation.protocol import ClipProtocol
from colorgan.flow import Motion, build_estimator, estimate_motion
from colorgan.media.sheet import picture_sheet, to_image
from colorgan.ranges import Count

_FILM_SIZE, _FILM_FRAMES = 256, 72
_FILMED = 8  # photos to choose one from that has colours to show
_LEAST_FRAMES = 5  # of CDC
_FLOW_MEMORY = 2**30  # bytes of flows that are kept from one row of the table to the next
_SHOWN_CLIPS, _SHOWN_FRAMES, _SHOWN_HEIGHT = 4, 4, 120


class ClipSet(MeasuredSet):
    """Clips as batches `{"gray", "rgb", "position", "motion"}`, one clip each.

    Args:
        names: of the clips.
        groups: of each.
        protocol: resolved.
        data: what the record says of the source.
        left_out: how many clips are not measured, by reason.
    """

    unit = "clips"
    protocol: ClipProtocol

    def __init__(
        self,
        names: Sequence[str],
        groups: Sequence[str],
        protocol: ClipProtocol,
        data: Mapping[str, Any],
        left_out: Mapping[str, int],
    ) -> None:
        self.names, self.groups, self.protocol, self.data = list(names), list(groups), protocol, dict(data)
        self._left_out = dict(left_out)

    def left_out(self) -> dict[str, int]:
        """Count clips that are too short, equal another one or were trained on."""
        return self._left_out

    def loader(self, num_workers: int = 0) -> Iterator[Batch]:
        """Read all clips in order."""
        return (self.batch(position) for position in range(len(self)))

    def others(self, batch: Batch) -> Tensor:
        """Read frames of another clip, brought to the size and length of this one."""
        rgb, count = batch["rgb"], len(batch["rgb"])
        other: Tensor = self.batch(self.other(int(batch["position"])))["rgb"]
        turns = torch.arange(count) % (2 * len(other))
        frames = other[torch.minimum(turns, 2 * len(other) - 1 - turns)]  # there and back: no cut where it is short
        return F.interpolate(frames, rgb.shape[-2:], mode="bilinear", antialias=True).clamp(0, 1)

    def sheet(self, positions: Sequence[int], pictures: Mapping[str, Sequence[Tensor]]) -> Image.Image:
        """Lay out a row for each version of a clip: frames, and a slice through time, where flicker shows as stripes.

        The slice is the middle line of each frame, the first frame's on top.
        """
        clips = [self.names[position] for position in positions]
        labels = [f"{clip}: {version}" if len(clips) > 1 else version for clip in clips for version in pictures]
        rows = [_strip(frames) for versions in zip(*pictures.values(), strict=True) for frames in versions]
        columns = ["first frame", *[""] * (_SHOWN_FRAMES - 2), "last frame", "slice through time"]
        return picture_sheet(rows, columns=columns, labels=labels)

    def sheets(self, telling: Sequence[int], why: str) -> dict[str, tuple[str, list[int]]]:
        """Show a few clips, evenly spaced, each on its own sheet."""
        count = min(_SHOWN_CLIPS, len(self))
        positions = [number * len(self) // count for number in range(count)]
        return {
            f"clip-{number}": (f"{self.names[position]}: four frames and a slice through time", [position])
            for number, position in enumerate(positions, start=1)
        }


def _strip(frames: Tensor) -> list[Image.Image]:
    chosen = [round(i) for i in np.linspace(0, len(frames) - 1, _SHOWN_FRAMES)]
    middle = frames[:, :, frames.shape[2] // 2].transpose(0, 1)  # (3, T, W): time runs down
    size = (round(frames.shape[3] * _SHOWN_HEIGHT / frames.shape[2]), _SHOWN_HEIGHT)
    images = [to_image(frames[t]).resize(size, Image.Resampling.LANCZOS) for t in chosen]
    return [*images, to_image(middle).resize(size, Image.Resampling.NEAREST)]


class FilmClips(ClipSet):
    """Real clips, with the optical flow of their luma.

    Args:
        source: of the clips.
        protocol: resolved.
        splits: of the runs behind the checkpoints that trained on clips; what they trained on is not measured.

    Raises:
        ValueError: no clip is long enough, or held out.
    """

    def __init__(self, source: ClipsSource, protocol: ClipProtocol, splits: Sequence[Split] = ()) -> None:
        groups = {name: source.group(name) for name in source.clips}
        unseen = [name for name, group in groups.items() if all(split.holds_out(group) for split in splits)]
        if not unseen:
            raise ValueError(f"the runs of these checkpoints trained on all clips in {source.path} (data.path)")
        lengths = {name: source.length(name) for name in unseen}
        long = [name for name, length in lengths.items() if length >= _LEAST_FRAMES]
        if not long:
            raise ValueError(f"none of {len(lengths)} clips in {source.path} has {_LEAST_FRAMES} frames (data.path)")
        hashes = {name: _frames_hash(source.frames(name)) for name in long}
        self.hashes = {digest: name for name, digest in reversed(hashes.items())}
        names = sorted(self.hashes.values(), key=long.index)
        self.source, self.estimator = source, build_estimator(protocol.flow)
        left_out = {"too short": len(lengths) - len(long), "duplicate": len(long) - len(names)}
        left_out |= {"trained on": len(source.clips) - len(unseen), **source.left_out()}
        counts = {why: count for why, count in left_out.items() if count}
        named = replace(protocol, flow=self.estimator.name)  # which network, and which weights
        super().__init__(names, [groups[name] for name in names], named, source.describe(), counts)
        self._motions: dict[int, Motion] = {}
        self._kept = 0

    @cached_property
    def sha256(self) -> str:
        """Hash the decoded frames."""
        digests = {name: digest for digest, name in self.hashes.items()}
        return hashlib.sha256("".join(digests[name] for name in self.names).encode()).hexdigest()

    def batch(self, position: int) -> Batch:
        """Read one clip at the size of the protocol."""
        rgb = views_to_rgb([self.protocol.view(frame) for frame in self.source.frames(self.names[position])])
        assert self.protocol.gray_rule is not None
        gray = rgb_to_gray(rgb, self.protocol.gray_rule)
        return {"gray": gray, "rgb": rgb, "position": torch.tensor([position]), "motion": self._motion(position, rgb)}

    def _motion(self, position: int, rgb: Tensor) -> Motion:
        if position in self._motions:
            return self._motions[position]
        motion = estimate_motion(rgb_to_gray(rgb), self.estimator)
        size = motion.flow.nbytes + motion.visible.nbytes
        if self._kept + size <= _FLOW_MEMORY:
            self._motions[position], self._kept = motion, self._kept + size
        return motion


def _frames_hash(frames: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(str(frame.shape).encode() + frame.tobytes())
    return digest.hexdigest()


class MotionClips(ClipSet):
    """Photos that move in a known way; the flow is exact, and noise is on the input alone.

    The truth of a noisy input is the photo's chroma on that input, as in training: all rows share the noisy luma.

    Args:
        photos: (H, W, 3) uint8 by name.
        protocol: resolved; `image_size` is the side of the frames.
        num_frames: of each clip.
        motions: of `MOTIONS`, each of them over each photo.
        data: what the record says of the photos.
        facts: of each photo, whose group is that of its clips; None: each photo is a group.
    """

    def __init__(
        self,
        photos: Mapping[str, np.ndarray],
        protocol: ClipProtocol,
        *,
        num_frames: int,
        motions: Sequence[str],
        data: Mapping[str, Any],
        facts: Sequence[PhotoFacts] | None = None,
    ) -> None:
        self.pixels, self.photos = list(photos.values()), facts or ()
        self.num_frames, self.motions = num_frames, list(motions)
        names = [f"{photo} {motion}" for photo in photos for motion in motions]
        of_photos = list(photos) if facts is None else [photo.group for photo in facts]
        groups = [group for group in of_photos for _ in motions]
        described = {**data, "motions": self.motions, "num_frames": num_frames}
        super().__init__(names, groups, replace(protocol, name="motion", flow="exact"), described, {})

    def other(self, position: int) -> int:
        """Choose a photo of another group under the same motion."""
        step, count = len(self.motions), len(self.pixels)
        away = ((position + (count // 2 + number) * step) % len(self) for number in range(count))
        return next(other for other in away if self.groups[other] != self.groups[position])

    @cached_property
    def sha256(self) -> str:
        """Hash the photos and what moves them."""
        digest = hashlib.sha256(f"{self.motions} {self.num_frames}".encode())
        for photo in self.pixels:
            digest.update(str(photo.shape).encode() + photo.tobytes())
        return digest.hexdigest()

    def batch(self, position: int) -> Batch:
        """Move one photo."""
        number, motion = divmod(position, len(self.motions))
        rule, size, name = self.protocol.gray_rule, self.protocol.image_size, self.motions[motion]
        assert rule is not None
        assert size is not None
        rgb, moved = moved_photo(self.pixels[number], size, name, self.num_frames)
        gray = input_noise(rgb_to_gray(rgb, rule), name, seed=position)
        rgb = recombine(gray, rgb, rule) if name == "noise" else rgb
        return {"gray": gray, "rgb": rgb, "position": torch.tensor([position]), "motion": moved}


@dataclass(frozen=True)
class MotionPanel:
    """The settings of the panel of photos under known motion.

    Attributes:
        num_photos: so many of the validation photos, drawn by their hashes.
        num_frames: of each clip.
        motions: each of them over each photo.
    """

    num_photos: Count = 8
    num_frames: Count = 8
    motions: Sequence[str] = MOTIONS

    def __post_init__(self) -> None:
        if self.num_photos < 1 or self.num_frames < _LEAST_FRAMES:
            raise ValueError(
                f"the motion panel needs num_photos of at least 1 and num_frames of at least {_LEAST_FRAMES}, got "
                f"{self.num_photos} and {self.num_frames} (motion.num_photos, motion.num_frames)"
            )
        if unknown := set(self.motions) - set(MOTIONS):
            raise ValueError(f"unknown motions {sorted(unknown)}; allowed: {', '.join(MOTIONS)} (motion.motions)")

    def over(self, photos: PhotoSet, protocol: ClipProtocol) -> MotionClips:
        """Move some photos of a set, at the size at which the photos are measured.

        Args:
            photos: with a resolved protocol.
            protocol: its other keys; by default the network works at the size of the frames.
        """
        size, rule = photos.protocol.image_size, photos.protocol.gray_rule
        assert size is not None
        chosen = photos.drawn(self.num_photos)
        pixels = {photos.names[p]: photos.library.original(photos.indices[p]) for p in chosen}
        resolved = replace(protocol, image_size=size, network_size=protocol.network_size or size, gray_rule=rule)
        return MotionClips(
            pixels,
            resolved,
            num_frames=self.num_frames,
            motions=self.motions,
            data=photos.data,
            facts=[photos.photos[p] for p in chosen],
        )


def grainy_pan(photos: PhotoSet) -> Iterator[Image.Image]:
    """Make three seconds of a gray film with grain: a pan over the most colourful of some photos of a set."""
    colorfulness = photos.library.table["colorfulness"]
    rows = [photos.indices[position] for position in photos.drawn(_FILMED)]
    pixels = photos.library.original(max(rows, key=lambda row: float(colorfulness[row])))
    frames, _ = moved_photo(pixels, _FILM_SIZE, "pan", _FILM_FRAMES)
    gray = input_noise(rgb_to_gray(frames), "noise", seed=0)
    return (Image.fromarray(frame[0].numpy()) for frame in to_uint8(gray))
