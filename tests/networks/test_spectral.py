"""Spectral norm with its own gradient against torch's."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as torch_spectral_norm

from colorgan.networks.spectral import spectral_norm


def pair(make):
    """The same layer under torch's spectral norm and under ours."""
    torch.manual_seed(0)
    theirs = torch_spectral_norm(make())
    ours = spectral_norm(make())
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


LAYERS = [lambda: nn.Conv2d(5, 7, 3), lambda: nn.Conv2d(5, 7, 1, bias=False), lambda: nn.Conv1d(5, 7, 1)]


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_values_gradients_and_vectors_are_torch_s(make, training, channels_last):
    theirs, ours = (layer.double() for layer in pair(make))
    image = torch.randn(2, 5, 6) if isinstance(ours, nn.Conv1d) else torch.randn(2, 5, 6, 6)
    image = image.double()
    results = []
    for layer in (theirs, ours):
        if channels_last:
            layer.to(memory_format=torch.channels_last)
        layer.train(training)
        total = layer(image).square().sum() + 3 * layer(image).sum()  # twice: two power iterations in training
        total.backward()
        results.append((total, layer.parametrizations.weight.original.grad, *layer.state_dict().values()))
    for expected, got in zip(*results, strict=True):
        assert torch.allclose(expected, got, rtol=1e-9, atol=1e-9)


def test_names_are_torch_s():
    theirs, ours = pair(LAYERS[0])
    assert theirs.state_dict().keys() == ours.state_dict().keys()


def test_under_autocast_the_weight_is_written_in_low_precision_and_its_gradient_in_full():
    _, layer = pair(LAYERS[0])
    with torch.autocast("cpu", torch.bfloat16):
        weight = layer.weight
        layer(torch.randn(1, 5, 6, 6)).float().sum().backward()
    layer.eval()
    assert weight.dtype == torch.bfloat16
    assert torch.allclose(weight.float(), layer.weight, rtol=1e-2, atol=1e-3)
    assert layer.parametrizations.weight.original.grad.dtype == torch.float32
