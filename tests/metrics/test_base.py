import math
import re

import numpy as np
import pytest
import torch
from measure_on_ranks import SHARES, all_metrics, rank_measures
from scipy.stats import binom
from torch.multiprocessing import spawn

from colorgan import metrics
from colorgan.metrics import ColorfulnessDifference
from colorgan.metrics.base import MeanOverPictures, check_pictures, resampling_counts


@pytest.mark.slow
def test_two_processes_get_the_value_of_one_even_if_one_has_no_picture(
    tiny_judge, crops, lpips_weights, measure, tmp_path
):
    """The order differs, too."""
    torch.save([images.clone() for images in crops], tmp_path / "crops.pt")
    spawn(rank_measures, (tmp_path, lpips_weights["alex"][0]), nprocs=2)
    expected = {
        f"{name} of {title}": measure(metric, crops[0][:total], crops[1][:total])
        for title, (total, _) in SHARES.items()
        for name, metric in all_metrics(lpips_weights["alex"][0]).items()
    }
    for rank in (0, 1):
        assert torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) == pytest.approx(expected, rel=1e-6)


def test_values_do_not_depend_on_the_batch_size(tiny_judge, crops, lpips_weights, measure):
    for name, metric in all_metrics(lpips_weights["alex"][0]).items():
        whole = measure(metric, *crops, batch_size=70)
        assert math.isfinite(whole)
        for batch_size in (1, 64):
            assert measure(metric, *crops, batch_size=batch_size) == pytest.approx(whole, rel=1e-6), name


def test_every_public_metric_is_covered_here(tiny_judge, lpips_weights):
    classes = {type(metric) for metric in all_metrics(lpips_weights["alex"][0]).values()}
    public = {getattr(metrics, name) for name in metrics.__all__}
    of_clips = {metric for metric in public if metric.__module__.endswith(".temporal")}  # metrics/test_temporal.py
    assert classes == public - of_clips - {metrics.PictureMetric}


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda rgb: (255 * rgb).to(torch.uint8), "uint8 in [0, 255]"),
        (lambda rgb: 2 * rgb - 1, "float32 in [-1, 1]"),
        (lambda rgb: 255 * rgb, "float32 in [0, 255]"),
        (lambda rgb: rgb + 0.002, "float32 in [0.002, 1.002]"),
        (lambda rgb: torch.where(rgb > 0.9, torch.nan, rgb), "float32 in [nan, nan]"),
    ],
    ids=["uint8", "-1..1", "0..255", "a little too bright", "nan"],
)
def test_images_of_another_range_are_refused_on_either_side(wrong, got, tiny_judge, lpips_weights):
    rgb = torch.linspace(0, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)
    for metric in all_metrics(lpips_weights["alex"][0]).values():
        with pytest.raises(ValueError, match=re.escape(f"metrics need float pictures in [0, 1], got {got}")):
            metric.update(wrong(rgb), rgb)
        with pytest.raises(ValueError, match=re.escape(f"metrics need float photos in [0, 1], got {got}")):
            metric.update(rgb, wrong(rgb))


def test_images_a_rounding_error_out_of_range_are_taken():
    check_pictures(torch.full((1, 3, 2, 2), 1.0005), torch.full((1, 3, 2, 2), -0.0005, dtype=torch.float16))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 1, 8, 8), (1, 3, 8, 8), (2, 3, 8, 9)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"need pictures and photos \(N, 3, H, W\) alike, got"):
        check_pictures(torch.zeros(shape), torch.zeros(2, 3, 8, 8))


def test_resampling_counts_are_drawn_with_replacement():
    counts = resampling_counts(50, 2000)
    assert counts.shape == (2000, 50)
    assert counts.dtype == torch.float64
    assert (counts.sum(dim=1) == 50).all()
    # each is Binomial(50, 1/50): mean 1, variance .98; standard errors over 100,000 are .003 and .006
    assert counts.mean().item() == pytest.approx(1)
    assert counts.var().item() == pytest.approx(0.98, abs=0.03)
    assert (counts == 0).double().mean().item() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)


