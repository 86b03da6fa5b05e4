"""An observation holds finite numbers for every rule, and says of a critic what ADA says."""

import math

import pytest
import torch
from torch import nn

from colorgan.evaluation.inflection import NEEDS
from colorgan.metrics.observation import ObservedPhotos, observe


class Brightness(nn.Module):
    """A discriminator that takes bright images for real."""

    def forward(self, rgb, gray=None):
        return rgb.mean(dim=1, keepdim=True)


@pytest.fixture
def rgb():
    coarse = torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, 32, mode="bilinear")


def test_all_that_the_rules_of_a_stage_need_is_observed(rgb):
    gray = rgb.mean(dim=1, keepdim=True)
    photos = ObservedPhotos(gray, rgb, gray.expand_as(rgb), gray, rgb)
    values = observe(rgb.flip(1), Brightness(), photos)
    assert set(NEEDS.values()) - {"duality_gap"} <= set(values)
    assert len(values.pop("chroma_distance_replicates")) == 100
    assert all(math.isfinite(value) for value in values.values())
    assert values["chroma_divergence"] > 0
    assert observe(rgb, None, photos)["chroma_divergence"] == 0


def test_the_critic_that_takes_unseen_photos_for_pictures_is_overfitted(rgb):
    gray = rgb.mean(dim=1, keepdim=True)
    for held_out, expected in ((1.0, 0.0), (0.75, 0.5), (0.5, 1.0)):
        photos = ObservedPhotos(gray, held_out * rgb, rgb, gray, rgb)
        assert observe(0.5 * rgb, Brightness(), photos)["critic_overfit"] == pytest.approx(expected, abs=0.02)


def test_without_seen_photos_the_critic_is_left_out(rgb):
    gray = rgb.mean(dim=1, keepdim=True)
    assert "critic_overfit" not in observe(rgb, Brightness(), ObservedPhotos(gray, rgb, rgb))
