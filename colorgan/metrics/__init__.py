"""Metrics: torchmetrics classes with `update(fake_rgb, rgb)`; each names its protocol."""

from colorgan.metrics.colorfulness import Colorfulness
from colorgan.metrics.distribution import KernelDistance
from colorgan.metrics.fidelity import PSNR

__all__ = ["PSNR", "Colorfulness", "KernelDistance"]
