"""Colour photos and films with a trained generator."""

from colorgan.colorize.colorizer import Colorizer

__all__ = ["Colorizer"]
