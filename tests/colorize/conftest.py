"""Checkpoints of small untrained networks, and films of several shots."""

import numpy as np
import pytest
from spliced import gray, title, view, write_film
from tiny_checkpoint import write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Two checkpoints of small untrained networks that colour differently."""
    folder = tmp_path_factory.mktemp("tiny")
    return write(folder / "a.safetensors"), write(folder / "b.safetensors", seed=1)


@pytest.fixture(scope="session")
def shown(tmp_path_factory):
    """A film of 36 frames: a title of 8, then 14 frames of one photo and 14 of another, gray, lossless."""
    film = np.concatenate([title(8), gray(view("astronaut", 14)), gray(view("chelsea", 14))])
    return write_film(tmp_path_factory.mktemp("shown") / "film.mkv", film)
