"""Clips that are measured over time: films in folders, and photos under known motion."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from colorgan.color import GRAY_RULES, recombine, rgb_to_gray, to_uint8
from colorgan.colorize.colorizer import Colorizer
from colorgan.data.clips import MOTIONS, ClipsSource, input_noise, moved_photo
from colorgan.data.datamodule import views_to_rgb
from colorgan.data.library import Split
from colorgan.flow import Motion, build_estimator, estimate_motion
from colorgan.evaluation.protocol import PhotoSet, common_gray_rule
from colorgan.colorize.smoothing import ChromaSmoother

ClipBatch = Mapping[str, Any]  # gray (T, 1, H, W), rgb (T, 3, H, W), position (1,), motion

_FRAMES_AT_ONCE = 8
_FILM_SIZE, _FILM_FRAMES = 256, 72
_LEAST_FRAMES = 5  # of CDC
_FLOW_MEMORY = 2**30  # bytes of flows that are kept from one row of the table to the next


@dataclass(frozen=True)
class ClipProtocol:
    """Everything about a number that is neither the checkpoint, nor the clips, nor the metric.

    Attributes:
        name: of the protocol.
        image_size: shorter side at which clips are measured, aspect kept; larger clips are resized, smaller ones left
            as they are. None: as they are.
        network_size: shorter side at which the network works, whose chroma is brought up; None: twice the size it was
            trained at, as `colorgan colorize` does.
        gray_rule: of the input; None: the rule that the checkpoint was trained with.
        flow: between luma planes: `dis`, `raft` or the path of RAFT's weights; not used where the motion is known.
        smooth: strength of `ChromaSmoother` behind the network; 0 for none.
    """

    name: str = "clips"
    image_size: int | None = 256
    network_size: int | None = None
    gray_rule: str | None = None
    flow: str = "dis"
    smooth: float = 0.0
    photos: ClassVar = "all"
    geometry: ClassVar = "shorter side"
    published: ClassVar[Sequence[Mapping[str, Any]]] = ()
    source: ClassVar = ""
    caveat: ClassVar = ""

    def __post_init__(self) -> None:
        if self.gray_rule not in (None, *GRAY_RULES):
            names = ", ".join(["null", *GRAY_RULES])
            raise ValueError(f"gray_rule={self.gray_rule!r} is unknown; allowed: {names} (clip_protocol.gray_rule)")
        for key in ("image_size", "network_size"):
            value = getattr(self, key)
            if value is not None and value < 16:
                raise ValueError(f"{key} must be at least 16 or null, got {value} (clip_protocol.{key})")
        if not 0 <= self.smooth < 1:
            raise ValueError(f"smooth must be in [0, 1), got {self.smooth} (clip_protocol.smooth)")

    def describe(self) -> dict[str, Any]:
        """The part that decides values, for records."""
        keys = ("image_size", "geometry", "network_size", "gray_rule", "flow", "smooth")
        return {key: getattr(self, key) for key in keys}

    def resolved(self, headers: Sequence[Mapping[str, Any]]) -> "ClipProtocol":
        """Filled in with what it leaves to the checkpoints; one network size for all of a table.

        Raises:
            ValueError: checkpoints of two gray rules cannot share a table.
        """
        size = self.network_size or 2 * max(int(header["image_size"]) for header in headers)
        return replace(self, network_size=size, gray_rule=self.gray_rule or common_gray_rule(headers, "clip_protocol"))

    def view(self, frame: np.ndarray) -> np.ndarray:
        """A frame as it is measured, (H, W, 3) uint8."""
        height, width = frame.shape[:2]
        if self.image_size is None or min(height, width) <= self.image_size:
            return frame
        scale = self.image_size / min(height, width)
        size = (round(width * scale), round(height * scale))
        return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))

    def colorize(self, generator: nn.Module, gray: Tensor) -> Tensor:
        """The colours of a clip's gray (T, 1, H, W), as `colorgan colorize` makes them."""
        assert self.gray_rule is not None
        assert self.network_size is not None
        device = str(gray.device)
        colorizer = Colorizer(generator, gray_rule=self.gray_rule, working_size=self.network_size, device=device)
        rgb = torch.cat([colorizer.colorize_gray(part) for part in torch.split(gray, _FRAMES_AT_ONCE)])
        return ChromaSmoother(strength=self.smooth, gray_rule=self.gray_rule).smooth(rgb) if self.smooth else rgb

    def finish(self, picture: Tensor, rgb: Tensor) -> Tensor:
        """The picture that is measured: as it comes."""
        return picture


