"""Metrics: torchmetrics classes with `update(fake_rgb, rgb)`; each names its protocol."""

from colorgan.metrics.base import PictureMetric
from colorgan.metrics.colorfulness import Colorfulness, ColorfulnessDifference
from colorgan.metrics.distribution import FrechetDistance, KernelDistance
from colorgan.metrics.fidelity import CIEDE2000, LPIPS, PSNR, SSIM, ChromaPSNR

__all__ = [
    "CIEDE2000",
    "LPIPS",
    "PSNR",
    "SSIM",
    "ChromaPSNR",
    "Colorfulness",
    "ColorfulnessDifference",
    "FrechetDistance",
    "KernelDistance",
    "PictureMetric",
]
