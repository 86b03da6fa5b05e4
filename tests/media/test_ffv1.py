"""FFV1's checksums."""

import av
import pytest
from film_fixture import make_clip

from colorgan.media.ffv1 import SliceChecker
from colorgan.media.film_reader import FilmReader


def film_and_packets(tmp_path, **options):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", options=options, frames=20)
    with av.open(str(source)) as container:
        return source, [(packet.pos, bytes(packet)) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("slices", ["4", "12"])
def test_a_changed_bit_is_found_wherever_it_is(tmp_path, slices):
    checker = SliceChecker()
    _, packets = film_and_packets(tmp_path, level="3", slicecrc="1", slices=slices)
    assert not any(checker.is_damaged(data) for _, data in packets)
    for place in (0, len(packets[3][1]) // 2, -1):
        data = bytearray(packets[3][1])
        data[place] ^= 4
        assert checker.is_damaged(bytes(data))


@pytest.mark.parametrize("options", [{"level": "1"}, {"level": "3", "slicecrc": "0"}])
def test_a_film_without_checksums_is_not_damaged(tmp_path, options):
    source, _ = film_and_packets(tmp_path, **options)
    reader = FilmReader(source)
    assert len(list(reader.frames())) == 20
    assert reader.damage is None


def test_damage_that_the_decoder_hides_is_told_with_its_place(tmp_path):
    source, packets = film_and_packets(tmp_path, level="3", slicecrc="1")
    data = bytearray(source.read_bytes())
    data[data.find(packets[12][1]) + len(packets[12][1]) // 2] ^= 1
    source.write_bytes(data)
    reader = FilmReader(source)
    assert len(list(reader.frames())) == 20
    assert reader.damage == "it is broken near 0.50 s, though no frame is known to be missing"
