"""Zero-centred gradient penalties, which keep a discriminator flat where its inputs lie."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from colorgan.losses.base import Loss
from colorgan.ranges import Count, Positive


class GradientPenalty(Loss):
    """Gamma / 2 times the squared norm of the gradient of a photo's mean logit, averaged over photos.

    Gamma = strength H W / batch_size / 4. Strength 0.0002 is StyleGAN2-ADA's heuristic for R1 (Karras et al. 2020); its
    loss adds up photos and pictures, so give it weight 1 beside a relativistic loss, 0.5 beside those halved here.
    Its quarter: our inputs lie in [0, 1] where theirs lie in [-1, 1], so a gradient is twice theirs and its square
    four times. The mean over a map of P logits: were each logit the judgement of its own patch of H W / P pixels, with
    gradient g, the mean has the gradients g / P, and their squares, summed over the patches, are 1 / P of the mean of
    g^2. Gamma grows with H W, so each patch is penalized as a critic of pictures of its own size would be.

    Computed in float32. It differentiates twice, which `torch.compile` cannot and fused attention neither.

    Args:
        strength: see above.
        every: taken in one of so many steps of the discriminator, with so many times its weight: the lazy
            regularization of StyleGAN2 (Karras et al. 2019), which takes 16.
    """

    trains: ClassVar = "discriminator"

    def __init__(self, *, strength: Positive = 2e-4, every: Count = 4) -> None:
        super().__init__()
        self.strength, self.every = strength, every

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Stay as it is: what is compiled has no second derivative."""

    def penalty(self, images: Tensor, discriminate: Callable[[Tensor], Tensor], batch_size: int) -> Tensor:
        """Compute the scalar at images (N, 3, H, W)."""
        gamma = self.strength * images.shape[-2] * images.shape[-1] / batch_size / 4
        trains = torch.is_grad_enabled()
        device = "cpu" if images.is_meta else images.device.type
        with torch.enable_grad(), torch.autocast(device, enabled=False), sdpa_kernel(SDPBackend.MATH):
            images = images.detach().float().requires_grad_(True)
            total = discriminate(images).flatten(1).mean(1).sum()
            (gradient,) = torch.autograd.grad(total, images, create_graph=trains)
            return gamma / 2 * gradient.square().sum(dim=(1, 2, 3)).mean()


class R1Penalty(GradientPenalty):
    """The penalty at photos (Mescheder et al. 2018)."""

    inputs: ClassVar = ("rgb", "discriminate", "batch_size")

    def forward(self, rgb: Tensor, discriminate: Callable[[Tensor], Tensor], batch_size: int) -> Tensor:
        """Compute the scalar over (N, 3, H, W)."""
        return self.penalty(rgb, discriminate, batch_size)


class R2Penalty(GradientPenalty):
    """The penalty at the generator's pictures (Mescheder et al. 2018); R3GAN (Huang et al. 2024) takes both."""

    inputs: ClassVar = ("fake_rgb", "discriminate", "batch_size")

    def forward(self, fake_rgb: Tensor, discriminate: Callable[[Tensor], Tensor], batch_size: int) -> Tensor:
        """Compute the scalar over (N, 3, H, W)."""
        return self.penalty(fake_rgb, discriminate, batch_size)
