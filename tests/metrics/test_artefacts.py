"""New colour contrast is found where it was put, and nowhere else."""

import torch

from colorgan.color import chroma_to_rgb
from colorgan.metrics.artefacts import artefact_areas


def picture(chroma):
    return chroma_to_rgb(torch.full((1, 1, 64, 64), 0.5), chroma).clamp(0, 1)


def test_equal_pictures_have_none():
    flat = picture(torch.full((1, 2, 64, 64), 0.1))
    assert float(artefact_areas(flat, flat)) == 0


def test_flat_colour_is_no_artefact():
    twin, strong = picture(torch.zeros(1, 2, 64, 64)), picture(torch.full((1, 2, 64, 64), 0.3))
    assert float(artefact_areas(strong, twin)) == 0


def test_a_blotchy_square_is_found_and_its_area_is_about_right():
    chroma = torch.zeros(1, 2, 64, 64)
    checks = (torch.arange(64) // 4).view(-1, 1) + (torch.arange(64) // 4).view(1, -1)
    chroma[0, 0, 16:48, 16:48] = (0.5 * (checks % 2) - 0.25)[16:48, 16:48]
    area = float(artefact_areas(picture(chroma), picture(torch.zeros(1, 2, 64, 64))))
    assert 0.2 < area < 0.5  # a quarter, and its rim
    assert float(artefact_areas(picture(torch.zeros(1, 2, 64, 64)), picture(chroma))) == 0, "lost contrast is none"


def test_specks_do_not_count():
    chroma = torch.zeros(1, 2, 64, 64)
    chroma[0, 0, 30, 30] = 0.06
    assert float(artefact_areas(picture(chroma), picture(torch.zeros(1, 2, 64, 64)))) == 0
