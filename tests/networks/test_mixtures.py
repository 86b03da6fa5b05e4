import copy

import pytest
import torch
from torch import nn

from colorgan.networks.mixtures import mix
from colorgan.networks.spectral import largest_singular_value, renew_spectral_norms, spectral_norm, spectral_norms


def network(seed):
    """Convolutions with spectral norm between batch norms whose statistics are of other inputs than the test's."""
    torch.manual_seed(seed)
    layers = [layer for width in (1, 6, 6) for layer in (spectral_norm(nn.Conv2d(width, 6, 3)), nn.BatchNorm2d(6))]
    made = nn.Sequential(*layers).eval()
    renew_spectral_norms(made)
    return with_statistics(made, TRAINED_ON)


@torch.no_grad()
def with_statistics(made, inputs):
    norms = [layer for layer in made if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in inputs:
        made(batch)
    return made.eval()


TRAINED_ON = [1.5 * torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) - 0.2 for seed in range(9)]
INPUTS = [torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def loaders(*networks):
    return [lambda made=made: copy.deepcopy(made) for made in networks]


@torch.no_grad()
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0, 1.5])
def test_a_network_mixed_with_itself_stays(share):
    one = network(0)
    mixed = mix(loaders(one, one), [1 - share, share], INPUTS)
    torch.testing.assert_close(mixed(INPUTS[0]), one(INPUTS[0]), rtol=1e-4, atol=1e-4)
    for name, tensor in mixed.state_dict().items():
        if not name.endswith(("._u", "._v")):
            torch.testing.assert_close(tensor, one.state_dict()[name], rtol=1e-4, atol=1e-6, msg=name)


@torch.no_grad()
def test_at_the_ends_are_the_networks():
    one, other = network(0), network(1)
    for shares, expected in (([1, 0], one), ([0, 1], other)):
        torch.testing.assert_close(
            mix(loaders(one, other), shares, INPUTS)(INPUTS[0]), expected(INPUTS[0]), rtol=1e-4, atol=1e-4
        )


@torch.no_grad()
def test_weights_are_interpolated_and_spectral_vectors_fit_them():
    one, other = network(0), network(1)
    mixed = mix(loaders(one, other), [0.25, 0.75], INPUTS)
    weights = [made[0].parametrizations.weight.original for made in (one, other, mixed)]
    torch.testing.assert_close(weights[2], 0.25 * weights[0] + 0.75 * weights[1])
    for _, norm, weight in spectral_norms(mixed):
        torch.testing.assert_close(norm.sigma(weight), largest_singular_value(weight), rtol=1e-3, atol=0)


@torch.no_grad()
def test_statistics_are_those_of_the_mixture():
    """Measured on the inputs that the networks' own statistics are of, they are what batch norm would find."""
    one, other = network(0), network(1)
    mixed = mix(loaders(one, other), [0.5, 0.5], TRAINED_ON)
    found = with_statistics(copy.deepcopy(mixed), TRAINED_ON)
    for layer in (1, 3, 5):
        torch.testing.assert_close(mixed[layer].running_var, found[layer].running_var, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(mixed[layer].running_mean, found[layer].running_mean, rtol=0, atol=1e-4)
