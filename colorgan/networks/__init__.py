"""Networks as plain `nn.Module`s, which know nothing of training, configs or files of runs."""

from colorgan.networks.deoldify import DeOldifyCritic, DeOldifyGenerator
from colorgan.networks.discriminators import PatchDiscriminator
from colorgan.networks.encoders import TimmPyramid, TorchvisionPyramid, TransformerPyramid
from colorgan.networks.multiscale import MultiScalePatchDiscriminator
from colorgan.networks.projected import ProjectedDiscriminator
from colorgan.networks.queries import QueryGenerator
from colorgan.networks.unet import UNetGenerator

__all__ = [
    "DeOldifyCritic",
    "DeOldifyGenerator",
    "MultiScalePatchDiscriminator",
    "PatchDiscriminator",
    "ProjectedDiscriminator",
    "QueryGenerator",
    "TimmPyramid",
    "TorchvisionPyramid",
    "TransformerPyramid",
    "UNetGenerator",
]
