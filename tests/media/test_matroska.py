"""The shape of pixels in a Matroska file."""

from fractions import Fraction

import av
import numpy as np
import pytest
from film_fixture import packets, photo

from colorgan.media.film_facts import FilmFacts
from colorgan.media.film_reader import FilmReader
from colorgan.media.matroska import ROOM, write_video_facts


def write_film(path):
    with av.open(str(path), "w", options={"write_crc32": "0"}) as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.metadata["title"] = ROOM
        for number in range(3):
            picture = av.VideoFrame.from_ndarray(photo(number, size=(64, 48)), format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv444p")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("title", ["", "A walk", "A title that is longer than twenty bytes"])
@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(64, 45), Fraction(8, 9), Fraction(4001, 3000)])
def test_players_read_the_aspect_and_nothing_else_moves(tmp_path, aspect, title):
    path = tmp_path / "a.mkv"
    write_film(path)
    size, before = path.stat().st_size, packets(path, "video")
    write_video_facts(path, 64, FilmFacts(64, 48, Fraction(1, 25), Fraction(25), pixel_aspect=aspect), title)
    assert path.stat().st_size == size
    assert packets(path, "video") == before
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == aspect
        assert (stream.width, stream.height) == (64, 48)
        assert stream.metadata.get("title", "") == title[:20]
        assert len([np.asarray(frame.to_ndarray()) for frame in container.decode(stream)]) == 3


def test_light_levels_are_read_back_beside_the_aspect(tmp_path):
    write_film(tmp_path / "a.mkv")
    numbers = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.005, 1000)
    mastering = tuple(Fraction(str(number)) for number in numbers)
    rate = Fraction(25)
    given = FilmFacts(64, 48, 1 / rate, rate, pixel_aspect=Fraction(16, 15), mastering=mastering, light=(1000, 400))
    write_video_facts(tmp_path / "a.mkv", 64, given, "A walk")
    facts = FilmReader(tmp_path / "a.mkv").facts
    assert (facts.mastering, facts.light, facts.pixel_aspect) == (mastering, (1000, 400), Fraction(16, 15))
