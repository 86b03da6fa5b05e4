"""Adversarial losses at chosen logits, and which way they pull."""

import math

import pytest
import torch
from torch import nn

from colorgan.losses import (
    BCEDiscriminatorLoss,
    BCEGeneratorLoss,
    HingeDiscriminatorLoss,
    HingeGeneratorLoss,
    LeastSquaresDiscriminatorLoss,
    LeastSquaresGeneratorLoss,
    RelativisticDiscriminatorLoss,
    RelativisticGeneratorLoss,
)


@pytest.mark.parametrize(
    ("loss", "logits", "expected"),
    [
        (BCEDiscriminatorLoss(), (0, 0), math.log(2)),
        (BCEDiscriminatorLoss(), (2, -1), (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2),
        (BCEDiscriminatorLoss(), (-200, 200), 200),  # stays finite and linear where sigmoid saturates
        (BCEGeneratorLoss(), (0,), math.log(2)),
        (BCEGeneratorLoss(), (3,), math.log(1 + math.exp(-3))),
        (HingeDiscriminatorLoss(), (0, 0), 1),
        (HingeDiscriminatorLoss(), (2, -3), 0),
        (HingeDiscriminatorLoss(), (-1, 0.5), (2 + 1.5) / 2),
        (HingeGeneratorLoss(), (0.7,), -0.7),
        (LeastSquaresDiscriminatorLoss(), (0.5, 0.5), 0.25),
        (LeastSquaresDiscriminatorLoss(), (1, 0), 0),
        (LeastSquaresDiscriminatorLoss(), (3, -1), (4 + 1) / 2),
        (LeastSquaresGeneratorLoss(), (-1,), 4),
        (BCEDiscriminatorLoss(smoothing=0.1), (0, 0), math.log(2)),
        (BCEDiscriminatorLoss(smoothing=0.1), (2, -1), (math.log1p(math.exp(-2)) + 0.2 + math.log1p(math.exp(-1))) / 2),
        (RelativisticDiscriminatorLoss(), (3, 3), math.log(2)),
        (RelativisticDiscriminatorLoss(), (3, 1), math.log1p(math.exp(-2))),
        (RelativisticGeneratorLoss(), (-1, -1), math.log(2)),
        (RelativisticGeneratorLoss(), (3, 1), math.log1p(math.exp(2))),
    ],
)
def test_adversarial_losses_at_constant_logits(loss, logits, expected):
    maps = [torch.full((2, 1, 3, 5), float(value)) for value in logits]
    assert loss(*maps).item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    "loss",
    [
        BCEDiscriminatorLoss(),
        HingeDiscriminatorLoss(),
        LeastSquaresDiscriminatorLoss(),
        RelativisticDiscriminatorLoss(),
    ],
)
def test_discriminator_wants_real_up_and_fake_down(loss):
    real, fake = (torch.zeros(1, 1, 2, 2, requires_grad=True) for _ in range(2))
    (loss(real, fake + 0.5) if isinstance(loss, LeastSquaresDiscriminatorLoss) else loss(real, fake)).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()


@pytest.mark.parametrize("loss", [BCEGeneratorLoss(), HingeGeneratorLoss(), LeastSquaresGeneratorLoss()])
def test_generator_wants_its_fakes_up(loss):
    fake = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss(fake).backward()
    assert (fake.grad < 0).all()


def test_the_critic_s_loss_is_half_the_sum_of_both_cross_entropies():
    real, fake = torch.randn(3, 25), torch.randn(3, 25)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    expected = (cross_entropy(real, torch.ones(3, 25)) + cross_entropy(fake, torch.zeros(3, 25))) / 2
    assert torch.allclose(BCEDiscriminatorLoss()(real, fake), expected)


@pytest.mark.parametrize(
    "loss",
    [
        BCEDiscriminatorLoss(),
        BCEGeneratorLoss(),
        HingeDiscriminatorLoss(),
        HingeGeneratorLoss(),
        LeastSquaresDiscriminatorLoss(),
        LeastSquaresGeneratorLoss(),
        BCEDiscriminatorLoss(smoothing=0.2),
        RelativisticDiscriminatorLoss(),
        RelativisticGeneratorLoss(),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_logits_in_half_precision_are_those_of_the_same_numbers_in_float32(loss, dtype):
    torch.manual_seed(0)
    logits = [torch.randn(2, 1, 7, 7).to(dtype) for _ in loss.inputs]
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(*logits)
    assert value.dtype is torch.float32
    assert value.item() == pytest.approx(loss(*(x.float() for x in logits)).item(), rel=1e-6)


def test_smoothed_chance_is_the_least_loss_of_logits_that_are_the_same_for_all():
    loss, logits = BCEDiscriminatorLoss(smoothing=0.1), torch.linspace(-2, 2, 4001)
    assert min(loss(x, x).item() for x in logits) == pytest.approx(loss.chance, abs=1e-6)
    assert BCEDiscriminatorLoss().chance == math.log(2)


def test_relativistic_generator_wants_its_fakes_up_and_what_both_show_cancels():
    fake = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = RelativisticGeneratorLoss()
    loss(torch.zeros(1, 1, 2, 2), fake).backward()
    assert (fake.grad < 0).all()
    real, fake, content = (torch.randn(2, 1, 3, 3) for _ in range(3))
    assert loss(real + content, fake + content).item() == pytest.approx(loss(real, fake).item(), rel=1e-5)
