"""Photos are examined once; a stopped scan and a damaged cache go unnoticed in the result."""

import os

import numpy as np
import pytest
from counting import CountingFolder
from PIL import Image

from colorgan.data import FolderSource, SyntheticSource
from colorgan.data.examine import shrink


def test_second_call_reads_the_cache(folder, examine):
    first = examine(CountingFolder(str(folder)), store_size=16)
    assert CountingFolder.opened == 12
    second = examine(CountingFolder(str(folder)), store_size=16, seed=1, min_colorfulness=0, min_size=8)
    assert CountingFolder.opened == 12
    assert np.array_equal(first.pixels(0), second.pixels(0))


def test_another_store_size_is_examined_again(folder, examine):
    examine(CountingFolder(str(folder)), store_size=16)
    library = examine(CountingFolder(str(folder)), store_size=20)
    assert CountingFolder.opened == 24
    assert min(library.pixels(0).shape[:2]) == 20


@pytest.mark.parametrize("change", ["content", "time"])
def test_changed_file_is_examined_again(folder, examine, crops, change):
    first = examine(CountingFolder(str(folder)))
    file = folder / "00.png"
    if change == "content":
        Image.fromarray(crops[1][::-1]).save(file)
    else:
        os.utime(file, ns=(0, 0))
    second = examine(CountingFolder(str(folder)))
    assert CountingFolder.opened > 12
    assert (first.table[0]["sha256"] == second.table[0]["sha256"]) == (change == "time")


def test_sources_of_equal_listing_do_not_share_a_cache(examine):
    first, second = (examine(SyntheticSource(num_images=4, size=16, seed=seed)) for seed in range(2))
    assert set(first.table["sha256"]).isdisjoint(second.table["sha256"])


@pytest.mark.parametrize("size", [(100, 40), (40, 100), (333, 97), (40, 40)])
def test_shrinking_gives_the_shorter_side_and_keeps_the_shape(size):
    small = shrink(Image.new("RGB", size), 30)
    assert min(small.size) == 30
    assert max(small.size) == pytest.approx(30 * max(size) / min(size), abs=0.5)


def test_shrinking_enlarges_nothing():
    image = Image.new("RGB", (20, 50))
    assert shrink(image, 20) is image
    assert shrink(image, 30) is image


def test_a_scan_goes_on_behind_its_last_whole_chunk(folder, examine, monkeypatch):
    whole = examine(FolderSource(str(folder)), cache_dir=folder / "a", store_size=16)
    monkeypatch.setattr("colorgan.data.examine._CHUNK", 5)

    class Stopped(CountingFolder):
        def open(self, row):
            if self.opened == 8:
                raise KeyboardInterrupt
            return super().open(row)

    with pytest.raises(KeyboardInterrupt):
        examine(Stopped(str(folder)), store_size=16)
    library = examine(CountingFolder(str(folder)), store_size=16)
    assert CountingFolder.opened == 12 - 5
    assert library.table.to_list() == whole.table.to_list()
    assert library.splits == whole.splits
    assert np.array_equal(library.original(11), whole.original(11))


def damage(file, how):
    content = bytearray(file.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "zeros":
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    elif isinstance(how, int):
        content[len(content) * how // 20 + 5] ^= 1 << how % 8
    else:
        content = b"" if how == "empty" else b"no table at all"
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "zeros", "empty", "text", *range(20)])
def test_a_damaged_cache_changes_nothing(folder, examine, tmp_path, how):
    source = FolderSource(str(folder))
    before = examine(source, store_size=16)
    rows, photos = before.table.to_list(), [before.pixels(index).copy() for index in range(len(before.table))]
    [file] = (tmp_path / "cache").glob("*.arrow")
    del before  # it lies in the mapped file
    damage(file, how)
    again = examine(source, store_size=16)
    facts = [{key: value for key, value in row.items() if key != "pixels"} for row in again.table.to_list()]
    assert facts == [{key: value for key, value in row.items() if key != "pixels"} for row in rows]
    assert all(np.array_equal(again.pixels(index), photo) for index, photo in enumerate(photos))


def test_damage_in_the_cache_is_told_in_one_line(folder, examine, tmp_path, caplog):
    source = CountingFolder(str(folder))
    library = examine(source, store_size=16)
    kept, [file] = library.pixels(3).tobytes(), (tmp_path / "cache").glob("*.arrow")
    content = file.read_bytes()
    at = content.index(kept)
    del library
    CountingFolder.opened = 0

    file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert examine(source, store_size=16).pixels(3).tobytes() == kept
    assert CountingFolder.opened == 1  # that photo alone
    assert f"the kept pixels of {source.listing()[3]['name']} are damaged; it is decoded anew" in caplog.text

    file.write_bytes(content[: at + 5])
    assert examine(source, store_size=16).pixels(3).tobytes() == kept
    assert f"{file} is damaged; its photos are examined again" in caplog.text
    assert file.read_bytes() == content
    caplog.clear()
    CountingFolder.opened = 0
    examine(source, store_size=16)
    assert not caplog.text
    assert CountingFolder.opened == 0
