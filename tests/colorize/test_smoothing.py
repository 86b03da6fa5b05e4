"""Smoothing of chroma: luma stays, flicker falls, cuts and new things start anew."""

import numpy as np
import pytest
import torch

from colorgan.color import rgb_to_chroma, rgb_to_gray
from colorgan.colorize.pipeline import Colored, SegmentEnd
from colorgan.colorize.smoothing import ChromaSmoother
from colorgan.media.film_facts import Frame


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


def stream(smoother, frames, ends=(12, 24), kept=(), cuts=()):
    """The frames as they leave, uint8, and the states at the ends of segments."""
    levels = (255 * frames).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def items():
        for number, rgb in enumerate(levels, start=1):
            frame = Frame(number, 1, rgb[..., 0], rgb=rgb if number in kept else None, number=number)
            yield Colored(frame, rgb)
            if number in ends:
                yield SegmentEnd({})

    left = list(smoother.stream(items(), cuts))
    return [i.rgb for i in left if isinstance(i, Colored)], [i.state for i in left if isinstance(i, SegmentEnd)]


def test_a_film_that_goes_on_from_a_stored_state_is_the_same():
    frames = flickering(40, shift=1)
    whole, states = stream(ChromaSmoother(), frames)
    resumed = ChromaSmoother()
    resumed.load_state(states[0])
    rest, _ = stream(resumed, frames[12:], ends=(12,))
    assert len(whole) == 40
    assert all(np.array_equal(a, b) for a, b in zip(whole[12:], rest, strict=True))


def test_a_stream_and_a_clip_are_the_same():
    frames = (255 * flickering(14, shift=2)).round() / 255
    whole = (255 * ChromaSmoother().smooth(frames)).round().permute(0, 2, 3, 1).numpy()
    left, _ = stream(ChromaSmoother(), frames, ends=(14,))
    assert np.abs(np.stack(left) - whole).max() <= 1


def test_frames_that_had_colours_stay_and_part_the_others():
    frames = flickering(20)
    left, _ = stream(ChromaSmoother(), frames, kept=(9, 10))
    alone, _ = stream(ChromaSmoother(), frames[:8])
    levels = (255 * frames).round().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(left[8], levels[8])
    assert all(np.array_equal(a, b) for a, b in zip(left[:8], alone, strict=True))


def test_listed_cuts_part_frames_too():
    frames = flickering(20)
    left, _ = stream(ChromaSmoother(), frames, cuts={9})
    alone, _ = stream(ChromaSmoother(), frames[:8])
    assert all(np.array_equal(a, b) for a, b in zip(left[:8], alone, strict=True))


def test_the_first_frame_behind_a_cut_is_steadied_by_those_after():
    frames = flickering(12)
    frames[0] = (frames[0] + 0.1).clamp(0, 1)
    smoothed = ChromaSmoother().smooth(frames)
    away = [(rgb_to_chroma(f[:1]) - rgb_to_chroma(frames).mean(0)).abs().mean() for f in (frames, smoothed)]
    assert away[1] < 0.7 * away[0]


def test_a_cut_starts_anew():
    coffee = photo("coffee")
    smoothed = ChromaSmoother().smooth(torch.cat([flickering(3), coffee]))
    assert (smoothed[3:] - coffee).abs().max() < 1e-5


def test_a_pan_and_a_change_of_exposure_are_no_cuts():
    frames = flickering(shift=4)
    frames[6:] *= 0.6
    smoothed = ChromaSmoother().smooth(frames)
    assert all((after - before).abs().max() > 0.01 for after, before in zip(smoothed, frames, strict=True))


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
