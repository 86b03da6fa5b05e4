"""Spectral norm with its gradient in closed form, for networks whose weights are large against their maps."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

_EPSILON = 1e-12
_START_ITERATIONS = 15
_MOST_ITERATIONS, _ITERATIONS_AT_ONCE = 200, 10
_STILL = 1e-5  # relative change of sigma over `_ITERATIONS_AT_ONCE` iterations at which its vectors are found
_TOGETHER_ON = ("cuda",)  # where to launch an operation costs more than what it does to a vector (docs/speed.md)
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
    _ahead: tuple[Tensor, Tensor, Tensor] | None  # vectors and sigma of an iteration that `iterate_together` has made

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._ahead = None
        matrix = weight.detach().flatten(1)
        self.register_buffer("_u", _unit(matrix.new_empty(matrix.shape[0]).normal_()))
        self.register_buffer("_v", _unit(matrix.new_empty(matrix.shape[1]).normal_()))
        for _ in range(0 if weight.is_meta else _START_ITERATIONS):
            self._iterate(weight.detach())

    @torch.no_grad()
    def _iterate(self, weight: Tensor) -> None:
        """One iteration on a weight of any memory layout, without copying it."""
        matrix = _as_matrix(weight)
        self._u.copy_(_unit(torch.mv(matrix, _in_layout(self._v, weight))))
        v = _unit(torch.mv(matrix.T, self._u))
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
            vector.copy_(_unit(vector))
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
            if self.training and self._ahead is not None:
                (u, v, sigma), self._ahead = self._ahead, None
            else:
                if self.training:
                    self._iterate(weight.detach())
                # Copies: the next iteration changes the vectors before this step's gradient is taken.
                u, v = self._u.clone(), _in_layout(self._v, weight).clone()
                sigma = torch.dot(u, torch.mv(_as_matrix(weight.detach()), v))
            normalized: Tensor = _OverLargestSingularValue.apply(weight, u, v, sigma, dtype)
        return normalized


def spectral_layers(network: nn.Module) -> list[ParametrizationList]:
    """List the weights of a network that are divided by their largest singular value, for `iterate_together`."""
    lists = (module for module in network.modules() if isinstance(module, ParametrizationList))
    return [weight for weight in lists if isinstance(weight[0], SpectralNorm)]


@torch.no_grad()
def iterate_together(layers: Sequence[ParametrizationList]) -> None:
    """Make the power iterations of a network in training in a few operations for all layers, where that pays.

    To be called as a forward pass begins; each layer then takes what it finds, or iterates by itself. The same up to
    rounding: sigma is the norm of W' u, which u' W v is too. What is compiled is left alone: its compiler joins
    operations itself.
    """
    if torch.compiler.is_compiling() or not layers or layers[0].original.device.type not in _TOGETHER_ON:
        return
    weights = [layer.original.detach() for layer in layers]
    norms: list[SpectralNorm] = [layer[0] for layer in layers]  # type: ignore[misc]
    matrices = [_as_matrix(weight) for weight in weights]
    sizes = tuple((*weight.shape, int(_is_channels_last(weight))) for weight in weights)
    order = _order(sizes, weights[0].device)
    inputs = [matrix.shape[1] for matrix in matrices]
    with torch.autocast(weights[0].device.type, enabled=False):
        v = torch.split(torch.cat([norm._v for norm in norms])[order.to_matrices], inputs)
        products = [torch.mv(matrix, own) for matrix, own in zip(matrices, v, strict=True)]
        u, _ = _unit_vectors(products, order.row_of)
        products = [torch.mv(matrix.T, own) for matrix, own in zip(matrices, u, strict=True)]
        v, sigmas = _unit_vectors(products, order.column_of)
        torch._foreach_copy_([norm._u for norm in norms], u)
        torch._foreach_copy_([norm._v for norm in norms], torch.split(torch.cat(v)[order.from_matrices], inputs))
    for norm, own_u, own_v, sigma in zip(norms, u, v, sigmas, strict=True):
        norm._ahead = (own_u, own_v, sigma)


def _unit_vectors(vectors: list[Tensor], layer_of: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Divide vectors by their norms; returns these too. `layer_of`: of each number of all vectors, its vector."""
    norms = torch.stack(torch._foreach_norm(vectors))
    units = torch.cat(vectors) / norms.clamp_min(_EPSILON)[layer_of]
    return torch.split(units, [len(vector) for vector in vectors]), norms


class _Order(NamedTuple):
    """Places of numbers in the joined vectors of layers: where `_as_matrix` has them, and whose they are."""

    to_matrices: Tensor
    from_matrices: Tensor
    row_of: Tensor
    column_of: Tensor


@lru_cache(maxsize=16)
def _order(sizes: tuple[tuple[int, ...], ...], device: torch.device) -> _Order:
    """Compute the places for weights of these sizes, each followed by whether it lies channels last."""
    places: list[Tensor] = []
    rows: list[int] = [size[0] for size in sizes]
    columns: list[int] = []
    for _, inputs, *kernel, channels_last in sizes:
        begin = sum(columns)
        columns.append(inputs * math.prod(kernel))
        own = torch.arange(begin, begin + columns[-1]).view(inputs, -1)
        places.append((own.T if channels_last else own).flatten())
    to_matrices, layers = torch.cat(places), torch.arange(len(sizes))
    owners = (layers.repeat_interleave(torch.tensor(counts)) for counts in (rows, columns))
    return _Order(*(index.to(device) for index in (to_matrices, to_matrices.argsort(), *owners)))


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
    """W / s with s = u' W v, given with the vectors; its gradient is g / s - (<g, W> / s^2) u v'."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(weight, u, v, sigma)
        return weight / sigma if dtype == weight.dtype else weight.to(dtype).div_(sigma)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, u, v, sigma = ctx.saved_tensors
        result = torch.empty_like(weight).copy_(gradient).div_(sigma)
        flat = _as_matrix(result)  # a view: what is added to it is added to the result
        share = torch.dot(flat.view(-1), _as_matrix(weight).view(-1)) / sigma
        flat.addr_(-share * u, v)
        return result, None, None, None, None


def _unit(vector: Tensor) -> Tensor:
    unit: Tensor = vector / torch.linalg.vector_norm(vector).clamp_min(_EPSILON)
    return unit


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
