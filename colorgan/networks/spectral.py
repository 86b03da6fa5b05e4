"""Spectral norm with its gradient in closed form, for networks whose weights are large against their maps."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

_EPSILON = 1e-12
_START_ITERATIONS = 15
_MOST_ITERATIONS, _ITERATIONS_AT_ONCE = 200, 10
_STILL = 1e-5  # relative change of sigma over `_ITERATIONS_AT_ONCE` iterations at which its vectors are found
_OVERTAKEN = 1.0005  # by so much is another sigma larger, beyond what is left of the iteration


def spectral_norm(conv: nn.Module) -> nn.Module:
    """Divide a convolution's weight by its largest singular value (Miyato et al. 2018), estimated by power iteration.

    The same numbers under the same names as `torch.nn.utils.parametrizations.spectral_norm`. There, autograd passes six
    times over the whole weight on its way back; here twice, in whatever layout it lies, and under autocast it is
    brought to low precision first. In DeOldify's critic, with 94 M weights and few pixels, these passes cost as much
    as its convolutions.
    """
    # Unsafe: the type of the result is that of autocast, should the layer be made under it.
    register_parametrization(conv, "weight", SpectralNorm(conv.weight), unsafe=True)  # type: ignore[arg-type]
    return conv


class SpectralNorm(nn.Module):
    """The parametrization: one power iteration each time the weight is asked for in training, none in eval mode."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("_u", F.normalize(matrix.new_empty(matrix.shape[0]).normal_(), dim=0, eps=_EPSILON))
        self.register_buffer("_v", F.normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0, eps=_EPSILON))
        for _ in range(_START_ITERATIONS):
            self._iterate(weight.detach())

    @torch.no_grad()
    def _iterate(self, weight: Tensor) -> None:
        """One iteration on a weight of any memory layout, without copying it."""
        matrix = _as_matrix(weight)
        self._u.copy_(F.normalize(torch.mv(matrix, _in_layout(self._v, weight)), dim=0, eps=_EPSILON))
        v = F.normalize(torch.mv(matrix.T, self._u), dim=0, eps=_EPSILON)
        self._v.copy_(_from_layout(v, weight))

    def sigma(self, weight: Tensor) -> Tensor:
        """Return u' W v, the estimate of the largest singular value that the weight is divided by."""
        return torch.dot(self._u, torch.mv(_as_matrix(weight), _in_layout(self._v, weight)))

    @torch.no_grad()
    def renew(self, weight: Tensor) -> None:
        """Find the singular vectors of a weight that did not come by training steps, such as an average of weights.

        Where another singular value has overtaken the one that training followed, power iteration hardly moves from it.
        So a second start, from fixed random numbers, is tried, and taken if it finds a larger one.
        """
        for vector in (self._u, self._v):
            vector.copy_(F.normalize(vector, dim=0, eps=_EPSILON))
        followed, vectors = self._settle(weight), (self._u.clone(), self._v.clone())
        self._v.copy_(torch.randn(len(self._v), generator=torch.Generator().manual_seed(0)))
        if self._settle(weight) <= followed * _OVERTAKEN:
            self._u.copy_(vectors[0])
            self._v.copy_(vectors[1])

    def _settle(self, weight: Tensor) -> Tensor:
        """Iterate until sigma stays; returns it."""
        before = self.sigma(weight)
        for _ in range(_MOST_ITERATIONS // _ITERATIONS_AT_ONCE):
            for _ in range(_ITERATIONS_AT_ONCE):
                self._iterate(weight)
            sigma = self.sigma(weight)
            if (sigma - before).abs() <= _STILL * sigma:
                break
            before = sigma
        return sigma

    def forward(self, weight: Tensor) -> Tensor:
        """Divide the weight by its largest singular value."""
        device = weight.device.type
        autocast = device != "meta" and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        with torch.autocast(device if device != "meta" else "cpu", enabled=False):
            if self.training:
                self._iterate(weight.detach())
            # Copies: the next iteration changes the vectors before this step's gradient is taken.
            vectors = self._u.clone(), _in_layout(self._v, weight).clone()
            normalized: Tensor = _OverLargestSingularValue.apply(weight, *vectors, dtype)
        return normalized


def spectral_norms(network: nn.Module) -> Iterator[tuple[str, SpectralNorm, Tensor]]:
    """Iterate over a network's spectral norms: name of the layer, the norm, the weight that it divides."""
    for name, module in network.named_modules():
        if isinstance(module, ParametrizationList):
            for norm in module:
                if isinstance(norm, SpectralNorm):
                    yield name.removesuffix(".parametrizations.weight"), norm, module.original


def spectral_vectors(network: nn.Module) -> list[Tensor]:
    """List the buffers that follow from the weights of a network: the singular vectors of its spectral norms."""
    return [vector for _, norm, _ in spectral_norms(network) for vector in (norm._u, norm._v)]


@torch.no_grad()
def largest_singular_value(weight: Tensor) -> Tensor:
    """Compute the largest singular value of a convolution's weight from its Gram matrix, without power iteration."""
    matrix = weight.flatten(1).float()
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    largest: Tensor = torch.linalg.eigvalsh(gram)[-1].sqrt()
    return largest


def renew_spectral_norms(network: nn.Module) -> None:
    """Find the singular vectors of all spectral norms anew from the weights, as eval mode takes them as they lie."""
    for _, norm, weight in spectral_norms(network):
        norm.renew(weight.detach())


class _OverLargestSingularValue(torch.autograd.Function):
    """W / s with s = u' W v; its gradient is g / s - (<g, W> / s^2) u v'."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> Tensor:
        sigma = torch.dot(u, torch.mv(_as_matrix(weight), v))
        ctx.save_for_backward(weight, u, v, sigma)
        return weight / sigma if dtype == weight.dtype else weight.to(dtype).div_(sigma)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, u, v, sigma = ctx.saved_tensors
        result = torch.empty_like(weight).copy_(gradient).div_(sigma)
        flat = _as_matrix(result)  # a view: what is added to it is added to the result
        share = torch.dot(flat.view(-1), _as_matrix(weight).view(-1)) / sigma
        flat.addr_(-share * u, v)
        return result, None, None, None


def _is_channels_last(weight: Tensor) -> bool:
    return weight.ndim == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)


def _as_matrix(weight: Tensor) -> Tensor:
    """(out, everything else) as a view, in the order in which the weight lies in memory."""
    if _is_channels_last(weight):
        return weight.permute(0, 2, 3, 1).flatten(1)
    return weight.flatten(1)


def _in_layout(v: Tensor, weight: Tensor) -> Tensor:
    """A vector over (in, height, width) in the order of `_as_matrix`."""
    return v.view(weight.shape[1:]).permute(1, 2, 0).flatten() if _is_channels_last(weight) else v


def _from_layout(v: Tensor, weight: Tensor) -> Tensor:
    """The inverse of `_in_layout`."""
    inputs, *kernel = weight.shape[1:]
    return v.view(*kernel, inputs).permute(2, 0, 1).flatten() if _is_channels_last(weight) else v