class ClipSet:
    """Clips as batches `{"gray", "rgb", "position", "motion"}`, one clip each; they are read anew each time.

    Args:
        names: of the clips.
        protocol: resolved.
        data: what the record says of the source.
        left_out: how many clips are not measured, by reason.
    """

    unit = "clips"

    def __init__(
        self, names: Sequence[str], protocol: ClipProtocol, data: Mapping[str, Any], left_out: Mapping[str, int]
    ) -> None:
        self.names, self.protocol, self.data = list(names), protocol, dict(data)
        self._left_out = dict(left_out)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_subjects(self) -> int:
        """How many clips show different things."""
        return len(self)

    def left_out(self) -> dict[str, int]:
        """How many clips of the source are not measured, by reason."""
        return self._left_out

    @property
    def sha256(self) -> str:
        """Hash of the content of all clips, in order."""
        raise NotImplementedError

    def clip(self, position: int) -> ClipBatch:
        """A clip by its position."""
        raise NotImplementedError

    def loader(self, num_workers: int = 0) -> Iterator[ClipBatch]:
        """All clips in order."""
        return (self.clip(position) for position in range(len(self)))

    def others(self, batch: ClipBatch) -> Tensor:
        """Frames of another clip, brought to the size and length of this one."""
        rgb, count = batch["rgb"], len(batch["rgb"])
        other: Tensor = self.clip(self._other(int(batch["position"])))["rgb"]
        turns = torch.arange(count) % (2 * len(other))
        frames = other[torch.minimum(turns, 2 * len(other) - 1 - turns)]  # there and back: no cut where it is short
        return F.interpolate(frames, rgb.shape[-2:], mode="bilinear", antialias=True).clamp(0, 1)

    def _other(self, position: int) -> int:
        return (position + len(self) // 2) % len(self)


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
        unseen = [name for name in source.clips if all(split.holds_out(name) for split in splits)]
        if not unseen:
            raise ValueError(f"the runs of these checkpoints trained on all clips in {source.path} (data.path)")
        lengths = {name: source.length(name) for name in unseen}
        names = [name for name, length in lengths.items() if length >= _LEAST_FRAMES]
        if not names:
            raise ValueError(f"none of {len(lengths)} clips in {source.path} has {_LEAST_FRAMES} frames (data.path)")
        short = len(lengths) - len(names)
        self.source, self.estimator = source, build_estimator(protocol.flow)
        left_out = {"too short": short, "trained on": len(source.clips) - len(unseen)}
        named = replace(protocol, flow=self.estimator.name)  # which network, and which weights
        super().__init__(names, named, source.describe(), {why: count for why, count in left_out.items() if count})
        self._motions: dict[int, Motion] = {}
        self._kept = 0

    @cached_property
    def sha256(self) -> str:
        """Hash of the decoded frames."""
        digest = hashlib.sha256()
        for name in self.names:
            for frame in self.source.frames(name):
                digest.update(str(frame.shape).encode() + frame.tobytes())
        return digest.hexdigest()

    def clip(self, position: int) -> ClipBatch:
        """Frames of one clip at the size of the protocol."""
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


class MotionClips(ClipSet):
    """Photos that move in a known way; the flow is exact, and noise is on the input alone.

    The truth of a noisy input is the photo's chroma on that input, as in training: all rows share the noisy luma.

    Args:
        photos: (H, W, 3) uint8 by name.
        protocol: resolved; `image_size` is the side of the frames.
        num_frames: of each clip.
        motions: of `MOTIONS`, each of them over each photo.
        data: what the record says of the photos.
    """

    def __init__(
        self,
        photos: Mapping[str, np.ndarray],
        protocol: ClipProtocol,
        *,
        num_frames: int,
        motions: Sequence[str],
        data: Mapping[str, Any],
    ) -> None:
        self.photos = list(photos.values())
        self.num_frames, self.motions = num_frames, list(motions)
        names = [f"{photo} {motion}" for photo in photos for motion in motions]
        facts = {**data, "motions": self.motions, "num_frames": num_frames}
        super().__init__(names, replace(protocol, name="motion", flow="exact"), facts, {})

    @property
    def num_subjects(self) -> int:
        """How many photos there are."""
        return len(self.photos)

    def _other(self, position: int) -> int:
        """Another photo under the same motion."""
        return (position + len(self.photos) // 2 * len(self.motions)) % len(self)

    @cached_property
    def sha256(self) -> str:
        """Hash of the photos and of what moves them."""
        digest = hashlib.sha256(f"{self.motions} {self.num_frames}".encode())
        for photo in self.photos:
            digest.update(str(photo.shape).encode() + photo.tobytes())
        return digest.hexdigest()

    def clip(self, position: int) -> ClipBatch:
        """One photo under one motion."""
        number, motion = divmod(position, len(self.motions))
        rule, size, name = self.protocol.gray_rule, self.protocol.image_size, self.motions[motion]
        assert rule is not None
        assert size is not None
        rgb, moved = moved_photo(self.photos[number], size, name, self.num_frames)
        gray = input_noise(rgb_to_gray(rgb, rule), name, seed=position)
        rgb = recombine(gray, rgb, rule) if name == "noise" else rgb
        return {"gray": gray, "rgb": rgb, "position": torch.tensor([position]), "motion": moved}


@dataclass(frozen=True)
class MotionPanel:
    """What the synthetic-motion panel is made of.

    Attributes:
        num_photos: the first so many validation photos.
        num_frames: of each clip.
        motions: each of them over each photo.
    """

    num_photos: int = 8
    num_frames: int = 8
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
        """The clips over the first photos of a set, at the size at which the photos are measured.

        Args:
            photos: with a resolved protocol.
            protocol: its other keys; by default the network works at the size of the frames.
        """
        size, rule = photos.protocol.image_size, photos.protocol.gray_rule
        assert size is not None
        chosen = range(min(self.num_photos, len(photos)))
        pixels = {photos.names[p]: photos.library.original(photos.indices[p]) for p in chosen}
        resolved = replace(protocol, image_size=size, network_size=protocol.network_size or size, gray_rule=rule)
        return MotionClips(pixels, resolved, num_frames=self.num_frames, motions=self.motions, data=photos.data)


def grainy_pan(photos: PhotoSet) -> Iterator[Image.Image]:
    """Three seconds of a gray film with grain: a pan over the first photo of a set."""
    pixels = photos.library.original(photos.indices[0])
    frames, _ = moved_photo(pixels, _FILM_SIZE, "pan", _FILM_FRAMES)
    gray = input_noise(rgb_to_gray(frames), "noise", seed=0)
    return (Image.fromarray(frame[0].numpy()) for frame in to_uint8(gray))
