"""How close a picture comes to the photo it was made from."""

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from colorgan.metrics.mean import MeanOverPictures


class PSNR(MeanOverPictures):
    """Peak signal-to-noise ratio in dB of each 8-bit picture, averaged over pictures.

    Note: the untouched gray input scores about 22.8 dB on natural photos; PSNR cannot rank colorizations alone.
    A picture equal to its photo counts 100 dB, not infinity.
    """

    higher_is_better = True

    def values(self, fake_rgb: Tensor, rgb: Tensor) -> Tensor:
        """PSNR of each picture."""
        ratios: Tensor = peak_signal_noise_ratio(fake_rgb, rgb, data_range=1.0, reduction="none", dim=(1, 2, 3))
        return ratios.clamp(max=100)
