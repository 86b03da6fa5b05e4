import math
from importlib.metadata import version

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from tiny_judge import TinyJudge

from colorgan.color import quantize
from colorgan.metrics import FrechetDistance, KernelDistance
from colorgan.metrics.base import resampling_counts


@pytest.fixture
def filled(tiny_judge):
    """A metric that holds given features."""

    def fill(metric, fake, real):
        metric.fake_features, metric.real_features = [fake], [real]
        return metric

    return fill


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(metric, counts=None):
    fake, _ = metric.sets()
    return metric.distances(fake.new_ones(1, len(fake)) if counts is None else counts, torch.arange(len(fake)))


def weighted_mmd(x, y, counts, *, paired):
    """1000 MMD^2 by a double loop over items; an item and its copies are no pair."""
    x, y, counts = x.numpy(), y.numpy(), counts.numpy()
    kernel = lambda a, b: (a @ b / x.shape[1] + 1) ** 3  # noqa: E731
    same = cross = pairs = crossed = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            weight = counts[i] * counts[j]
            if i != j:
                same += weight * (kernel(x[i], x[j]) + kernel(y[i], y[j]))
                pairs += weight
            if i != j or not paired:
                cross += weight * kernel(x[i], y[j])
                crossed += weight
    return 1000 * (same / pairs - 2 * cross / crossed)


@pytest.mark.parametrize("metric", [FrechetDistance, KernelDistance])
@pytest.mark.parametrize("grid", [1, 4], ids=["more photos than features", "fewer photos than features"])
def test_the_photos_themselves_are_at_distance_zero(metric, grid, use_judge, crops, measure):
    use_judge(TinyJudge(grid))
    _, rgb = crops
    assert measure(metric(), rgb[:40], rgb[:40]) == pytest.approx(0, abs=1e-9)


def test_the_published_kernel_distance_gives_the_photos_themselves_less_than_zero(tiny_judge, crops, measure):
    _, rgb = crops
    assert measure(KernelDistance(paired=False), rgb, rgb) < -0.1


def test_frechet_distance_of_large_samples_is_that_of_their_gaussians(filled):
    """|m|^2 + sum (s1 - s2)^2 for covariances along the axes."""
    shift, spreads = torch.tensor([1.0, -2.0, 0, 0]), torch.tensor([1.0, 2.0, 0.5, 3.0])
    fake, real = normal(20_000, 4) * spreads + shift, normal(20_000, 4, seed=1)
    expected = (shift.square().sum() + (spreads - 1).square().sum()).item()
    assert expected == 10.25
    # the standard error of |m|^2 is 2 |m| sqrt(6 / 20000), about 0.08
    assert value(filled(FrechetDistance(), fake, real)).item() == pytest.approx(expected, abs=0.25)


def test_frechet_distance_falls_with_the_number_of_photos_on_equal_distributions(filled):
    distances = [value(filled(FrechetDistance(), normal(n, 8), normal(n, 8, seed=1))).item() for n in (50, 500, 5000)]
    assert distances[0] > 5 * distances[1] > 25 * distances[2] > 0  # in proportion to 1/N


@pytest.mark.parametrize(("count", "size", "relative"), [(60, 16, 1e-6), (17, 16, 1e-6), (10, 16, 1e-4), (2, 16, 1e-4)])
def test_frechet_distance_equals_that_of_pytorch_fid(count, size, relative, filled):
    mixing = normal(size, size, seed=2)
    fake, real = normal(count, size) @ mixing + 0.3, normal(count, size, seed=1)
    statistics = [part for x in (fake.numpy(), real.numpy()) for part in (x.mean(axis=0), np.cov(x, rowvar=False))]
    expected = calculate_frechet_distance(*statistics)
    assert value(filled(FrechetDistance(), fake, real)).item() == pytest.approx(expected, rel=relative)


@pytest.mark.parametrize(("count", "size"), [(40, 6), (9, 12), (14, 12)])
def test_frechet_distance_with_counts_is_that_of_repeated_rows(count, size, filled):
    fake, real = normal(count, size), normal(count, size, seed=1) + 0.5
    for counts in resampling_counts(count, 3):
        repeats = counts.long()
        repeated = value(
            filled(FrechetDistance(), fake.repeat_interleave(repeats, 0), real.repeat_interleave(repeats, 0))
        )
        weighted = value(filled(FrechetDistance(), fake, real), counts[None])
        assert weighted.item() == pytest.approx(repeated.item(), rel=1e-9)


