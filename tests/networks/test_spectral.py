"""Spectral norm with its own gradient against torch's."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as torch_spectral_norm

from colorgan.networks import DeOldifyCritic, PatchDiscriminator, spectral
from colorgan.networks.spectral import renew_spectral_norms, spectral_norm, spectral_vectors


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


def test_renewed_vectors_leave_a_singular_value_that_was_overtaken():
    """Training had followed the second one, on which power iteration stands still; the first is 2 % larger."""
    layer = spectral_norm(nn.Conv2d(3, 3, 1, bias=False))
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.diag(torch.tensor([1.0, 1.02, 0.5]))[..., None, None])
        for vector in spectral_vectors(layer):
            vector.copy_(torch.tensor([1.0, 0.0, 0.0]))
    layer.eval()
    renew_spectral_norms(layer)
    assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shape", [(7, 5, 3, 3), (64, 16, 3, 3), (8, 128, 1, 1), (4, 4, 1)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_renewed_vectors_are_those_of_the_weight(shape, channels_last):
    torch.manual_seed(0)
    kind = nn.Conv2d if len(shape) == 4 else nn.Conv1d
    layer = spectral_norm(kind(shape[1], shape[0], shape[2]))
    if channels_last and len(shape) == 4:
        layer.to(memory_format=torch.channels_last)
    with torch.no_grad():
        layer.parametrizations.weight.original.normal_()  # not a step of training: the vectors cannot follow
    layer.eval()
    assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) > 1.05
    renew_spectral_norms(layer)
    assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-2)
    for vector in spectral_vectors(layer):
        assert vector.norm().item() == pytest.approx(1, abs=1e-5)


CRITICS = [lambda: PatchDiscriminator(width=8, num_blocks=2, attention=True), lambda: DeOldifyCritic(width=8)]


@pytest.mark.parametrize("make", CRITICS)
@pytest.mark.parametrize("channels_last", [True, False])
def test_the_layers_of_a_network_are_iterated_together_with_the_results_of_one_after_the_other(
    monkeypatch, make, channels_last
):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64).to(memory_format=layout)
    results = []
    for devices in ((), ("cpu",)):
        monkeypatch.setattr(spectral, "_TOGETHER_ON", devices)
        torch.manual_seed(0)
        network = make().double().to(memory_format=layout)
        torch.manual_seed(1)
        total = network(image).sum() + network(image).square().sum()  # twice: two power iterations
        total.backward()
        network.eval()
        gradients = [parameter.grad for parameter in network.parameters()]
        results.append([total, network(image), *gradients, *network.state_dict().values()])
    for alone, together in zip(*results, strict=True):
        assert torch.allclose(alone, together, rtol=1e-9, atol=1e-12)
