import numpy as np
import pytest
import torch
from skimage.data import astronaut, chelsea, coffee, rocket, stereo_motorcycle
from sklearn.datasets import load_sample_images
from tiny_judge import TinyJudge

from colorgan.color import chroma_to_rgb, quantize, recombine, rgb_to_chroma, rgb_to_gray
from colorgan.data.transforms import center_view


@pytest.fixture(scope="session")
def photos():
    """The seven built-in photos, centred squares of 64 px."""
    photos = [astronaut(), chelsea(), coffee(), stereo_motorcycle()[0], rocket(), *load_sample_images().images]
    views = [center_view(photo, 64) for photo in photos]
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="session")
def with_chroma(photos):
    """The photos with their chroma times a factor, inside the gamut, 8-bit; -1 inverts hue, 0 is gray."""

    def scaled(factor):
        gray = rgb_to_gray(photos)
        return quantize(recombine(gray, chroma_to_rgb(gray, factor * rgb_to_chroma(photos))))

    return scaled


@pytest.fixture(scope="session")
def crops(photos):
    """Seventy crops of 32 px, and the same with a third of the chroma."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(33, (10, 2), generator=generator).tolist()
    rgb = torch.cat([photos[:, :, y : y + 32, x : x + 32] for y, x in corners])
    gray = rgb_to_gray(rgb)
    return quantize(chroma_to_rgb(gray, rgb_to_chroma(rgb) / 3).clamp(0, 1)), rgb


@pytest.fixture
def use_judge(monkeypatch):
    """Let metrics load a given judge."""

    def use(judge):
        monkeypatch.setattr("colorgan.metrics.distribution.load_judge", lambda name, weights: judge)
        return judge

    return use


@pytest.fixture
def tiny_judge(use_judge):
    return use_judge(TinyJudge(grid=2))


@pytest.fixture
def measure():
    """The value of a metric over pictures and photos, in batches."""

    def measured(metric, fake, real, batch_size=64):
        metric.reset()
        for a, b in zip(fake.split(batch_size), real.split(batch_size), strict=True):
            metric.update(a, b)
        return metric.compute().item()

    return measured
