"""Facts of every defect, then what each one keeps over the frames of a clip and what it changes."""

import io
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from scipy.ndimage import gaussian_filter, label
from scipy.optimize import curve_fit
from skimage.data import astronaut

from colorgan.data import Blur, Dust, Fading, Flicker, Grain, Interlacing, Jpeg, Scratches

DEFECTS = (Blur, Dust, Fading, Flicker, Grain, Interlacing, Jpeg, Scratches)
NOTHING = {
    Blur: {"sigma": 0},
    Dust: {"most": 0},
    Fading: {"black": 0, "white": 0},
    Flicker: {"gain": 0, "offset": 0},
    Grain: {"strength": 0},
    Interlacing: {"shift": 0},
    Scratches: {"most": 0},
}
each_defect = pytest.mark.parametrize("kind", DEFECTS, ids=lambda kind: kind.__name__)


def draw(defect, gray, seed=0):
    return defect(gray, np.random.default_rng(seed))


def flat(frames, tone=0.5, size=96):
    return np.full((frames, size, size), tone, dtype=np.float32)


@pytest.fixture(scope="module")
def photo():
    return np.asarray(Image.fromarray(astronaut()[:400, :300]).convert("L").resize((60, 80)), np.float32) / 255


@pytest.fixture(scope="module")
def clip(photo):
    return np.stack([np.roll(photo, 2 * t, axis=1) for t in range(4)])


@pytest.fixture(scope="module")
def film():
    configs = Path(__file__).parents[2] / "configs"
    return instantiate(OmegaConf.load(configs / "experiment" / "nogan_archival.yaml").data.degradation, _convert_="all")


@each_defect
def test_photo_and_clip_keep_shape_type_and_range_and_the_input_is_untouched(kind, photo, clip):
    for gray in (photo, clip, clip[:1], np.zeros_like(clip), np.ones_like(photo)):
        before = gray.copy()
        gray.flags.writeable = False
        for seed in range(5):
            damaged = draw(kind(), gray, seed)
            assert (damaged.shape, damaged.dtype) == (gray.shape, np.float32)
            assert 0 <= damaged.min() <= damaged.max() <= 1
        assert np.array_equal(gray, before)


@each_defect
def test_defects_are_pure_functions_of_the_random_state(kind, clip):
    for gray in (clip, clip[0]):
        draws = [draw(kind(), gray, seed) for seed in range(8)]
        assert all(np.array_equal(first, draw(kind(), gray, seed)) for seed, first in enumerate(draws))
        assert sum(np.array_equal(first, gray) for first in draws) <= 3  # a weak draw of blur or dust
        if kind is not Interlacing or gray.ndim == 2:  # in a clip it takes the next frame's lines, whatever the seed
            assert len({first.tobytes() for first in draws}) >= 6


@each_defect
def test_a_photo_is_a_clip_of_one_frame(kind, photo):
    assert np.array_equal(draw(kind(), photo), draw(kind(), photo[None])[0])


