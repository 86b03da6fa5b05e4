"""Packets with damaged time stamps."""

from fractions import Fraction

import av
import pytest

from colorgan.media.packets import Read, _Steady


def times_of(times):
    """The times of packets of 1 s that come out for those that go in."""
    steady, came = _Steady(), []
    for time in times:
        packet = av.Packet(b"0")
        packet.pts = packet.dts = time
        packet.duration, packet.time_base = 1, Fraction(1)
        came += steady.push(Read(packet, broken=False))
    came += steady.rest()
    return [read.packet.pts for read in came], [number for number, read in enumerate(came) if read.broken]


@pytest.mark.parametrize(
    ("times", "mended", "broken"),
    [
        ([*range(5), 900, *range(6, 100)], [*range(100)], [5]),  # one far ahead
        ([*range(5), 0, *range(6, 100)], [*range(100)], [5]),  # one far behind
        ([*range(5), 905, 906, 907, *range(8, 100)], [*range(100)], [5, 6, 7]),  # a cluster
        ([*range(40), *range(60, 100)], [*range(40), *range(60, 100)], []),  # a hole
        ([*range(60), *range(60)], [*range(120)], []),  # a second part that begins anew
        ([0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 1, 2, 2, 3, 3], []),  # durations twice as long as the distances
    ],
)
def test_times_that_the_others_contradict_are_mended(times, mended, broken):
    assert times_of(times) == (mended, broken)
