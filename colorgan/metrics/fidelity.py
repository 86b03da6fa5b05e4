"""Measure how close a picture comes to the photo it was made from."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from colorgan.color import rgb_to_chroma, rgb_to_lab
from colorgan.metrics.base import MeanOverPictures
from colorgan.networks.perceptual import lpips_network
from colorgan.networks.weights import find_weights


class PSNR(MeanOverPictures):
    """Peak signal-to-noise ratio in dB of each 8-bit picture, averaged over pictures.

    Note: the untouched gray input scores about 22.8 dB on natural photos; PSNR cannot rank colorizations alone.
    A picture equal to its photo counts 100 dB, not infinity.
    """

    higher_is_better = True
    packages = ("torchmetrics",)

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the PSNR of each picture."""
        ratios: Tensor = peak_signal_noise_ratio(fake_rgb, rgb, data_range=1.0, reduction="none", dim=(1, 2, 3))
        return ratios.clamp(max=100)


class ChromaPSNR(MeanOverPictures):
    """PSNR in dB of the two chroma planes alone: Cb and Cr of BT.601, full range, peak 1.

    All methods share the luma of the input, which lifts PSNR on rgb and says nothing; here it is left out.
    A picture with the photo's chroma counts 100 dB.
    """

    higher_is_better = True

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the PSNR of each picture."""
        # Cb = (B - Y) / 1.772, Cr = (R - Y) / 1.402 (ITU-T T.871)
        scale = rgb.new_tensor([1.772, 1.402]).view(1, 2, 1, 1)
        error = (rgb_to_chroma(fake_rgb) - rgb_to_chroma(rgb)) / scale
        return (-10 * error.square().mean(dim=(1, 2, 3)).log10()).clamp(max=100)


class SSIM(MeanOverPictures):
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels, sigma 1.5, data range 1, mean over rgb.

    Only windows inside the picture count. Colorizations share the photo's luma, so values lie close together.
    """

    higher_is_better = True
    packages = ("kornia",)
    decimals = 4

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the SSIM of each picture.

        Raises:
            ValueError: a picture smaller than the window.
        """
        from kornia.metrics import ssim

        if min(rgb.shape[-2:]) < 11:
            raise ValueError(f"SSIM needs pictures of at least 11 px, got {rgb.shape[-2]}x{rgb.shape[-1]} (image_size)")
        pairs = zip(
            torch.split(fake_rgb, 1), torch.split(rgb, 1), strict=True
        )  # one by one fits into the cache of a CPU
        return torch.stack([ssim(fake, real, 11, padding="valid").mean() for fake, real in pairs])


class CIEDE2000(MeanOverPictures):
    """Colour difference CIEDE2000 (Sharma et al. 2005) by scikit-image, mean over pixels, then over pictures.

    About 1 is just noticeable; the gray input of a photo differs by about 10.
    """

    higher_is_better = False
    packages = ("scikit-image",)

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the mean difference of each picture."""
        from skimage.color import deltaE_ciede2000

        # One by one: pictures that fit into the cache of a CPU take half the time of a batch.
        labs = [
            [rgb_to_lab(one).cpu()[0].movedim(0, -1).numpy() for one in torch.split(batch, 1)]
            for batch in (rgb, fake_rgb)
        ]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # NumPy alone would use one core
            differences = pool.map(deltaE_ciede2000, *labs)
            means = [difference.mean(dtype=np.float64) for difference in differences]
        return torch.tensor(means, dtype=torch.float64, device=rgb.device)


class LPIPS(MeanOverPictures):
    """Perceptual distance LPIPS (Zhang et al. 2018, version 0.1) by the authors' package.

    The linear heads come with the package, the backbone is torchvision's; values of two backbones never compare.

    Args:
        network: `alex` or `vgg`.
        weights: file of the backbone; None looks in the cache of torch's hub.
    """

    higher_is_better = False
    packages = ("lpips",)
    decimals = 4

    def __init__(self, network: str = "alex", *, weights: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if network not in ("alex", "vgg"):
            raise ValueError(f"network={network!r} is unknown; allowed: alex, vgg (metrics.lpips_*.network)")
        self.network = network
        self.weights = found = find_weights({"alex": "alexnet", "vgg": "vgg16"}[network], weights)
        self.lpips = lpips_network(network, str(found.path))

    def describe(self) -> dict[str, Any]:
        """Also name the backbone and its weights."""
        return {**super().describe(), "network": self.network, "weights": self.weights and self.weights.sha256}

    def judge(self) -> str:
        """Name the backbone, as a loss is called that has trained through it."""
        return f"lpips_{self.network}"

    @torch.no_grad()
    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """Compute the distance of each picture; LPIPS wants [-1, 1]."""
        distance: Tensor = self.lpips(2 * fake_rgb - 1, 2 * rgb - 1)
        return distance.flatten()