@pytest.mark.parametrize(("kind", "nothing"), NOTHING.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_zero_strength_changes_nothing(kind, nothing, photo, clip):
    assert np.array_equal(draw(kind(**nothing), photo), photo)
    if kind is not Interlacing:
        assert np.array_equal(draw(kind(**nothing), clip), clip)


@each_defect
def test_probability_is_the_share_of_damaged_clips(kind, photo):
    assert np.array_equal(draw(kind(probability=0), photo), photo)
    clean = np.mean([draw(kind(probability=0.5), photo, seed) is photo for seed in range(200)])
    assert clean == pytest.approx(0.5, abs=0.11)  # 3 standard errors


@each_defect
@pytest.mark.parametrize("shape", [(1, 1), (2, 1, 3), (3, 1)])
def test_tiny_pictures_pass(kind, shape):
    gray = np.full(shape, 0.4, np.float32)
    for seed in range(10):
        assert draw(kind(), gray, seed).shape == shape


@each_defect
def test_values_just_outside_the_range_give_no_nan(kind):
    gray = np.array([[-1e-6, 1 + 1e-6]] * 2, dtype=np.float32)
    assert np.isfinite(draw(kind(), gray)).all()


@each_defect
@pytest.mark.parametrize("shape", [(4,), (1, 2, 3, 4)])
def test_other_shapes_are_refused(kind, shape):
    with pytest.raises(ValueError, match=r"takes \(H, W\) or \(T, H, W\), got"):
        draw(kind(), np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grain(strength=-0.1), "strength of Grain must be a number of at least 0, got -0.1"),
        (lambda: Grain(strength=float("nan")), "strength of Grain must be a number of at least 0, got nan"),
        (lambda: Blur(sigma=float("inf")), "sigma of Blur must be a number of at least 0, got inf"),
        (lambda: Blur(sigma="much"), "sigma of Blur must be a number of at least 0, got 'much'"),
        (lambda: Dust(probability=1.5), r"probability of Dust must be in \[0, 1\], got 1.5"),
        (lambda: Dust(hairs=2), r"hairs of Dust must be in \[0, 1\], got 2"),
        (lambda: Scratches(most=2.5), "most of Scratches must be a whole number of at least 0, got 2.5"),
        (lambda: Fading(black=0.6, white=0.4), r"black \+ white of Fading must stay below 1, got 0.6 \+ 0.4"),
        (lambda: Jpeg(lowest=0), "lowest and highest of Jpeg must rise within 1..100, got 0, 85"),
        (lambda: Jpeg(lowest=90, highest=80), "must rise within 1..100, got 90, 80"),
    ],
)
def test_impossible_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_blur_is_one_gaussian_of_at_most_sigma_for_the_whole_clip(clip):
    for seed in range(4):
        damaged = draw(Blur(sigma=0.05), clip, seed)
        errors = [
            abs(np.stack([gaussian_filter(frame, sigma, truncate=3) for frame in clip]) - damaged).max()
            for sigma in np.linspace(0, 0.05 * clip.shape[1], 101)
        ]
        assert min(errors) < 0.02 < abs(damaged - clip).max()


def test_flicker_is_one_gain_and_offset_a_frame(clip):
    fits = []
    for before, after in zip(clip, draw(Flicker(gain=0.05, offset=0.01), 0.2 + 0.5 * clip), strict=True):
        fits.append(np.polyfit((0.2 + 0.5 * before).ravel(), after.ravel(), 1))
        assert abs(np.polyval(fits[-1], 0.2 + 0.5 * before) - after).max() < 1e-5
    assert np.ptp(fits, axis=0).min() > 1e-3


def test_flicker_has_the_spread_it_says():
    tones = [draw(Flicker(gain=0.1, offset=0), flat(50, size=1), seed).ravel() for seed in range(40)]
    assert np.log(np.ravel(tones) / 0.5).std() == pytest.approx(0.1, rel=0.07)


def test_fading_is_one_line_of_tones_for_the_whole_clip(clip):
    for seed in range(20):
        damaged = draw(Fading(black=0.25, white=0.2), clip, seed)
        slope, black = np.polyfit(clip.ravel(), damaged.ravel(), 1)
        assert abs(slope * clip + black - damaged).max() < 1e-5
        assert 0 <= black <= 0.25
        assert 0.8 <= slope + black <= 1


@pytest.mark.parametrize("size", [0, 0.8, 3])
def test_grain_has_its_strength_whatever_its_size_and_is_strongest_in_mid_tones(size):
    rng = Worst()
    for tone, share in ((0.5, 1), (0.2, 0.8), (0.02, 0.28), (0, 0), (1, 0)):  # 2 sqrt(x (1 - x))
        grain = Grain(strength=0.05, size=size).apply(flat(4, tone, 128), rng) - tone
        assert grain.std() == pytest.approx(0.05 * share, rel=0.07, abs=1e-7)
        assert abs(grain.mean()) < 0.005


