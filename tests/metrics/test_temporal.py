"""Temporal metrics against references written from their definitions, and on motion that is known exactly."""

import math

import numpy as np
import pytest
import torch

from colorgan.color import rgb_to_lab
from colorgan.data.clips import moved_photo
from colorgan.flow import Motion
from colorgan.metrics import CDC, PSNR, ChromaFlicker, ClipMean, Colorfulness, WarpError


@pytest.fixture(scope="module")
def photo():
    from skimage.data import astronaut

    return astronaut()


def still(num_frames, size=24):
    return Motion(torch.zeros(num_frames - 1, 2, size, size), torch.ones(num_frames - 1, 1, size, size).bool())


def value(metric, frames, motion=None):
    metric.update(frames, frames, motion)
    return float(metric.compute())


def reference_cdc(frames):
    """Colour distribution consistency with loops, from its definition; frames (T, 3, H, W) uint8."""
    from scipy.stats import entropy

    per_step = []
    for step in (1, 2, 4):
        distances = []
        for first, second in zip(frames[:-step], frames[step:], strict=True):
            for channel in range(3):
                p, q = (
                    np.histogram(frame[channel], bins=256, range=(-0.5, 255.5))[0] / frame[channel].size
                    for frame in (first, second)
                )
                middle = (p + q) / 2
                distances.append(0.5 * entropy(p, middle) + 0.5 * entropy(q, middle))
        per_step.append(np.mean(distances))
    return np.mean(per_step)


def test_cdc_is_the_reference():
    frames = np.random.default_rng(0).integers(0, 256, (7, 3, 20, 30))
    frames[3:] = frames[3:] // 2 + 40
    assert value(CDC(), torch.from_numpy(frames).float() / 255) == pytest.approx(reference_cdc(frames), rel=1e-6)


def test_cdc_of_distributions_without_a_common_level_is_ln_2():
    frames = torch.zeros(5, 3, 8, 8)
    frames[::2] = 1.0
    # frames 1 apart differ, frames 2 and 4 apart are equal
    assert value(CDC(), frames) == pytest.approx(math.log(2) / 3, rel=1e-6)


def test_cdc_is_blind_to_places():
    frames = torch.rand(1, 3, 16, 16).repeat(6, 1, 1, 1)
    permuted = torch.stack([frame.flatten(1)[:, torch.randperm(256)].view(3, 16, 16) for frame in frames])
    assert value(CDC(), frames) == value(CDC(), permuted) == 0


def test_cdc_needs_five_frames():
    with pytest.raises(ValueError, match="at least 5 frames, got 4"):
        CDC().update(torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8))


@pytest.mark.parametrize("motion", ["pan", "noise"])
def test_nothing_flickers_under_exact_motion_by_whole_pixels(photo, motion):
    frames, moved = moved_photo(photo, 32, motion, 6)
    assert value(WarpError(), frames, moved) < 1e-10
    assert value(ChromaFlicker(), frames, moved) < 1e-3


@pytest.mark.parametrize("motion", ["zoom", "rotation"])
def test_the_error_under_exact_motion_is_that_of_resampling(motion):
    """On a smooth photo it vanishes; with the motion turned round it does not."""
    x = np.linspace(0, 255, 200, dtype=np.uint8)
    smooth = np.stack([np.tile(x, (200, 1)), np.tile(x[:, None], (1, 200)), np.full((200, 200), 90, np.uint8)], axis=-1)
    frames, moved = moved_photo(smooth, 64, motion, 6)
    wrong = Motion(-moved.flow, moved.visible)
    rounding = 2 * (1 / 255) ** 2 / 12  # of two 8-bit values
    assert value(WarpError(), frames, moved) < 2 * rounding
    assert value(WarpError(), frames, wrong) > 10 * rounding


def test_warp_error_is_the_mean_square_over_visible_entries():
    frames = torch.zeros(3, 3, 24, 24)
    frames[1] = 51 / 255
    motion = still(3)
    motion.visible[:, :, :12] = False
    frames[1, :, :12] = 1.0  # not seen
    assert value(WarpError(), frames, motion) == pytest.approx((51 / 255) ** 2, rel=1e-6)


def test_chroma_flicker_is_the_distance_in_the_ab_plane_and_no_luma():
    frames = torch.full((2, 3, 24, 24), 0.4)
    assert value(ChromaFlicker(), frames * torch.tensor([1.0, 2.0]).view(2, 1, 1, 1), still(2)) < 1e-2
    frames[1, 0] = 0.8
    first, second = rgb_to_lab(torch.stack([torch.full((3, 1, 1), 0.4), frames[1, :, :1, :1]]))
    expected = float((first - second)[1:].norm())
    assert value(ChromaFlicker(), frames, still(2)) == pytest.approx(expected, rel=1e-3)


def test_motion_of_other_frames_is_refused():
    with pytest.raises(ValueError, match=r"needs the motion of 3 frames of \(24, 24\), got \(1, 2, 24, 24\)"):
        WarpError().update(torch.rand(3, 3, 24, 24), torch.rand(3, 3, 24, 24), still(2))
    with pytest.raises(ValueError, match="got none"):
        ChromaFlicker().update(torch.rand(3, 3, 24, 24), torch.rand(3, 3, 24, 24))


def test_a_clip_counts_once_however_long():
    metric = ClipMean(Colorfulness())
    gray, colour = torch.full((6, 3, 8, 8), 0.5), torch.rand(2, 3, 8, 8)
    metric.update(gray, gray)
    metric.update(colour, colour)
    alone = Colorfulness()
    alone.update(colour, colour)
    assert float(metric.compute()) == pytest.approx(float(alone.compute()) / 2, rel=1e-5)
    assert metric.value_of_each().shape == (2,)


def test_a_part_of_a_clip_counts_alone():
    clip = torch.full((8, 3, 8, 8), 0.5)
    clip[6:] = torch.rand(2, 3, 8, 8)
    last, alone = ClipMean(Colorfulness(), (0.75, 1)), Colorfulness()
    last.update(clip, clip)
    alone.update(clip[6:], clip[6:])
    assert float(last.compute()) == pytest.approx(float(alone.compute()))
    assert last.describe()["part"] == [0.75, 1]
    assert "part" not in ClipMean(Colorfulness()).describe()
    with pytest.raises(ValueError, match=r"two rising numbers from 0 to 1, got \[1, 0\]"):
        ClipMean(Colorfulness(), (1, 0))


def test_clip_mean_takes_over_what_the_metric_says_of_itself():
    assert ClipMean(PSNR()).higher_is_better is True
    assert ClipMean(PSNR()).needs_truth
    assert ClipMean(Colorfulness()).higher_is_better is None
    assert not ClipMean(Colorfulness()).needs_truth
    assert ClipMean(PSNR()).describe()["class"] == "PSNR"


def test_intervals_are_over_clips():
    metric = CDC()
    for seed in range(3):
        metric.update(*[torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(seed))] * 2)
    counts = torch.tensor([[3, 0, 0], [1, 1, 1]])
    each = metric.value_of_each()
    assert torch.allclose(metric.replicates(counts), torch.stack([each[0], each.mean()]))
