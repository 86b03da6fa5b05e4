"""Spectral norm with its gradient in closed form, for networks whose weights are large against their maps."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

_EPSILON = 1e-12
_START_ITERATIONS = 15


def spectral_norm(conv: nn.Module) -> nn.Module:
    """Divide a convolution's weight by its largest singular value (Miyato et al. 2018), estimated by power iteration.

    The same numbers under the same names as `torch.nn.utils.parametrizations.spectral_norm`. There, autograd passes six
    times over the whole weight on its way back; here twice, and under autocast the weight is written in low precision
    at once. In DeOldify's critic, with 94 M weights and few pixels, these passes cost as much as its convolutions.
    """
    register_parametrization(conv, "weight", SpectralNorm(conv.weight))  # type: ignore[arg-type]
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
        self._iterate(matrix, _START_ITERATIONS)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor, times: int = 1) -> None:
        for _ in range(times):
            self._u.copy_(F.normalize(torch.mv(matrix, self._v), dim=0, eps=_EPSILON))
            self._v.copy_(F.normalize(torch.mv(matrix.T, self._u), dim=0, eps=_EPSILON))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its largest singular value."""
        device = weight.device.type
        autocast = device != "meta" and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
        with torch.autocast(device if device != "meta" else "cpu", enabled=False):
            if self.training:
                self._iterate(weight.detach().flatten(1))
            # Copies: the next iteration changes the vectors before this step's gradient is taken.
            normalized: Tensor = _OverLargestSingularValue.apply(weight, self._u.clone(), self._v.clone(), dtype)
        return normalized


class _OverLargestSingularValue(torch.autograd.Function):
    """W / s with s = u' W v; its gradient is g / s - (<g, W> / s^2) u v'."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> Tensor:
        sigma = torch.dot(u, torch.mv(weight.flatten(1), v))
        ctx.save_for_backward(weight, u, v, sigma)
        return torch.div(weight, sigma, out=torch.empty_like(weight, dtype=dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, u, v, sigma = ctx.saved_tensors
        flat = gradient.to(weight.dtype).contiguous().div(sigma).flatten(1)
        share = torch.dot(flat.flatten(), weight.contiguous().flatten()) / sigma
        return flat.addr_(-share * u, v).view(weight.shape), None, None, None
