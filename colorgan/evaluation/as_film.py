"""Colour a clip that is measured as `colorgan colorize` colours a film of one shot, after true frames, too."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from colorgan.color import recombine, to_uint8
from colorgan.colorize.coloring import Coloring
from colorgan.colorize.motion import small
from colorgan.colorize.pipeline import Colored
from colorgan.colorize.references import References
from colorgan.colorize.shot_list import Shot, ShotList
from colorgan.colorize.smoothing import chroma
from colorgan.media.film_facts import FULL, FilmFacts, Frame


def colorize_as_film(coloring: Coloring, gray: Tensor, references: Mapping[int, Tensor]) -> Tensor:
    """Colorize the frames of a clip, (T, 1, H, W), one after the other.

    Args:
        coloring: the gray rule of its network is that of the clip.
        gray: in [0, 1]; the result has it exactly.
        references: true frames, (3, H, W), by their place.
    """
    rule, (height, width) = coloring.colorizer.gray_rule, gray.shape[-2:]
    levels = to_uint8(recombine(gray, gray.expand(-1, 3, -1, -1), rule))[:, 0].cpu().numpy()
    frames = [Frame(number, 1, level, number=number) for number, level in enumerate(levels, start=1)]
    if references:
        shot = Shot("clip", 1, len(frames), references=tuple(place + 1 for place in references))
        pictures = {place + 1: _small_chroma(rgb) for place, rgb in references.items()}
        coloring = replace(coloring, references=References(ShotList([shot]), pictures))
    facts = FilmFacts(width, height, Fraction(1, 24), Fraction(24), color_range=FULL)
    with closing(coloring.stream(lambda: iter(frames), facts, {})) as stream:
        made = np.stack([item.rgb for item in stream if isinstance(item, Colored)])
    return recombine(gray, torch.from_numpy(made).permute(0, 3, 1, 2).to(gray) / 255, rule)


def spread(count: int, length: int) -> list[int]:
    """Choose the middles of so many equal parts of a clip."""
    return sorted({(2 * part + 1) * length // (2 * count) for part in range(count)})


def _small_chroma(rgb: Tensor) -> np.ndarray:
    return chroma(small(np.ascontiguousarray(rgb.float().cpu().permute(1, 2, 0).numpy())))
