"""Mix networks of one architecture: weights, the statistics of batch norm, the vectors of spectral norm."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from colorgan.networks.spectral import renew_spectral_norms, spectral_vectors

_LEAST_VARIANCE = 1e-12  # of a channel that is constant
_Values = dict[str, Tensor]


@torch.no_grad()
def mix(parts: Sequence[Callable[[], nn.Module]], shares: Sequence[float], inputs: Sequence[Tensor]) -> nn.Module:
    """Make a weighted sum of networks (deep network interpolation, Wang et al. 2019).

    Weights are summed. Statistics of batch norm are of what a network computes, and a mixture computes something
    else, so they are measured anew on `inputs`. These are few, and others than the networks were trained on. So only
    differences are measured: the networks' own statistics are interpolated (variances by their logarithms, for shares
    may be negative) and then moved by what is measured of the mixture less the same interpolation of what is measured
    of the networks. Where nothing differs, nothing moves: a mixture of a network with itself is that network, and
    layers that were frozen stay. The singular vectors of spectral norm follow from the weights.

    Args:
        parts: load the networks, in eval mode, one at a time; they are of one architecture.
        shares: of each; they add up to 1.
        inputs: batches for the networks.
    """
    mixture = parts[-1]()
    last = _state(mixture), _own(mixture), _measured(mixture, inputs)
    totals = [{name: value.clone() for name, value in values.items()} for values in last]
    for part, share in zip(parts[:-1], shares, strict=False):
        network = part()
        for total, base, values in zip(
            totals, last, (_state(network), _own(network), _measured(network, inputs)), strict=True
        ):
            for name, value in values.items():
                total[name] += share * (value - base[name])  # so that equal values stay as they are
    weights, own, expected = totals
    derived = {id(vector) for vector in spectral_vectors(mixture)}
    for name, tensor in mixture.state_dict(keep_vars=True).items():
        if name in weights and id(tensor) not in derived:
            tensor.copy_(weights[name])
    renew_spectral_norms(mixture)
    found = _measured(mixture, inputs)
    for name, norm in _batch_norms(mixture):
        mean, log_variance = (own[key] + found[key] - expected[key] for key in _keys(name))
        _running(norm)[0].copy_(mean)
        _running(norm)[1].copy_(log_variance.exp())
    return mixture


def _state(network: nn.Module) -> _Values:
    state = network.state_dict()
    return {name: tensor.double() for name, tensor in state.items() if tensor.is_floating_point()}


def _own(network: nn.Module) -> _Values:
    """Read the statistics of a network's batch norms: means, and logarithms of variances."""
    values: _Values = {}
    for name, norm in _batch_norms(network):
        mean, variance = _running(norm)
        pair = mean.double(), variance.double().clamp(min=_LEAST_VARIANCE).log()
        values |= dict(zip(_keys(name), pair, strict=True))
    return values


def _measured(network: nn.Module, inputs: Sequence[Tensor]) -> _Values:
    """Measure the same on inputs, with a batch norm that works as in training: averages over the batches."""
    with _measuring(network):
        for batch in inputs:
            network(batch)
        return _own(network)


@contextmanager
def _measuring(network: nn.Module) -> Iterator[None]:
    """Let batch norms, and only they, work as in training and average their statistics; then put all back."""
    norms = [norm for _, norm in _batch_norms(network)]
    before = [(norm.momentum, [buffer.clone() for buffer in norm.buffers()]) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the cumulative average
        norm.train()
    try:
        yield
    finally:
        for norm, (momentum, buffers) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()
            for buffer, value in zip(norm.buffers(), buffers, strict=True):
                buffer.copy_(value)


def _batch_norms(network: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield name, module


def _running(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _keys(name: str) -> tuple[str, str]:
    return f"{name}.mean", f"{name}.log_variance"