@pytest.mark.parametrize("paired", [True, False])
def test_kernel_distance_with_counts_is_that_of_a_double_loop(paired, filled):
    fake, real = normal(9, 5), normal(9, 5, seed=1) + 0.5
    metric = filled(KernelDistance(paired=paired), fake, real)
    counts = torch.cat([torch.ones(1, 9, dtype=torch.float64), resampling_counts(9, 3)])
    expected = [weighted_mmd(fake, real, row, paired=paired) for row in counts]
    assert value(metric, counts).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("rows", [1, 4, 9, 10])
def test_kernel_distance_does_not_depend_on_how_many_rows_are_in_memory(paired, rows, filled, monkeypatch):
    metric = filled(KernelDistance(paired=paired), normal(9, 5), normal(9, 5, seed=1) + 0.5)
    counts = resampling_counts(9, 3)
    whole = value(metric, counts)
    monkeypatch.setattr("colorgan.metrics.distribution._KERNEL_ROWS", rows)
    torch.testing.assert_close(value(metric, counts), whole, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("paired", [True, False])
def test_kernel_distance_is_unbiased_on_equal_distributions(paired, filled):
    """The mean over 300 draws of 20 photos is zero within three standard errors."""
    values = [
        value(filled(KernelDistance(paired=paired), normal(20, 4, seed=2 * s), normal(20, 4, seed=2 * s + 1))).item()
        for s in range(300)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(300)


def test_distances_look_at_pictures_rounded_to_eight_bits(tiny_judge, crops):
    fake, rgb = crops
    metric = FrechetDistance()
    metric.update(fake + 0.4 / 255 * (fake < 1), rgb)
    torch.testing.assert_close(metric.sets()[0], tiny_judge(quantize(fake)).double())


def test_distances_grow_from_faded_pictures_to_noise(tiny_judge, crops, measure):
    fake, rgb = crops
    noise = torch.rand(rgb.shape, generator=torch.Generator().manual_seed(0))
    for metric in (FrechetDistance(), KernelDistance()):
        assert measure(metric, rgb, rgb) < measure(metric, fake, rgb) < measure(metric, noise, rgb)


@pytest.mark.parametrize("metric", [FrechetDistance, KernelDistance])
def test_the_distance_of_one_photo_is_nan(metric, tiny_judge, crops, measure):
    fake, rgb = crops
    assert math.isnan(measure(metric(), fake[:1], rgb[:1]))


@pytest.mark.parametrize("metric", [FrechetDistance, KernelDistance])
def test_distances_leave_the_random_state_alone(metric, tiny_judge, crops, measure):
    fake, rgb = crops
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    measure(metric(), fake, rgb)
    assert torch.equal(torch.rand(1), expected)


def test_replicates_of_the_frechet_distance_are_centred_at_its_value(tiny_judge, crops, measure):
    fake, rgb = crops
    metric = FrechetDistance()
    distance = measure(metric, fake[:40], rgb[:40])
    replicates = metric.replicates(resampling_counts(40, 150))
    assert replicates.mean().item() == pytest.approx(distance, rel=1e-6)
    assert len(replicates) == 20  # more photos than features: each is dear
    assert replicates.std() > 0
    measure(metric, fake[:10], rgb[:10])
    assert len(metric.replicates(resampling_counts(10, 150))) == 100


def test_replicates_of_the_kernel_distance_scatter_about_its_value(tiny_judge, crops, measure):
    fake, rgb = crops
    metric = KernelDistance()
    distance = measure(metric, fake, rgb)
    replicates = metric.replicates(resampling_counts(70, 500))
    assert replicates.mean().item() == pytest.approx(distance, abs=3 * replicates.std().item() / math.sqrt(500))
    assert metric.replicates(torch.ones(1, 70)).item() == pytest.approx(distance, rel=1e-6)


def test_the_protocol_names_network_weights_preparation_and_pairs(tiny_judge):
    judge = {"feature_network": "tiny", "weights": "0" * 64, "preparation": "means of 2x2 cells"}
    packages = {package: version(package) for package in ("timm", "torchvision", "torchmetrics")}
    facts = {"version": 1, **packages, **judge}
    assert FrechetDistance().describe() == {"class": "FrechetDistance", **facts}
    assert KernelDistance(paired=False).describe() == {"class": "KernelDistance", **facts, "paired": False}
