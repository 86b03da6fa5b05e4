"""Colour photos and films with a trained generator."""
