"""Measure the duality gap of a generator and its discriminator: how much either could still win against the other."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BATCH = 16


def duality_gap(
    generator: nn.Module,
    discriminator: nn.Module,
    gray: Tensor,
    rgb: Tensor,
    groups: Tensor | None = None,
    *,
    steps: int = 3,
    rate_generator: float = 1e-4,
    rate_discriminator: float = 5e-4,
    noise: float = 0.0,
) -> float:
    """Compute max over D' of V(D', G) - min over G' of V(D, G'), each after a few steps of Adam from a copy.

    Grnarova et al. 2019 ("A domain agnostic measure for monitoring and evaluating GANs"), with V the value of the
    original GAN, in nats. Steps are taken on every other group of photos, V is the mean over the rest, NaN if there is
    no rest. At an equilibrium it is 0; it does not ask whether the discriminator of the training or another one is
    beaten. The networks stay as they are, copies work in eval mode, and nothing is drawn but the noise, from a seed of
    its own.

    Args:
        generator: gray to rgb.
        discriminator: of its training.
        gray: (N, 1, H, W) of held-out photos.
        rgb: (N, 3, H, W), these photos.
        groups: (N,), the number of each photo's group, counted from 0; None: each photo is one of its own.
        steps: of each.
        rate_generator: of Adam, as in the stage.
        rate_discriminator: likewise.
        noise: deviation of what is added to each copy's weights first, relative to the weights' own (perturbed
            duality gap, Sidheekh et al. 2021: at a saddle that is no equilibrium the plain gap is 0 too).
    """
    of = torch.arange(len(rgb)) if groups is None else groups
    if int(of.max()) == 0:
        return float("nan")
    trained, tested = of % 2 == 0, of % 2 == 1
    best_discriminator = _train(
        _copied(discriminator, noise),
        lambda network, x, y: -_value(network, generator, x, y),
        (gray[trained], rgb[trained]),
        steps,
        rate_discriminator,
    )
    best_generator = _train(
        _copied(generator, noise),
        lambda network, x, y: F.softplus(-discriminator(network(x), x)).mean(),  # without saturation
        (gray[trained], rgb[trained]),
        steps,
        rate_generator,
    )
    with torch.no_grad():
        highest = _value(best_discriminator, generator, gray[tested], rgb[tested])
        lowest = _value(discriminator, best_generator, gray[tested], rgb[tested])
    return float(highest - lowest)


def _value(discriminator: nn.Module, generator: nn.Module, gray: Tensor, rgb: Tensor) -> Tensor:
    """Compute E log D(photo) + E log(1 - D(picture)) with D = sigmoid of the logits."""
    real, fake = discriminator(rgb, gray), discriminator(generator(gray), gray)
    return -F.softplus(-real).mean() - F.softplus(fake).mean()


def _copied(network: nn.Module, noise: float) -> nn.Module:
    copied = copy.deepcopy(network).eval().requires_grad_(True)
    if isinstance(encoder := getattr(copied, "encoder", None), nn.Module):
        encoder.requires_grad_(False)  # as in the GAN stage
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in copied.parameters():
            if noise and weight.requires_grad and weight.numel() > 1:
                weight.add_(noise * weight.std() * torch.randn(weight.shape, generator=source).to(weight))
    return copied


def _train(
    network: nn.Module,
    loss_of: Callable[[nn.Module, Tensor, Tensor], Tensor],
    photos: tuple[Tensor, Tensor],
    steps: int,
    rate: float,
) -> nn.Module:
    parameters = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.0, 0.9))
    gray, rgb = photos
    with torch.enable_grad():
        for step in range(steps):
            chosen = torch.arange(step * _BATCH, (step + 1) * _BATCH) % len(gray)
            loss = loss_of(network, gray[chosen], rgb[chosen])
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)  # a branch for hints stands idle
            for weight, gradient in zip(parameters, gradients, strict=True):
                weight.grad = gradient
            optimizer.step()
    return network
