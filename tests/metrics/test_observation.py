"""An observation holds finite numbers for every rule, and says of a critic what ADA says."""

import math

import pytest
import torch
from torch import nn

from colorgan.evaluation.inflection import NEEDS, RULES, choose
from colorgan.metrics.observation import ObservedPhotos, observe


class Brightness(nn.Module):
    """A discriminator that takes bright images for real."""

    def forward(self, rgb, gray=None):
        return rgb.mean(dim=1, keepdim=True)


@pytest.fixture
def rgb():
    coarse = torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, 32, mode="bilinear")


def observed_photos(rgb, twin_rgb, seen_rgb=None, groups=None):
    groups = torch.arange(len(rgb)) if groups is None else groups
    gray, seen_gray = (None if images is None else images.mean(dim=1, keepdim=True) for images in (rgb, seen_rgb))
    return ObservedPhotos(gray, rgb, twin_rgb, groups, seen_gray, seen_rgb, groups)


def test_all_that_the_rules_of_a_stage_need_is_observed(rgb):
    gray = rgb.mean(dim=1, keepdim=True)
    photos = observed_photos(rgb, gray.expand_as(rgb), rgb)
    values = observe(0.8 * rgb.flip(1), Brightness(), photos)
    assert set(NEEDS.values()) - {"duality_gap"} <= set(values)
    assert len(values.pop("chroma_distance_replicates")) == 100
    assert all(math.isfinite(value) for value in values.values())
    assert values["chroma_divergence"] > 0
    assert observe(rgb, None, photos)["chroma_divergence"] == 0


def test_the_critic_that_takes_unseen_photos_for_pictures_is_overfitted(rgb):
    for held_out, expected in ((1.0, 0.0), (0.75, 0.5), (0.5, 1.0)):
        values = observe(0.5 * rgb, Brightness(), observed_photos(held_out * rgb, rgb, rgb))
        assert values["critic_overfit"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("brightness", [1.0, 1.2])
def test_a_critic_that_its_generator_has_beaten_says_nothing_of_overfitting(rgb, brightness):
    values = observe((brightness * rgb).clamp(0, 1), Brightness(), observed_photos(0.9 * rgb, rgb, rgb))
    assert values["critic_fake"] >= values["critic_seen"] - 1e-3
    assert "critic_overfit" not in values


def test_crops_of_a_photo_are_no_independent_evidence(rgb):
    crops, groups = rgb.repeat_interleave(3, dim=0), torch.arange(len(rgb)).repeat_interleave(3)
    single, repeated = (
        observe(0.7 * photos, Brightness(), observed_photos(0.9 * photos, photos, photos, of))
        for photos, of in ((rgb, None), (crops, groups))
    )
    assert repeated["num_groups"] == len(rgb)
    for name in ("chroma_distance", "critic_overfit", "critic_overfit_error"):
        assert repeated[name] == pytest.approx(single[name], rel=1e-3), name
    assert repeated["fresh_accuracy"] == pytest.approx(single["fresh_accuracy"], abs=0.03)


@pytest.mark.parametrize(("num_groups", "known"), [(1, {"chroma_law"}), (2, {"fresh_critic", "one_standard_error"})])
def test_of_too_few_photos_a_rule_has_nothing_to_go_by(rgb, num_groups, known):
    photos = observed_photos(rgb, rgb, None, torch.arange(len(rgb)) % num_groups)
    series = [{"step": step, **observe(0.9 * rgb, None, photos)} for step in (0, 20)]
    chosen = {rule for rule in RULES if choose(rule, series) is not None}
    assert chosen == {"artefact_area", "chroma_law"} | known


def test_without_seen_photos_the_critic_is_left_out(rgb):
    assert "critic_overfit" not in observe(rgb, Brightness(), observed_photos(rgb, rgb))
