"""Smoothing of chroma: luma stays, flicker falls, cuts and new things start anew."""

import pytest
import torch

from colorgan.color import rgb_to_chroma, rgb_to_gray
from colorgan.colorize.smoothing import ChromaSmoother


def photo(name="astronaut", size=(96, 128)):
    from skimage import data

    image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)


def flickering(num_frames=12, *, shift=0, seed=0):
    """Frames of one photo under a pan of `shift` pixels a frame, each with its own tint on an unchanged luma."""
    wide = photo(size=(96, 128 + shift * num_frames))
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for t in range(num_frames):
        frame = wide[..., shift * t : shift * t + 128]
        tint = 0.06 * torch.randn(1, 3, 1, 1, generator=generator)
        frame = rgb_to_gray(frame) + 0.5 * (frame - rgb_to_gray(frame)) + tint - rgb_to_gray(tint)
        frames.append(frame)
    return torch.cat(frames).clamp(0.0, 1.0)


def flicker(frames):
    return rgb_to_chroma(frames).mean(dim=(2, 3)).diff(dim=0).abs().mean()


@pytest.mark.parametrize("rule", ["luma601", "lightness"])
def test_the_gray_does_not_change(rule):
    frames = flickering(shift=2)
    smoothed = ChromaSmoother(gray_rule=rule).smooth(frames)
    tolerance = 1e-5 if rule == "luma601" else 2e-4  # bisection in Lab
    assert (rgb_to_gray(smoothed, rule) - rgb_to_gray(frames, rule)).abs().max() < tolerance
    assert smoothed.min() >= 0
    assert smoothed.max() <= 1


@pytest.mark.parametrize("shift", [0, 3])
def test_flicker_of_a_still_and_of_a_pan_falls_by_more_than_half(shift):
    frames = flickering(shift=shift)
    assert flicker(ChromaSmoother().smooth(frames)) < 0.5 * flicker(frames)


def test_frames_one_by_one_and_from_a_stored_state_are_the_same():
    frames = flickering(shift=2)
    whole = ChromaSmoother().smooth(frames)
    first, second = ChromaSmoother(), ChromaSmoother()
    before = first.smooth(frames[:5])
    second.load_state(first.state())
    assert torch.equal(torch.cat([before, second.smooth(frames[5:])]), whole)


def test_a_cut_starts_anew():
    coffee = photo("coffee")
    smoothed = ChromaSmoother().smooth(torch.cat([flickering(3), coffee]))
    assert torch.equal(smoothed[3:], coffee)


def test_a_pan_and_a_change_of_exposure_are_no_cuts():
    frames = flickering(shift=4)
    frames[6:] *= 0.6
    smoothed = ChromaSmoother().smooth(frames)
    # at a cut a frame keeps its own colours, to the bit; here each is drawn to the one before
    assert not any(torch.equal(after, before) for after, before in zip(smoothed[1:], frames[1:], strict=True))


def test_what_appears_keeps_its_own_colour():
    frames = flickering(2)
    frames[1, :, 30:60, 40:80] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)
    smoothed = ChromaSmoother().smooth(frames)
    inner = (slice(1, 2), slice(None), slice(36, 54), slice(46, 74))
    assert (smoothed[inner] - frames[inner]).abs().mean() < 0.05


def test_strength_zero_changes_nothing():
    frames = flickering(4)
    assert (ChromaSmoother(strength=0).smooth(frames) - frames).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 9)])
def test_tiny_frames(size):
    frames = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(1))
    assert ChromaSmoother().smooth(frames).shape == frames.shape


def test_a_strength_of_one_is_refused():
    with pytest.raises(ValueError, match=r"--smooth"):
        ChromaSmoother(strength=1.0)
