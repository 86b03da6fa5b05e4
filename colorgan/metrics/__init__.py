"""Metrics: torchmetrics classes with `update(fake_rgb, rgb)`, of clips with their motion; each names its protocol."""

from colorgan.metrics.base import PictureMetric
from colorgan.metrics.chroma import ChromaDistance
from colorgan.metrics.colorfulness import Colorfulness, ColorfulnessDifference
from colorgan.metrics.distribution import FrechetDistance, KernelDistance
from colorgan.metrics.fidelity import CIEDE2000, LPIPS, PSNR, SSIM, ChromaPSNR
from colorgan.metrics.temporal import CDC, ChromaFlicker, ClipMean, WarpError

__all__ = [
    "CDC",
    "CIEDE2000",
    "LPIPS",
    "PSNR",
    "SSIM",
    "ChromaDistance",
    "ChromaFlicker",
    "ChromaPSNR",
    "ClipMean",
    "Colorfulness",
    "ColorfulnessDifference",
    "FrechetDistance",
    "KernelDistance",
    "PictureMetric",
    "WarpError",
]
