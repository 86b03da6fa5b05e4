"""Colorize photos and frames of any size and mode with a trained generator."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from colorgan.checkpoint import find_checkpoint, read_header
from colorgan.color import recombine, rgb_to_gray, to_uint8
from colorgan.colorize.engines import EXPORTED, open_engine
from colorgan.colorize.graph import read_facts
from colorgan.colorize.hints import Hints
from colorgan.colorize.strips import Enlarged, shrink
from colorgan.media.photo import read_scan
from colorgan.media.samples import row_strips
from colorgan.media.scan import Scan
from colorgan.networks.hints import refuse_hints, takes_hints

logger = logging.getLogger(__name__)


class Colorizer:
    """Colorize at full resolution: the network works on a small copy, its chroma is brought up to the photo's size.

    The luma of the photo is kept as it is, pixel by pixel; a colour photo is turned gray first.

    Args:
        generator: gray to rgb.
        gray_rule: how gray is made; None for the generator's own rule.
        working_size: shorter side, in pixels, at which the network works; smaller photos are not enlarged.
        device: where to work.
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        gray_rule: str | None = None,
        working_size: int = 256,
        device: str = "cpu",
    ) -> None:
        if working_size < 16:
            raise ValueError(f"the working size must be at least 16 pixels, got {working_size} (--size)")
        self.generator = generator.eval().to(device)
        self.gray_rule = str(generator.gray_rule) if gray_rule is None else gray_rule
        self.working_size, self.device = working_size, device
        self.engine = str(getattr(generator, "name", "torch fp32"))
        self.hint_engine = str(getattr(generator, "hint_name", self.engine))  # what runs pictures with hints

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        *,
        working_size: int | None = None,
        device: str | None = None,
        engine: str = "auto",
        pictures: int = 1,
    ) -> "Colorizer":
        """Load a checkpoint file, the final checkpoint of a run folder, or what `colorgan export` wrote.

        Args:
            checkpoint: the file or folder.
            working_size: see the class; by default twice the size of the training pictures.
            device: by default CUDA where there is one.
            engine: `torch`, `onnx`, `openvino`, or `auto` for the fastest that is installed and keeps the colours.
            pictures: how many are to be colorized at least; for less than 1000 `auto` takes what was converted before,
                or torch, since a conversion takes longer than it saves.
        """
        file = find_checkpoint(checkpoint)
        facts = (read_facts if file.suffix in EXPORTED else read_header)(file)
        on_cpu = device is None and (engine in ("onnx", "openvino") or file.suffix in EXPORTED)
        device = choose_device("cpu" if on_cpu else device)
        return cls(
            open_engine(file, engine, device=device, pictures=pictures),
            working_size=2 * facts["image_size"] if working_size is None else working_size,
            device=device,
        )

    @property
    def takes_hints(self) -> bool:
        """Whether the network takes hints."""
        return takes_hints(self.generator)

    def colorize(self, photo: Image.Image | Path | str, hints: Hints | None = None) -> Image.Image:
        """Colorize a photo of any size and mode (see `read_pages`), in 8 bits; transparency is kept.

        Args:
            photo: a file or a picture.
            hints: colour that is known at some places of it (see `colorgan.colorize.hints.read_hints`).

        Raises:
            UnreadablePhotoError: the file is damaged or no photo.
            ValueError: the network takes no hints, or these do not fit the photo.
        """
        scan = read_scan(Path(photo) if isinstance(photo, str) else photo)
        return self.colorize_scan(scan, hints).to_image()

    @torch.inference_mode()
    def colorize_scan(self, scan: Scan, hints: Hints | None = None) -> Scan:
        """Colorize a picture at its depth, 8 or 16 bits; alpha and metadata are kept.

        The network works on the small copy, and the full size is gone through in strips.
        """
        height, width = scan.pixels.shape[:2]
        known = None if hints is None else self._planes(hints, scan.pixels)
        working = self._working_size(height, width)
        if working is None:
            proposal = self._propose(self._gray(scan.pixels), (height, width), known)
            return replace(scan, pixels=to_levels(proposal, scan.pixels.dtype))
        small = shrink(lambda rows: self._gray(scan.pixels[rows]), row_strips(height, width), working)
        enlarged = Enlarged(self._propose(small, (height, width), known).float(), (height, width))
        pixels = np.empty((height, width, 3), scan.pixels.dtype)
        for rows in row_strips(height, width):
            rgb = recombine(self._gray(scan.pixels[rows]), enlarged.strip(rows), self.gray_rule)
            pixels[rows] = to_levels(rgb, scan.pixels.dtype)
        return replace(scan, pixels=pixels)

    @torch.inference_mode()
    def gray_scan(self, scan: Scan) -> Scan:
        """Turn a picture gray, by the rule of the generator; one that is gray stays as it is."""
        if scan.pixels.ndim == 2:
            return scan
        pixels = np.empty(scan.pixels.shape[:2], scan.pixels.dtype)
        for rows in row_strips(*pixels.shape):
            gray = self._gray(scan.pixels[rows]).expand(-1, 3, -1, -1)
            pixels[rows] = to_levels(gray, pixels.dtype)[..., 0]
        return replace(scan, pixels=pixels)

    def _planes(self, hints: Hints, pixels: np.ndarray) -> Tensor:
        if not self.takes_hints:
            refuse_hints(hints)
        return hints.planes(pixels, self.network_size(*pixels.shape[:2]), self.gray_rule).to(self.device)

    def _propose(self, gray: Tensor, size: tuple[int, int], hints: Tensor | None = None) -> Tensor:
        try:
            return self._generate(gray, hints)
        except (RuntimeError, MemoryError) as error:
            if _is_out_of_memory(error):
                raise self._too_large(*size) from error
            raise

    def colorize_frames(self, frames: Iterable[np.ndarray], *, batch_size: int = 8) -> Iterator[np.ndarray]:
        """Colorize frames one after the other, in batches, as a stream.

        Where memory does not suffice, the batch is halved, with a warning.

        Args:
            frames: (H, W, 3) uint8, gray or colour, or (H, W) gray; neighbours of equal shape share a batch.
            batch_size: frames that go through the network at once.

        Raises:
            ValueError: memory does not suffice for a single frame.
        """
        for _, same_shape in groupby(frames, key=lambda frame: frame.shape):
            waiting: list[np.ndarray] = []
            while waiting := waiting + list(islice(same_shape, max(0, batch_size - len(waiting)))):
                batch, rest = waiting[:batch_size], waiting[batch_size:]
                try:
                    colored = self._colorize_batch(batch)
                except (RuntimeError, MemoryError) as error:
                    if not _is_out_of_memory(error):
                        raise
                    batch_size = self._smaller_batch(batch)
                    continue
                yield from colored
                waiting = rest

    def colorize_frame(self, frame: np.ndarray, hints: Tensor | None = None) -> np.ndarray:
        """Colorize a frame, (H, W, 3) or (H, W) uint8.

        Args:
            frame: gray or colour.
            hints: (1, 3, h, w) as `forward` of a generator takes them, in `network_size`.

        Raises:
            ValueError: memory does not suffice.
        """
        try:
            return self._colorize_batch([frame], hints)[0]
        except (RuntimeError, MemoryError) as error:
            if _is_out_of_memory(error):
                raise self._too_large(*frame.shape[:2]) from error
            raise

    @torch.inference_mode()
    def _colorize_batch(self, frames: Sequence[np.ndarray], hints: Tensor | None = None) -> list[np.ndarray]:
        """Colorize frames of one shape: in the network all at once, at full size one by one, which is faster."""
        grays = [self._gray(frame) for frame in frames]
        working = self._working_size(*grays[0].shape[-2:])
        if working is None:
            return [to_array(rgb) for rgb in torch.split(self._generate(torch.cat(grays), hints), 1)]
        small = torch.cat([_shrink(gray, working) for gray in grays])
        proposals = torch.split(self._generate(small, hints), 1)
        pairs = list(zip(grays, proposals, strict=True))
        if self.device == "cpu" and self.gray_rule == "luma601":
            return [_bring_up_frame(gray, rgb) for gray, rgb in pairs]
        levels = torch.cat([to_uint8(self._bring_up(gray, rgb)) for gray, rgb in pairs])
        return list(levels.permute(0, 2, 3, 1).contiguous().cpu().numpy())  # one copy from the device, not one a frame

    def _gray(self, frame: np.ndarray) -> Tensor:
        """Convert (H, W, 3) or (H, W) uint8 or uint16 to gray, (1, 1, H, W) in [0, 1]."""
        top = np.iinfo(frame.dtype).max
        frame = frame if frame.dtype == np.uint8 else frame.astype(np.int32)  # torch computes with no other uint
        levels = torch.tensor(np.ascontiguousarray(frame))
        if self.device.startswith("cuda"):
            levels = levels.pin_memory()  # so that nothing waits for the copy
        values = levels.to(self.device, non_blocking=True)[None].float() / top
        if frame.ndim == 3:
            return rgb_to_gray(values.permute(0, 3, 1, 2), self.gray_rule)
        gray = values[None]
        return gray if self.gray_rule == "luma601" else rgb_to_gray(gray.expand(-1, 3, -1, -1), self.gray_rule)

    def _smaller_batch(self, batch: Sequence[np.ndarray]) -> int:
        if len(batch) == 1:
            raise self._too_large(*batch[0].shape[:2])
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        logger.warning("memory does not suffice for %d frames at once; going on with %d", len(batch), len(batch) // 2)
        return len(batch) // 2

    def _too_large(self, height: int, width: int) -> ValueError:
        return ValueError(
            f"memory does not suffice for one frame of {width}x{height} at a working size of "
            f"{self.working_size}; give a smaller --size"
        )

    @torch.inference_mode()
    def colorize_gray(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize pictures, each as large as the others.

        Args:
            gray: (N, 1, H, W) in [0, 1].
            hints: (N, 3, h, w) as `forward` of a generator takes them, in `network_size`.

        Returns:
            (N, 3, H, W) whose gray is the input.
        """
        working = self._working_size(*gray.shape[-2:])
        if working is None:
            return self._generate(gray, hints)
        return self._bring_up(gray, self._generate(_shrink(gray, working), hints))

    def _generate(self, gray: Tensor, hints: Tensor | None) -> Tensor:
        rgb: Tensor = self.generator(gray) if hints is None else self.generator(gray, hints)
        return rgb

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Compute the height and width at which the network sees a picture."""
        return self._working_size(height, width) or (height, width)

    def _working_size(self, height: int, width: int) -> tuple[int, int] | None:
        scale = self.working_size / min(height, width)
        return (max(1, round(height * scale)), max(1, round(width * scale))) if scale < 1 else None

    def _bring_up(self, gray: Tensor, rgb: Tensor) -> Tensor:
        """Put the chroma of the small `rgb` on the full `gray`."""
        chroma = F.interpolate(rgb, size=gray.shape[-2:], mode="bicubic", align_corners=False)
        return recombine(gray, chroma, self.gray_rule)


def _shrink(gray: Tensor, size: tuple[int, int]) -> Tensor:
    small = F.interpolate(gray, size=size, mode="bilinear", antialias=True, align_corners=False)
    return small.clamp(0, 1)


def _bring_up_frame(gray: Tensor, rgb: Tensor) -> np.ndarray:
    """Do `_bring_up` and `to_array` for luma601 on one core of a CPU, in an eighth of the time.

    The same formulas; OpenCV's cubic is torch's. In 6 of 100,000 values rounding differs by a level.
    """
    height, width = gray.shape[-2:]
    planes = np.empty((3, height, width), np.float32)
    for small, large in zip((rgb.float() - rgb_to_gray(rgb.float()))[0].numpy(), planes, strict=True):
        cv2.resize(small, (width, height), dst=large, interpolation=cv2.INTER_CUBIC)
    return frame_of(torch.from_numpy(planes), gray[0])


def frame_of(offset: Tensor, luma: Tensor) -> np.ndarray:
    """Do `recombine` and `to_array` for luma601 on one core of a CPU; overwrites its arguments.

    Args:
        offset: (3, H, W), what each channel is above luma.
        luma: (1, H, W) in [0, 1].
    """
    room = torch.where(offset > 0, 1 - luma, luma)  # see `recombine`
    scale = room.div_(offset.abs().clamp_min_(1e-6)).amin(dim=0, keepdim=True).clamp_(max=1)
    levels = offset.mul_(scale).add_(luma).mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    frame: np.ndarray = cv2.merge(list(levels.numpy()))
    return frame


def to_array(rgb: Tensor) -> np.ndarray:
    """Convert (1, 3, H, W) in [0, 1] to (H, W, 3) uint8."""
    array: np.ndarray = to_uint8(rgb)[0].permute(1, 2, 0).cpu().numpy()
    return array


def to_levels(rgb: Tensor, dtype: np.dtype) -> np.ndarray:
    """Convert (1, 3, H, W) in [0, 1] to (H, W, 3) of uint8 or uint16, rounded."""
    if dtype == np.uint8:
        return to_array(rgb)
    levels = (rgb[0].float().clamp(0, 1) * np.iinfo(dtype).max).round_().to(torch.int32)
    return levels.permute(1, 2, 0).cpu().numpy().astype(dtype)


def _is_out_of_memory(error: Exception) -> bool:
    """Tell a lack of memory: CUDA has a class for it, the CPU's allocator and MPS raise a plain RuntimeError."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(word in str(error) for word in words)


def choose_device(device: str | None) -> str:
    """Check the device that is asked for; by default CUDA where there is one.

    Raises:
        ValueError: there is no such device here.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an unknown name; a torch without it
        raise ValueError(
            f"device={device!r} cannot be used here; allowed: cpu, cuda, mps, where there is one"
        ) from error
    return device