def test_resampling_counts_are_a_pure_function():
    torch.manual_seed(1)
    first = resampling_counts(20, 5)
    state = torch.get_rng_state()
    assert torch.equal(resampling_counts(20, 5), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(resampling_counts(20, 9)[:5], first)  # more replicates begin with the same
    assert not torch.equal(resampling_counts(20, 5, seed=1), first)


class Brightness(MeanOverPictures):
    """Mean of the pictures' own levels."""

    def values(self, fake_rgb, rgb):
        return fake_rgb.mean(dim=(1, 2, 3))


def test_replicates_of_a_mean_are_means_of_resampled_pictures(photos):
    metric = Brightness()
    metric.update(photos, photos)
    counts = resampling_counts(len(photos), 4)
    each = metric.value_of_each().numpy()
    expected = [np.repeat(each, row.long().numpy()).mean() for row in counts]
    assert metric.replicates(counts).tolist() == pytest.approx(expected, rel=1e-12)


def test_replicates_of_a_difference_are_those_of_resampled_pictures(with_chroma, photos):
    metric, fake = ColorfulnessDifference(), torch.cat([with_chroma(0.8)[:4], with_chroma(1.3)[4:]])  # of either sign
    metric.update(fake, photos)
    counts = resampling_counts(len(photos), 4)
    expected = []
    for row in counts:
        resampled = ColorfulnessDifference()
        resampled.update(fake.repeat_interleave(row.long(), 0), photos.repeat_interleave(row.long(), 0))
        expected.append(resampled.compute().item())
    assert metric.replicates(counts).tolist() == pytest.approx(expected, rel=1e-5)


def grouped_metrics(lpips_file):
    """All but FID, whose fit knows no groups: copies change its covariance by (n - 1) / n."""
    return {name: metric for name, metric in all_metrics(lpips_file).items() if "frechet" not in name}


def test_copies_of_photos_add_no_evidence(tiny_judge, crops, lpips_weights, measure):
    """Five copies of each of 14 photos: value and every resampled set are those of the 14."""
    fake, rgb = (images[:14] for images in crops)
    counts, groups = resampling_counts(14, 200), torch.arange(14).repeat_interleave(5)
    for name, metric in grouped_metrics(lpips_weights["alex"][0]).items():
        if name == "kernel_unpaired":
            continue  # published for unpaired sets: a picture and its own photo are a pair
        value = measure(metric, fake, rgb)
        alone = metric.replicates(counts)
        measure(metric, fake.repeat_interleave(5, 0), rgb.repeat_interleave(5, 0))
        assert metric.over_groups(groups).item() == pytest.approx(value, rel=1e-5), name
        torch.testing.assert_close(metric.replicates(counts, groups), alone, rtol=1e-6, atol=1e-9)
        by_copies = metric.replicates(resampling_counts(70, 200))
        assert by_copies.std() < 0.7 * alone.std(), name  # what one gets who takes copies for photos


def test_sets_of_unequal_groups_are_resampled_group_by_group(crops, measure):
    """Against NumPy: concatenate the pictures of the groups drawn, and pair those of different groups alone."""
    fake, rgb = (images[:20] for images in crops)
    groups = torch.tensor([0] * 9 + [1] + [2] * 4 + [3] * 6)
    counts = resampling_counts(4, 30)
    drawn = [
        np.concatenate([np.flatnonzero(groups == g) for g in range(4) for _ in range(int(row[g]))]) for row in counts
    ]

    mean, difference, colors = metrics.PSNR(), ColorfulnessDifference(), metrics.ChromaDistance(place_weight=0)
    for metric in (mean, difference, colors):
        measure(metric, fake, rgb)
    each = mean.value_of_each().numpy()
    assert mean.replicates(counts, groups).tolist() == pytest.approx([each[i].mean() for i in drawn], rel=1e-12)
    apart = difference._differences().numpy()
    expected = [abs(apart[i].mean()) for i in drawn]
    assert difference.replicates(counts, groups).tolist() == pytest.approx(expected, rel=1e-9)

    waves = torch.cat(colors.of_picture).numpy()
    several = [number for number, i in enumerate(drawn) if len(set(groups[i].tolist())) > 1]
    for number in several[:10]:
        i = drawn[number]
        products, other = 1000 * waves[i] @ waves[i].T, groups[i].numpy()[:, None] != groups[i].numpy()
        assert colors.replicates(counts, groups)[number].item() == pytest.approx(products[other].mean(), rel=1e-6)


def test_the_kernel_distance_pairs_pictures_of_different_groups_alone(tiny_judge, crops, measure):
    fake, rgb = (images[:12] for images in crops)
    metric, groups = metrics.KernelDistance(), torch.arange(12) % 4
    measure(metric, fake, rgb)
    (x, y), size = (s.numpy() for s in metric.sets()), metric.sets()[0].shape[1]
    kernel = lambda a, b: (a @ b.T / size + 1) ** 3  # noqa: E731
    pairs = 1000 * (kernel(x, x) + kernel(y, y) - kernel(x, y) - kernel(y, x))
    other = groups.numpy()[:, None] != groups.numpy()
    assert metric.over_groups(groups).item() == pytest.approx(pairs[other].mean(), rel=1e-9)


@pytest.mark.parametrize(("count", "least"), [(10, 0.86), (20, 0.90), (50, 0.92)])
def test_intervals_over_groups_cover_the_truth_and_those_over_crops_do_not(count, least):
    """400 sets of photos with six crops each; two thirds of the variance are between photos.

    Percentile intervals of few groups are known to be short: of 10 they cover 90 % rather than 95, of 20 or 50 94 %.
    """
    rng = np.random.default_rng(count)
    groups = torch.arange(count).repeat_interleave(6)
    by_group, by_crop = resampling_counts(count, 400), resampling_counts(6 * count, 400)
    covered = np.zeros(2)
    for _ in range(400):
        each = rng.normal(0, 1, (count, 1)) + rng.normal(0, 0.7, (count, 6))
        metric = Brightness()
        metric.per_picture = [torch.from_numpy(each.ravel())]
        for way, replicates in enumerate((metric.replicates(by_group, groups), metric.replicates(by_crop))):
            low, high = np.percentile(replicates.numpy(), [2.5, 97.5])
            covered[way] += low <= 0 <= high
    assert least <= covered[0] / 400 <= 0.97
    assert covered[1] / 400 < 0.7


def test_the_interval_of_a_mean_covers_the_true_mean_95_times_in_100():
    """200 sets of 40 pictures with levels drawn uniformly from 0..255, whose mean is 127.5.

    Bounds: what 95 % gives by chance in 200 sets, but for one case in ten thousand each way; percentile intervals of
    few values are known to be a little short.
    """
    rng = np.random.default_rng(0)
    counts = resampling_counts(40, 400)
    covered = 0
    for _ in range(200):
        levels = torch.from_numpy(rng.integers(0, 256, (40, 1, 1, 1))).float().expand(-1, 3, -1, -1) / 255
        metric = Brightness()
        metric.update(levels, levels)
        low, high = np.percentile(metric.replicates(counts).numpy(), [2.5, 97.5])
        covered += low <= 127.5 / 255 <= high
    assert binom.ppf(1e-4, 200, 0.95) <= covered <= binom.ppf(1 - 1e-4, 200, 0.95)
