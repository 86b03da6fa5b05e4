"""Measure the snapshots of the study's runs: what rules look at, on the panel; what judges them, on other photos.

A run's 300 held-out photos fall into its panel of 100, which rules and stages look at, and 200 that nothing else sees.
The judges are three distances that no rule uses:

- `kernel`: the kernel distance of Lite2's features (pictures at 128 px), which sees whether pictures look like photos;
- `patches`: a sliced Wasserstein distance between 7x7 patches of a and b at two sizes (after Karras et al. 2018, not
  normalized, as that would hide how saturated they are), which sees pale, garish and blotchy colour;
- `error`: the root mean square error of a and b, which sees whether a picture still fits its photo.

A fourth was added when pictures had been looked at, and stands beside the three: `stray`, how much of the local
contrast of a and b follows no edge of gray, times the photos' share. It sees splats of colour, which please the first
two.

All are also kept for resampled photos (see `resampled_photos`): a difference that these do not bear out is none.
The first two fall while adversarial training helps and rise when it has gone too far; the third grows from the first
step, and alone would choose the first snapshot: the mean of ranks sets two that want colour against one that does not.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from colorgan.checkpoint import build_network, load_generator, load_network, read_header
from colorgan.color import quantize, rgb_to_gray, rgb_to_lab
from colorgan.config import build_datamodule
from colorgan.data.datamodule import views_to_rgb
from colorgan.data.transforms import center_view
from colorgan.evaluation.duality import duality_gap
from colorgan.files import write_json
from colorgan.metrics import Colorfulness, KernelDistance
from colorgan.metrics.artefacts import artefact_areas
from colorgan.metrics.base import resampling_counts
from colorgan.metrics.judges import EfficientNetLiteFeatures
from colorgan.metrics.observation import ObservedPhotos, observe

JUDGES = ("kernel", "patches", "error")
STRAY = "stray"
DRAWN, HALVINGS = 40, 10  # resampled sets of the unseen photos; times that they are halved
_PATCH, _PATCHES, _DIRECTIONS = 7, 64, 128  # pixels a side; a photo and size; projections
_FEW_DIRECTIONS = 32  # of resampled sets: a quarter of the time
_WINDOW, _FLAT = 9, 4.0  # pixels a side; variance of L below which it explains nothing


@dataclass(frozen=True)
class RunPhotos:
    """The photos of a seed: the panel, those that nothing has seen, and some that were trained on."""

    panel: Tensor
    unseen: Tensor
    trained: Tensor
    panel_groups: Tensor
    trained_groups: Tensor


@lru_cache(maxsize=3)
def photos_of(config_file: Path) -> RunPhotos:
    """Read the photos of a run."""
    config = OmegaConf.load(config_file)
    data = build_datamodule(config.data, seed=config.seed)
    size = config.schedule.stages.gan.image_size
    library = data.examine(min_size=size)

    def views(rows: list[int]) -> Tensor:
        return views_to_rgb([center_view(library.original(row), size) for row in rows])

    held_out = library.drawn(library.splits["val"])
    panel, unseen = held_out[: data.validation_panel], held_out[data.validation_panel :]
    trained = library.drawn(library.splits["train"], len(panel))
    groups = (torch.tensor(library.group_numbers(rows)) for rows in (panel, trained))
    return RunPhotos(views(panel), views(unseen), views(trained), *groups)


@torch.no_grad()
def colorized(generator: torch.nn.Module, gray: Tensor) -> Tensor:
    """Colorize in batches."""
    return torch.cat([generator(part) for part in gray.split(50)])


@lru_cache(maxsize=2)
def _twin(start: Path, config_file: Path) -> tuple[Tensor, Tensor]:
    """Colorize panel and unseen photos as the run's networks did before the GAN."""
    generator, photos = load_generator(start), photos_of(config_file)
    return colorized(generator, rgb_to_gray(photos.panel)), colorized(generator, rgb_to_gray(photos.unseen))


def measure(run: Path, start: Path, snapshot: Path, out: Path) -> dict[str, Any]:
    """Measure a snapshot of a run, or its start as step 0; what is in `out` is not measured again."""
    if out.exists():
        return dict(json.loads(out.read_text()))
    photos = photos_of(run / "config.yaml")
    gray, (twin_rgb, twin_unseen) = rgb_to_gray(photos.panel), _twin(start, run / "config.yaml")
    generator = load_generator(snapshot)
    discriminator = build_network(read_header(snapshot)["networks"]["discriminator"]).eval()
    load_network(discriminator, snapshot, "discriminator")
    fake = colorized(generator, gray)
    seen = rgb_to_gray(photos.trained), photos.trained, photos.trained_groups
    looked_at = ObservedPhotos(gray, photos.panel, twin_rgb, photos.panel_groups, *seen)
    values: dict[str, Any] = {
        "step": 0 if snapshot == start else int(read_header(snapshot)["step"]),
        **observe(fake, discriminator, looked_at),
        "duality_gap": duality_gap(generator, discriminator, gray, photos.panel, photos.panel_groups),
        "panel_kernel": kernel_distance(fake, photos.panel),
    }
    judged = colorized(generator, rgb_to_gray(photos.unseen))
    values |= {f"unseen_{name}": value for name, value in judge(judged, photos.unseen).items()}
    values["unseen_artefact_area"] = float(artefact_areas(judged, twin_unseen).mean())
    write_json(out, values)
    return values


