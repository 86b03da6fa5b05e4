"""Results expire, are bounded, and cannot be reached by anything but their names."""

import os
import time

import pytest

from colorgan.serve.refusals import BusyError, UnknownResultError
from colorgan.serve.results import Results


def keep(results, size=10, age=0.0):
    name = results.begin()
    (results.path(name) / "output.jpg").write_bytes(b"x" * size)
    results.finish(name)
    os.utime(results.path(name), (time.time() - age,) * 2)
    return name


def test_results_expire(tmp_path):
    results = Results(tmp_path, keep_seconds=100, max_bytes=1e6)
    name = keep(results)
    assert results.path(name).is_dir()
    os.utime(tmp_path / name, (time.time() - 101,) * 2)
    with pytest.raises(UnknownResultError, match="expired"):
        results.path(name)
    results.clean()
    assert not list(tmp_path.iterdir())


def test_the_oldest_go_first_where_room_is_short(tmp_path):
    results = Results(tmp_path, keep_seconds=1000, max_bytes=350)
    names = [keep(results, size=100, age=age) for age in (30, 20, 10)]
    keep(results, size=100)
    results.clean()
    assert not (tmp_path / names[0]).exists()
    assert (tmp_path / names[1]).exists()


def test_what_is_in_the_making_is_not_thrown_away(tmp_path):
    results = Results(tmp_path, keep_seconds=0, max_bytes=50)
    name = results.begin()
    (results.path(name) / "source").write_bytes(b"x" * 100)
    results.clean()
    assert results.unfinished() == [name]
    with pytest.raises(BusyError):
        results.begin()
    results.drop(name)
    assert results.unfinished() == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a" * 36, "/etc", "%2e%2e", "\0", "x" * 5000])
def test_other_names_lead_nowhere(tmp_path, name):
    (tmp_path / "x").mkdir()
    results = Results(tmp_path / "results", keep_seconds=10, max_bytes=10)
    with pytest.raises(UnknownResultError):
        results.path(name)
