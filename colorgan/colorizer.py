"""A trained generator as people use it: photos and frames of any size and mode."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from colorgan.checkpoint import find_checkpoint, load_generator, read_header
from colorgan.color import recombine, rgb_to_gray, to_uint8
from colorgan.data.photo import read_photo


class Colorizer:
    """Colorizes at full resolution: the network works on a small copy, its chroma is brought up to the photo's size.

    The luma of the photo is kept as it is, pixel by pixel; a colour photo is turned gray first.

    Args:
        generator: gray to rgb.
        gray_rule: the rule of the generator's training.
        working_size: shorter side, in pixels, at which the network works; smaller photos are not enlarged.
        device: where to work.
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        gray_rule: str = "luma601",
        working_size: int = 256,
        device: str = "cpu",
    ) -> None:
        if working_size < 16:
            raise ValueError(f"the working size must be at least 16 pixels, got {working_size} (--size)")
        self.generator = generator.eval().to(device)
        self.gray_rule, self.working_size, self.device = gray_rule, working_size, device

    @classmethod
    def load(cls, checkpoint: str | Path, *, working_size: int | None = None, device: str | None = None) -> "Colorizer":
        """Load a checkpoint file or the final checkpoint of a run folder.

        Args:
            checkpoint: the file or folder.
            working_size: see the class; by default twice the size of the training pictures.
            device: by default CUDA where there is one.
        """
        header = read_header(find_checkpoint(checkpoint))
        return cls(
            load_generator(checkpoint),
            gray_rule=header["gray_rule"],
            working_size=working_size or 2 * header["image_size"],
            device=choose_device(device),
        )

    def colorize(self, photo: Image.Image | Path) -> Image.Image:
        """Colorize a photo of any size and mode (see `data.photo.read_photo`); transparency is kept.

        Raises:
            UnreadablePhotoError: the file is damaged or no photo.
        """
        image = read_photo(photo)
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        rgb = next(self.colorize_frames([np.asarray(image.convert("RGB"))]))
        result = Image.fromarray(rgb)
        if alpha is not None:
            result.putalpha(alpha)
        return result

    def colorize_frames(self, frames: Iterable[np.ndarray], *, batch_size: int = 8) -> Iterator[np.ndarray]:
        """Colorize frames one after the other, in batches, as a stream.

        Args:
            frames: (H, W, 3) uint8, gray or colour; neighbours of equal size share a batch.
            batch_size: frames that go through the network at once.
        """
        for _, same_size in groupby(frames, key=lambda frame: frame.shape):
            while batch := list(islice(same_size, batch_size)):
                rgb = torch.from_numpy(np.stack(batch)).to(self.device).permute(0, 3, 1, 2).float() / 255
                colored = self.colorize_gray(rgb_to_gray(rgb, self.gray_rule))
                yield from to_uint8(colored).permute(0, 2, 3, 1).cpu().numpy()

    @torch.inference_mode()
    def colorize_gray(self, gray: Tensor) -> Tensor:
        """Colorize (N, 1, H, W) in [0, 1]; returns (N, 3, H, W) whose gray is the input."""
        height, width = gray.shape[-2:]
        scale = self.working_size / min(height, width)
        if scale >= 1:
            return self.generator(gray)  # type: ignore[no-any-return]
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        small = F.interpolate(gray, size=size, mode="bilinear", antialias=True, align_corners=False)
        rgb = self.generator(small.clamp(0, 1))
        chroma = F.interpolate(rgb, size=(height, width), mode="bicubic", align_corners=False)
        return recombine(gray, chroma, self.gray_rule)


def choose_device(device: str | None) -> str:
    """The device that is asked for, or by default CUDA where there is one.

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
