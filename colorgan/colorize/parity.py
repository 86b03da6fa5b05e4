"""Compare an engine with torch: how far its pictures are from those of the network it was made of."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from colorgan.color import colorfulness, rgb_to_gray

Network = Callable[[Tensor], Tensor]  # gray (N, 1, H, W) to rgb (N, 3, H, W)

# Smaller than the network's stride, odd, one pixel: where padding and cropping go wrong first.
_ODD_SIZES = ((1, 1), (1, 50), (31, 33), (67, 129))
_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")  # inside scikit-image's wheel


@dataclass(frozen=True)
class Difference:
    """How far pictures are from those of torch in float32, in levels of 255 unless said otherwise.

    Attributes:
        mean: mean difference of a value.
        high: 99.9th percentile.
        worst: the largest.
        psnr: in dB.
        colorfulness: difference of the mean colorfulness, in its own units.
    """

    mean: float
    high: float
    worst: float
    psnr: float
    colorfulness: float

    def beyond(self) -> str | None:
        """Say in words which limit is passed; None where none is."""
        for name, limit in LIMITS.items():
            value = abs(getattr(self, name))
            if not (value >= limit if name == "psnr" else value <= limit):  # so that NaN does not pass
                return f"{_WORDS[name]} is {value:.3g}, {'at least' if name == 'psnr' else 'at most'} {limit:g}"
        return None

    def describe(self) -> dict[str, float]:
        """List the values, rounded."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


# They catch an engine that is broken. OpenVINO's bf16, for those who ask for it, comes near them (docs/speed.md).
LIMITS = {"mean": 0.5, "high": 10.0, "worst": 100.0, "psnr": 48.0, "colorfulness": 1.0}
_WORDS = {
    "mean": "the mean difference in levels",
    "high": "the 99.9th percentile of the difference in levels",
    "worst": "the worst difference in levels",
    "psnr": "the PSNR in dB",
    "colorfulness": "the difference in colorfulness",
}


def check_pictures(size: int) -> Iterator[Tensor]:
    """Make the gray pictures that an engine is checked on: photos inside a package, and odd sizes cut from them.

    Args:
        size: shorter side of the photos.
    """
    from skimage import data

    for name in _PHOTOS:
        photo = torch.tensor(np.asarray(getattr(data, name)())).permute(2, 0, 1)[None].float() / 255
        scale = size / min(photo.shape[-2:])
        shape = [round(side * scale) for side in photo.shape[-2:]]
        gray = rgb_to_gray(F.interpolate(photo, shape, mode="bilinear", antialias=True)).clamp(0, 1)
        yield gray
    for height, width in _ODD_SIZES:
        yield gray[..., :height, :width]
    yield torch.cat([gray, gray.flip(-1)])  # several at once


@torch.inference_mode()
def compare(network: Network, reference: Network, pictures: Iterable[Tensor]) -> Difference:
    """Measure how far a network's pictures are from those of another.

    Args:
        network: what is judged.
        reference: torch in float32.
        pictures: gray, (N, 1, H, W) in [0, 1].
    """
    differences, colors = [], []
    for gray in pictures:
        rgb, expected = (made(gray).float().cpu() for made in (network, reference))
        if rgb.shape != expected.shape:
            raise ValueError(f"an engine made a picture of {tuple(rgb.shape)} where torch made {tuple(expected.shape)}")
        differences.append((255 * (rgb - expected)).abs().flatten().numpy())
        colors.append(float((colorfulness(rgb) - colorfulness(expected)).mean()))
    levels = np.concatenate(differences)
    squares = float(np.square(levels, dtype=np.float64).mean())
    return Difference(
        mean=float(levels.mean()),
        high=float(np.percentile(levels, 99.9)),
        worst=float(levels.max()),
        psnr=float(10 * np.log10(255**2 / max(squares, 1e-12))),
        colorfulness=float(np.mean(colors)),
    )