class Worst:
    """A generator whose uniform draws are the upper bound."""

    def __init__(self):
        self.rng = np.random.default_rng(5)

    def uniform(self, low, high):
        return high

    def standard_normal(self, *args, **options):
        return self.rng.standard_normal(*args, **options)


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_grain_is_new_in_each_frame_and_correlated_over_neighbours():
    frames = np.concatenate([draw(Grain(size=1.5), flat(2), seed) for seed in range(10)])
    assert max(abs(correlation(a, b)) for a, b in pairwise(frames)) < 0.12
    neighbours = [correlation(frame[:, 1:], frame[:, :-1]) for frame in frames[::2]]
    assert max(neighbours) > 0.5
    white = draw(Grain(size=0), flat(1))[0]
    assert abs(correlation(white[:, 1:], white[:, :-1])) < 0.05


def test_scratches_stay_in_their_columns_over_all_frames():
    for seed in range(20):
        marks = draw(Scratches(most=1), flat(6, size=128), seed) - 0.5
        profiles = marks.mean(1)
        assert all(correlation(profiles[0], profile) > 0.7 for profile in profiles[1:])
        assert np.ptp(abs(profiles).argmax(1)) <= 2
        still = draw(Scratches(most=1, weave=0), flat(2), seed)
        assert not np.array_equal(still[0], still[1])  # depth varies along the film


def test_scratches_run_from_edge_to_edge_and_are_few():
    for seed in range(20):
        marks = abs(draw(Scratches(most=1), flat(1, size=128), seed)[0] - 0.5)
        assert marks.max(1).min() > 0.15 * marks.max()
        assert (marks > 0.01).mean() < 0.1


def test_scratches_are_bright_or_dark_and_as_many_as_allowed():
    extremes = [draw(Scratches(most=1), flat(1), seed) - 0.5 for seed in range(40)]
    bright = np.mean([marks.max() > -marks.min() for marks in extremes])
    assert 0.25 < bright < 0.75
    assert np.mean([(abs(draw(Scratches(most=9), flat(1), s) - 0.5) > 0.01).mean() for s in range(20)]) > 3 * np.mean(
        [(abs(m) > 0.01).mean() for m in extremes]
    )


def test_across_a_scratch_tone_is_a_damped_cosine():
    def scratch(x, tone, at, extent):
        u = abs(x + 0.5 - at) / extent
        return tone * np.exp(-2 * u) * np.cos(1.5 * np.pi * u)

    for seed in range(10):
        row = draw(Scratches(most=1, width=0.1, strength=0.3, weave=0), flat(1, size=256), seed)[0, 128] - 0.5
        start = (row[abs(row).argmax()], abs(row).argmax(), 18)
        (tone, at, extent), _ = curve_fit(scratch, np.arange(256), row, start)
        assert abs(scratch(np.arange(256), tone, at, extent) - row).max() < 0.01 * abs(tone)
        assert 0.3 * 25.6 <= extent <= 25.6
        assert abs(tone) <= 0.3


def test_a_defect_looks_the_same_at_any_size():
    for defect in (Scratches(width=0.3), Blur()):
        small, large = (draw(defect, checks(size), 5)[0] - checks(size)[0] for size in (64, 256))
        shrunk = large.reshape(64, 4, 64, 4).mean((1, 3))
        assert correlation(small, shrunk) > 0.8


