"""A critic trained anew tells what differs, and cannot tell what does not."""

import pytest
import torch

from colorgan.metrics.fresh_critic import _logistic, fresh_accuracy


@pytest.fixture(scope="module")
def rgb():
    coarse = torch.rand(24, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, 64, mode="bilinear")


def test_it_tells_gray_from_colour_and_photos_not_from_themselves(rgb):
    gray = rgb.mean(dim=1, keepdim=True).expand_as(rgb)
    assert fresh_accuracy(gray, rgb) > 0.95
    assert fresh_accuracy(rgb, rgb) == 0.5
    assert fresh_accuracy(0.9 * rgb + 0.1 * gray, rgb) < fresh_accuracy(0.5 * rgb + 0.5 * gray, rgb)


def test_it_draws_nothing(rgb):
    state = torch.get_rng_state()
    assert fresh_accuracy(rgb.flip(1), rgb) == fresh_accuracy(rgb.flip(1), rgb)
    assert torch.equal(state, torch.get_rng_state())


def test_the_regression_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(200, 3, generator=draw, dtype=torch.float64)
    labels = (inputs[:, 0] + torch.randn(200, generator=draw, dtype=torch.float64) > 0).double()
    theirs = LogisticRegression(C=0.1, fit_intercept=False, tol=1e-10).fit(inputs.numpy(), labels.numpy()).coef_[0]
    assert _logistic(inputs, labels).tolist() == pytest.approx(theirs.tolist(), abs=1e-6)
