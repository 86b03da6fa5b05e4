"""Train and use GAN and NoGAN networks that colorize photos and film."""

__version__ = "0.1.0"
