"""Photos and frames of any kind, and memory that does not suffice."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, chelsea

from colorgan.checkpoint import load_generator
from colorgan.colorize import Colorizer
from colorgan.colorize.engines import HintedEngine


def test_it_knows_what_runs_pictures_with_hints():
    exact, fast = SimpleNamespace(gray_rule="luma601", name="torch fp32"), SimpleNamespace(name="openvino fp32")
    colorizer = Colorizer(HintedEngine(fast, exact))
    assert (colorizer.engine, colorizer.hint_engine) == ("openvino fp32", "torch fp32")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_photos_of_any_mode_are_colorized_in_their_size(run, mode):
    photo = Image.fromarray(astronaut()[::8, ::8])
    photo = photo.convert("L").convert(mode) if mode in ("I;16", "F") else photo.convert(mode)
    result = Colorizer.load(run).colorize(photo)
    assert result.size == photo.size
    assert result.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (500, 3), (67, 129)])
def test_photos_of_any_size_are_colorized(run, size):
    assert Colorizer.load(run).colorize(Image.new("RGB", size, (200, 100, 50))).size == size


def test_a_photo_is_a_path_a_name_or_an_image(run, tmp_path):
    photo, path = Image.fromarray(astronaut()[::8, ::8]), tmp_path / "a.png"
    photo.save(path)
    colorizer = Colorizer.load(run)
    by_path, by_name, by_image = (np.asarray(colorizer.colorize(given)) for given in (path, str(path), photo))
    assert np.array_equal(by_path, by_name)
    assert np.array_equal(by_path, by_image)


def test_frames_do_not_depend_on_the_batch(run):
    frames = [np.roll(astronaut()[::8, ::8], shift, axis=0) for shift in range(5)] + [chelsea()[::6, ::6]]
    colorizer = Colorizer.load(run)
    one, many = (list(colorizer.colorize_frames(frames, batch_size=size)) for size in (1, 4))
    for a, b in zip(one, many, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1  # other order of float sums, then rounding


@pytest.mark.parametrize("rule", ["luma601", "lightness"])
def test_frames_are_what_photos_are(run, rule):
    frame = astronaut()[::3, ::2]
    colorizer = Colorizer(load_generator(run), gray_rule=rule, working_size=64)
    made = next(colorizer.colorize_frames([frame])).astype(int)
    assert np.abs(made - np.asarray(colorizer.colorize(Image.fromarray(frame)))).max() <= 1


def test_the_gray_rule_is_the_generator_s(run):
    generator = load_generator(run)
    generator.gray_rule = "lightness"
    assert Colorizer(generator).gray_rule == "lightness"
    assert Colorizer(generator, gray_rule="luma601").gray_rule == "luma601"


class Hungry(torch.nn.Module):
    """A generator that has memory for two frames."""

    gray_rule = "luma601"

    def __init__(self, room):
        super().__init__()
        self.room, self.batches = room, []

    def forward(self, gray):
        self.batches.append(len(gray))
        if len(gray) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return (gray + torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)).clamp(0, 1)


def test_where_memory_is_short_the_batch_is_halved(caplog):
    generator = Hungry(2)
    frames = [np.full((20, 20), 10 * n, np.uint8) for n in range(11)]
    colored = list(Colorizer(generator, working_size=16).colorize_frames(frames, batch_size=8))
    assert [round(float(rgb.mean())) for rgb in colored] == pytest.approx([10 * n for n in range(11)], abs=6)
    assert generator.batches == [8, 4, 2, 2, 2, 2, 2, 1]
    assert "memory does not suffice for 8 frames at once; going on with 4" in caplog.text


def test_a_frame_that_does_not_fit_is_an_error_never_gray():
    with pytest.raises(ValueError, match="smaller --size"):
        list(Colorizer(Hungry(0)).colorize_frames([np.zeros((300, 300, 3), np.uint8)]))
