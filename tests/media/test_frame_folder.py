"""Folders of numbered frames: order, gaps, sizes."""

from fractions import Fraction

import numpy as np
import pytest
import tifffile
from PIL import Image

from colorgan.media.frame_folder import FolderReader, FrameFolderWriter


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 8, 9):
        Image.new("L", (6, 4), number).save(tmp_path / f"{number}.png")
    reader = FolderReader(tmp_path, Fraction(25))
    frames = list(reader.frames())
    assert [reader.facts.gray(frame.luma)[0, 0] for frame in frames] == [8, 9, 10]
    assert [frame.time * reader.facts.time_base for frame in frames] == [0, Fraction(1, 25), Fraction(2, 25)]


def test_frames_of_two_sizes_are_refused(tmp_path):
    for number in (1, 2):
        Image.new("L", (6, 4 + number)).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match=r"2\.png has 6x6, but 1\.png has 6x5: a film has one size"):
        list(FolderReader(tmp_path, Fraction(25)).frames())


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no frames in"):
        FolderReader(tmp_path, Fraction(25))


def write_frames(folder, numbers, name="shot_{:04d}.png"):
    for number in numbers:
        Image.new("L", (6, 4)).save(folder / name.format(number))
    return FolderReader(folder, Fraction(25))


@pytest.mark.parametrize(
    ("numbers", "times", "durations", "gaps"),
    [
        ([1, 2, 3], [0, 1, 2], [1, 1, 1], None),
        ([10, 20, 30], [0, 1, 2], [1, 1, 1], None),
        ([7, 8, 11, 12], [0, 1, 4, 5], [1, 3, 1, 1], "2 frames are left out (9-10)"),
        ([0, 5, 15, 20, 25], [0, 1, 3, 4, 5], [1, 2, 1, 1, 1], "1 frames are left out (10)"),
        ([1, 2, 5000], [0, 1, 2], [1, 1, 1], "more numbers are left out than there are (3-4999)"),
    ],
)
def test_numbers_that_are_left_out_stay_as_time_and_are_named(tmp_path, numbers, times, durations, gaps):
    reader = write_frames(tmp_path, numbers)
    assert [frame.time for frame in reader.frames()] == times
    assert [frame.duration for frame in reader.frames()] == durations
    assert reader.gaps is gaps if gaps is None else reader.gaps.startswith(gaps)


def test_names_that_are_no_count_follow_one_another(tmp_path):
    Image.new("L", (6, 4)).save(tmp_path / "begin1.png")
    reader = write_frames(tmp_path, [5, 9])
    assert [frame.time for frame in reader.frames()] == [0, 1, 2]
    assert reader.gaps is None


@pytest.mark.parametrize("mode", ["gray", "rgb"])
def test_frames_of_16_bits_are_read_in_all_of_them(tmp_path, mode):
    levels = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    pixels = levels if mode == "gray" else np.repeat(levels[..., None], 3, axis=2)
    tifffile.imwrite(tmp_path / "1.tif", pixels, photometric="minisblack" if mode == "gray" else "rgb")
    reader = FolderReader(tmp_path, Fraction(25))
    luma = next(reader.frames()).luma
    assert (reader.facts.depth, luma.dtype) == (16, np.uint16)
    assert np.array_equal(luma, np.rint(4096 + levels * (219 * 256 / 65535)))


def test_a_frame_that_cannot_be_read_is_left_out_and_named(tmp_path):
    for number in range(1, 5):
        Image.new("L", (6, 4), number).save(tmp_path / f"{number}.png")
    for number in (1, 3):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG\r\n")
    reader = FolderReader(tmp_path, Fraction(25))
    assert [frame.time for frame in reader.frames()] == [1, 3]
    assert reader.damage == "2 of 4 frames cannot be read (1.png, 3.png)"


def test_bits_that_frames_cannot_hold_are_named_and_frames_of_a_longer_film_go(tmp_path):
    Image.fromarray(np.full((4, 6), 300, np.uint16)).save(tmp_path / "1.png")
    out = tmp_path / "out"
    writer = FrameFolderWriter(FolderReader(tmp_path, Fraction(25)), out)
    assert writer.left_out == ["8 of 16 bits (.mkv keeps all)"]
    out.mkdir()
    for name in ("00001.png", "00002.png", "00010.png", "title.png", "7.png"):
        (out / name).touch()
    writer.cut(2)
    assert sorted(path.name for path in out.iterdir()) == ["00001.png", "00002.png", "7.png", "title.png"]
