"""The model that comes with the package: it is what its card says, and it is what is used by default."""

import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from colorgan.checkpoint import find_checkpoint, load_generator, read_header
from colorgan.files import file_hash

CARD = (Path(__file__).parent.parent / "docs" / "small_model.md").read_text()
FILE = find_checkpoint("small")


def test_the_file_is_the_one_of_the_card_and_made_of_the_end_of_its_recipe():
    file, end = re.findall(r"\b[0-9a-f]{64}\b", CARD)
    assert file_hash(FILE) == file
    assert read_header(FILE)["published_from"] == end
    assert FILE.stat().st_size <= 10e6


def test_it_is_computed_in_float32():
    generator = load_generator("small")
    assert {parameter.dtype for parameter in generator.parameters()} == {torch.float32}


def test_colorize_uses_it_without_a_checkpoint_and_says_so(command, tmp_path):
    gray = Image.fromarray(astronaut()).convert("L")
    gray.save(tmp_path / "photo.png")
    code, _, err = command("colorize", tmp_path / "photo.png", "-o", tmp_path / "color.png")
    assert code == 0, err
    assert "the small model of this package" in err
    colored = np.asarray(Image.open(tmp_path / "color.png"), np.float64)
    assert np.abs(colored @ [0.299, 0.587, 0.114] - np.asarray(gray)).max() < 1
    assert np.ptp(colored, axis=2).mean() > 5


def test_a_run_starts_from_it(command, tmp_path):
    words = ["experiment=small_model", "init_from=small", "plan=true", f"runs_dir={tmp_path}"]
    code, _, err = command("train", *words)
    assert code == 0, err
    assert not list(tmp_path.iterdir())