def checks(size):
    tiles = np.add.outer(np.arange(size) * 4 // size, np.arange(size) * 4 // size) % 2
    return (0.3 + 0.4 * tiles[None]).astype(np.float32)


def test_dust_lies_in_single_frames():
    overlaps, covered = [], []
    for seed in range(20):
        marks = abs(draw(Dust(), flat(3, size=128), seed) - 0.5) > 0.02
        overlaps.append((marks[0] & marks[1]).sum() / max(1, marks[0].sum()))
        covered.append(marks.mean((1, 2)))
    assert np.mean(overlaps) < 0.1
    assert 0.0005 < np.mean(covered, axis=0).min() < np.mean(covered, axis=0).max() < 0.03


def test_dust_is_dark_and_bright_and_its_number_is_what_it_says():
    marks = [draw(Dust(most=8, radius=0.01, hairs=0), flat(1, size=256), seed)[0] - 0.5 for seed in range(60)]
    counts = [label(abs(mark) > 0.01)[1] for mark in marks]
    assert np.mean(counts) == pytest.approx(4, abs=1.4)  # half of `most`; a few overlap or lie outside
    assert min(mark.min() for mark in marks) < -0.3
    assert max(mark.max() for mark in marks) > 0.3


def test_hairs_are_long_and_thin():
    def area_over_length(hairs):
        ratios = []
        for seed in range(30):
            marks = abs(draw(Dust(most=3, hairs=hairs), flat(1, size=256), seed)[0] - 0.5) > 0.1
            if marks.any():
                ratios.append(marks.sum() / max(np.ptp(np.argwhere(marks), axis=0) + 1))
        return np.mean(ratios)

    assert area_over_length(1.0) < 0.65 * area_over_length(0.0)


def test_interlaced_clip_has_the_odd_lines_of_the_next_frame(clip):
    damaged = draw(Interlacing(), clip)
    assert np.array_equal(damaged[:, ::2], clip[:, ::2])
    assert np.array_equal(damaged[:-1, 1::2], clip[1:, 1::2])
    assert np.array_equal(damaged[-1], clip[-1])


def test_interlaced_photo_has_odd_lines_shifted_by_at_most_the_given_share():
    ramp = np.tile(np.linspace(0, 1, 101, dtype=np.float32), (50, 1))
    shifts = []
    for seed in range(30):
        damaged = draw(Interlacing(shift=0.1), ramp, seed)
        assert np.array_equal(damaged[::2], ramp[::2])
        inner = 100 * (damaged - ramp)[1::2, 10:-10]  # in columns, as the ramp rises by 0.01 a column
        assert np.ptp(inner) < 1e-3
        shifts.append(inner.mean())
    assert min(shifts) < -2.5
    assert max(shifts) > 2.5
    assert max(map(abs, shifts)) <= 5 + 1e-3  # 0.1 of a height of 50


def test_jpeg_is_pillows_at_one_quality_for_the_whole_clip(clip):
    damaged = draw(Jpeg(lowest=30, highest=34), clip)

    def encoded(quality):
        made = []
        for frame in clip:
            file = io.BytesIO()
            Image.fromarray(np.uint8(frame * 255 + 0.5)).save(file, "JPEG", quality=quality)
            made.append(np.asarray(Image.open(file)))
        return np.stack(made)

    assert sum(np.array_equal(encoded(quality), np.rint(damaged * 255)) for quality in range(30, 35)) == 1


def test_worse_quality_changes_more(photo):
    errors = [abs(draw(Jpeg(lowest=q, highest=q), photo) - photo).mean() for q in (5, 30, 80, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1 / 255


def test_film_of_the_experiment_applies_all_defects_in_their_order(film, clip):
    assert [type(defect).__name__ for defect in film.defects] == [
        "Blur", "Flicker", "Grain", "Fading", "Scratches", "Dust", "Interlacing", "Jpeg",
    ]  # fmt: skip
    rng, expected = np.random.default_rng(11), clip
    for defect in film.defects:
        expected = defect(expected, rng)
    assert np.array_equal(draw(film, clip, 11), expected)


def test_film_damages_photos_and_clips_and_goes_to_worker_processes(film, photo, clip):
    copy = pickle.loads(pickle.dumps(film))
    for gray in (photo, clip):
        before = gray.copy()
        draws = [draw(film, gray, seed) for seed in range(30)]
        assert np.array_equal(gray, before)
        assert all(d.dtype == np.float32 and d.shape == gray.shape for d in draws)
        assert all(0 <= d.min() <= d.max() <= 1 for d in draws)
        assert all(np.array_equal(d, draw(copy, gray, seed)) for seed, d in enumerate(draws))
        assert len({d.tobytes() for d in draws}) > 25
