"""Gradient penalties of discriminators whose gradient is known."""

import pytest
import torch

from colorgan.losses import R1Penalty, R2Penalty
from colorgan.networks import DeOldifyCritic, PatchDiscriminator


def linear(weight):
    """One logit a pixel whose sum over the pixels of a patch map is `weight` times the picture."""
    return lambda rgb: (rgb * weight).sum(dim=1, keepdim=True)


@pytest.mark.parametrize("kind", [R1Penalty, R2Penalty])
def test_penalty_of_a_linear_discriminator_is_its_squared_weight(kind):
    weight = torch.randn(1, 3, 6, 4, requires_grad=True)
    penalty = kind(strength=0.01)(torch.rand(5, 3, 6, 4), linear(weight), 8)
    gamma = 0.01 * 6 * 4 / 8 / 4
    expected = gamma / 2 * (weight / 24).square().sum()  # the logit is a mean over 24 pixels
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert torch.allclose(gradient, gamma * weight / 24**2)


def test_each_patch_is_penalized_as_a_critic_of_pictures_of_its_size():
    """Independent patches: a map of 4 x 4 patches of 8 px costs what one patch of 8 px costs."""
    weight = torch.randn(1, 3, 8, 8)
    patches = lambda rgb: torch.nn.functional.conv2d(rgb, weight, stride=8)  # noqa: E731
    penalty = R1Penalty()
    whole, part = penalty(torch.rand(2, 3, 32, 32), patches, 16), penalty(torch.rand(2, 3, 8, 8), patches, 16)
    assert whole.item() == pytest.approx(part.item(), rel=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        lambda: PatchDiscriminator(width=8, num_blocks=1, attention=True),
        lambda: PatchDiscriminator(width=8, num_blocks=1, norm="weight"),
        lambda: DeOldifyCritic(width=8),
    ],
)
def test_penalty_trains_every_kind_of_layer(network):
    torch.manual_seed(0)
    network = network().train()
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.ones_(parameter)
    with torch.autocast("cpu", torch.bfloat16):
        penalty = R1Penalty()(torch.rand(2, 3, 64, 64), network, 2)
    assert penalty.dtype is torch.float32
    penalty.backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert all("bias" in name for name in without)  # a bias moves no gradient but through what comes behind it


def test_penalty_of_weight_zero_is_a_number_without_gradient():
    with torch.no_grad():
        penalty = R1Penalty()(torch.rand(1, 3, 4, 4), linear(torch.ones(1, 3, 4, 4, requires_grad=True)), 1)
    assert penalty > 0
    assert not penalty.requires_grad
