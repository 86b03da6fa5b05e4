"""Hints of training samples: drawn by the sample alone, the truth where they are certain, and doubted where not."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from colorgan.color import color_planes
from colorgan.data import RandomHints
from colorgan.data.datamodule import make_batch
from colorgan.data.hints import film_frame, patches, points, strokes
from colorgan.networks.hints import MOVED

PHOTO = astronaut()[::6, ::6]
TRUTH = color_planes(torch.tensor(PHOTO).permute(2, 0, 1)[None] / 255)[0].numpy()


@pytest.mark.parametrize("draw", [points, strokes, patches, film_frame])
def test_every_kind_is_drawn_by_its_numbers_alone_and_is_zero_where_nothing_is_known(draw):
    shares = []
    for seed in range(20):
        before = TRUTH.copy()
        hints, again = (draw(TRUTH, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(hints, again)
        assert np.array_equal(TRUTH, before)
        assert (hints.dtype, hints.shape) == (np.float32, (3, *PHOTO.shape[:2]))
        known = hints[2] > 0
        assert not hints[:, ~known].any()
        assert np.abs(hints).max() <= 1
        shares.append(known.mean())
    assert 0 < np.mean(shares) < (1 if draw is film_frame else 0.4)


@pytest.mark.parametrize("draw", [points, strokes, patches])
def test_what_a_person_marks_is_certain_and_near_the_truth(draw):
    for seed in range(10):
        hints = draw(TRUTH, np.random.default_rng(seed))
        known = hints[2] > 0
        assert (hints[2, known] == 1).all()
        errors = np.abs(hints[:2] - TRUTH)[:, known]
        assert errors.size == 0 or errors.mean() < {points: 0.1, strokes: 0.06, patches: 1e-7}[draw]


def test_frames_of_film_are_never_certain_and_their_confidence_tells_of_their_errors():
    tells = []
    for seed in range(60):
        hints = film_frame(TRUTH, np.random.default_rng(seed))
        assert hints[2].max() <= MOVED + 1e-6
        known = hints[2] > 0
        errors = np.abs(hints[:2] - TRUTH).max(axis=0)[known]
        assert errors.mean() > 0.002
        if np.ptp(hints[2, known]) > 1e-6:  # in some it tells nothing
            tells.append(np.corrcoef(errors, hints[2, known])[0, 1])
    assert 40 < len(tells) < 60
    assert np.median(tells) < -0.3


def test_a_batch_with_hints_is_otherwise_the_one_without_and_half_of_it_has_none():
    options = {"image_size": 32, "gray_rule": "luma601", "min_crop": 0.6, "degradation": None}
    rngs = [[np.random.default_rng([7, i]) for i in range(40)] for _ in range(2)]
    plain = make_batch([PHOTO] * 40, rngs[0], **options)
    hinted = make_batch([PHOTO] * 40, rngs[1], **options, hints=RandomHints())
    for key in plain:
        assert torch.equal(plain[key], hinted[key])
    without = (hinted["hints"] == 0).flatten(1).all(dim=1).float().mean()
    assert 0.3 < without < 0.7
