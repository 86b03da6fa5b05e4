"""Networks as plain `nn.Module`s, which know nothing of training, configs or files of runs."""

from colorgan.networks.deoldify import DeOldifyCritic, DeOldifyGenerator
from colorgan.networks.discriminators import PatchDiscriminator
from colorgan.networks.encoders import TimmPyramid, TorchvisionPyramid
from colorgan.networks.queries import QueryGenerator
from colorgan.networks.unet import UNetGenerator

__all__ = [
    "DeOldifyCritic",
    "DeOldifyGenerator",
    "PatchDiscriminator",
    "QueryGenerator",
    "TimmPyramid",
    "TorchvisionPyramid",
    "UNetGenerator",
]