def judge(fake_rgb: Tensor, rgb: Tensor) -> dict[str, Any]:
    """Compute the judges' distances, also for resampled photos, and colorfulness beside the photos'."""
    fake, real = (rgb_to_lab(quantize(images))[:, 1:] for images in (fake_rgb, rgb))
    counts = resampled_photos(len(rgb))
    colorful = [Colorfulness(), Colorfulness()]
    for metric, images in zip(colorful, (fake_rgb, rgb), strict=True):
        metric.update(images, rgb)
    squares = (fake - real).square().sum(dim=1).mean(dim=(1, 2)).double()
    replicates = {
        "patches": patch_distances(fake, real, counts, _FEW_DIRECTIONS),
        "error": (counts @ squares / counts.sum(dim=1)).sqrt(),
        STRAY: stray_colors(fake_rgb, rgb, counts),
    }
    values = {
        "kernel": kernel_distance(fake_rgb, rgb),
        "patches": float(patch_distances(fake, real, counts.new_ones(1, len(rgb)), _DIRECTIONS)),
        "error": float(squares.mean().sqrt()),
        STRAY: float(stray_colors(fake_rgb, rgb, counts.new_ones(1, len(rgb)))),
        "colorfulness": float(colorful[0].compute()),
        "colorfulness_truth": float(colorful[1].compute()),
    }
    replicates["kernel"] = _kernel_metric().replicates(counts)  # of what was just measured
    return values | {f"{name}_resampled": [round(x, 4) for x in row.tolist()] for name, row in replicates.items()}


def resampled_photos(count: int) -> Tensor:
    """Count how often each photo is in each set: `DRAWN` bootstrap sets, then both halves of `HALVINGS` halvings."""
    draw = torch.Generator().manual_seed(0)
    first = [(torch.randperm(count, generator=draw) < count // 2).double() for _ in range(HALVINGS)]
    halves = [half for one in first for half in (one, 1 - one)]
    return torch.cat([resampling_counts(count, DRAWN), torch.stack(halves)])


@lru_cache(maxsize=1)
def _kernel_metric() -> KernelDistance:
    metric = KernelDistance("efficientnet_lite2")
    metric.features = EfficientNetLiteFeatures("efficientnet_lite2", 128)  # a third of the time of 224 px
    return metric


def kernel_distance(fake_rgb: Tensor, rgb: Tensor) -> float:
    """Compute the kernel distance on Lite2."""
    metric = _kernel_metric()
    metric.reset()
    for fake, real in zip(fake_rgb.split(50), rgb.split(50), strict=True):
        metric.update(fake, real)
    return float(metric.compute())


def patch_distances(fake_ab: Tensor, real_ab: Tensor, counts: Tensor, directions: int) -> Tensor:
    """Compute the mean over two sizes of the sliced Wasserstein distance between patches, in units of CIE Lab.

    Args:
        fake_ab: (N, 2, H, W), of pictures.
        real_ab: of photos.
        counts: (R, N), how often each photo and its picture count in each of R sets.
        directions: that patches are projected on.
    """
    draw = torch.Generator().manual_seed(0)
    signs = torch.cat([counts, -counts], dim=1).repeat_interleave(_PATCHES, 1).float()  # (R, 2 N patches)
    signs /= counts.sum(dim=1, keepdim=True) * _PATCHES
    distances = []
    for size in (64, 32):
        planes = F.adaptive_avg_pool2d(torch.cat([fake_ab, real_ab]), size)
        places = torch.randint((size - _PATCH + 1) ** 2, (_PATCHES,), generator=draw)
        axes = F.normalize(torch.randn(2 * _PATCH**2, _DIRECTIONS, generator=draw), dim=0)[:, :directions]
        patches = F.unfold(planes, _PATCH)[:, :, places].transpose(1, 2).flatten(0, 1)
        ordered, order = (patches @ axes).T.contiguous().sort(dim=1)
        gaps = ordered.diff(dim=1)
        # Between two neighbours the distribution functions differ by the sum of all signs below.
        distances.append([float((row[order].cumsum(dim=1)[:, :-1].abs() * gaps).sum(dim=1).mean()) for row in signs])
    return torch.tensor(distances).mean(dim=0)


def stray_colors(fake_rgb: Tensor, rgb: Tensor, counts: Tensor) -> Tensor:
    """Compute how much of the local contrast of a and b is stray, times the photos' share, (R,); at least 1.

    In each window a and b are regressed on L, which colour of a surface follows (Levin et al. 2008, colour lines);
    stray is the variance that remains. A share, so it does not ask how colourful a picture is.
    """
    shares = []
    for images in (fake_rgb, rgb):
        lab = rgb_to_lab(quantize(images))
        lightness, planes = lab[:, :1], lab[:, 1:]
        means = (_smooth(lightness), _smooth(planes))
        variance = (_smooth(planes.square()) - means[1].square()).clamp_min(0)
        covariance = _smooth(lightness * planes) - means[0] * means[1]
        explained = covariance.square() / (_smooth(lightness.square()) - means[0].square() + _FLAT)
        stray, total = (
            (part.double().sum(dim=(1, 2, 3))) for part in (variance - explained.minimum(variance), variance)
        )
        shares.append((counts @ stray) / (counts @ total))
    return (shares[0] / shares[1]).clamp_min(1)


def _smooth(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, _WINDOW, 1)
