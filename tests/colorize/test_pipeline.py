"""Frames on their way through threads: segments, comparison, errors."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from colorgan.colorize import Colorizer, pipeline
from colorgan.colorize.pipeline import leave_cores
from colorgan.media.film_facts import FULL, FilmFacts, Frame

FACTS = FilmFacts(20, 16, Fraction(1, 25), Fraction(25), color_range=FULL)


class Red(torch.nn.Module):
    """A generator that reddens, and notes how many frames came at once."""

    gray_rule = "luma601"

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, gray):
        self.batches.append(len(gray))
        return (gray + torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)).clamp(0, 1)


def always(generator):
    colorizer = Colorizer(generator, working_size=16)
    return lambda _: colorizer


def frames(count):
    return (Frame(number, 1, np.full((16, 20), 100 + number, np.uint8)) for number in range(count))


def test_no_batch_reaches_over_the_end_of_a_segment(monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FRAMES", 7)
    generator = Red()
    items = list(pipeline.color_stream(frames(16), always(generator), FACTS, batch_size=3))
    assert generator.batches == [3, 3, 1, 3, 3, 1, 2]
    assert [number for number, item in enumerate(items) if isinstance(item, pipeline.SegmentEnd)] == [7, 15, 18]
    assert [item.frame.time for item in items if isinstance(item, pipeline.Colored)] == list(range(16))


def test_gray_stands_to_the_left():
    frame, rgb = next(frames(1)), np.full((16, 20, 3), 7, np.uint8)
    both = pipeline.beside_gray(pipeline.Colored(frame, rgb), FACTS)
    assert both.rgb.shape == (16, 40, 3)
    assert both.frame.luma.shape == (16, 40)
    assert (both.rgb[:, :20] == 100).all()
    assert (both.rgb[:, 20:] == 7).all()


def test_what_fails_in_a_thread_reaches_the_caller():
    def items():
        yield 1
        raise ValueError("broken")

    stream = pipeline.ahead(items(), count=1)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_an_abandoned_stream_ends_its_thread():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    stream = pipeline.ahead(items(), count=2)
    next(stream)
    stream.close()
    assert closed == [True]


def test_frames_with_colours_keep_them_and_fields_are_woven(monkeypatch):
    monkeypatch.setattr(pipeline, "SEGMENT_FRAMES", 5)
    bright = np.full((16, 20, 3), (200, 10, 10), np.uint8)
    given = [frame._replace(rgb=bright if 2 <= frame.time < 7 else None, scan=2) for frame in frames(9)]
    generator = Red()
    items = list(pipeline.color_stream(iter(given), always(generator), FACTS, batch_size=3))
    colored = [item for item in items if isinstance(item, pipeline.Colored)]
    assert [item.frame.time for item in colored] == list(range(9))
    assert [np.array_equal(item.rgb, bright) for item in colored] == [2 <= n < 7 for n in range(9)]
    assert generator.batches == [3, 1, 3, 1]  # two fields of a frame, over its end too, but not over a shot's


def test_cores_are_left_to_an_engine_for_a_while_only():
    before = torch.get_num_threads()
    for engine, inside in (("openvino bf16", 1), ("torch fp32", before)):
        with leave_cores(engine):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == before
