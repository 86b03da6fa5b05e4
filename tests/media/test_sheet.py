"""Where pictures and labels are on a sheet."""

import numpy as np
import pytest
import torch
from PIL import Image

from colorgan.media.sheet import fitted, picture_sheet, to_image

COLORS = ["red", "lime", "blue", "yellow", "magenta", "cyan"]


def squares(count, size=(10, 8)):
    return [Image.new("RGB", size, color) for color in COLORS[:count]]


def test_pictures_lie_side_by_side_without_a_gap():
    sheet = picture_sheet([squares(3)], gap=0)
    assert sheet.size == (30, 8)
    assert [sheet.getpixel((x, 4)) for x in (0, 9, 10, 19, 20, 29)] == [
        (255, 0, 0), (255, 0, 0), (0, 255, 0), (0, 255, 0), (0, 0, 255), (0, 0, 255),
    ]  # fmt: skip


def test_gaps_are_white_and_only_between_pictures():
    sheet = picture_sheet([squares(2), squares(2)], gap=3)
    assert sheet.size == (23, 19)
    pixels = np.asarray(sheet)
    assert (pixels[:, 10:13] == 255).all()
    assert (pixels[8:11] == 255).all()
    assert tuple(pixels[18, 22]) == (0, 255, 0)


def test_cells_have_the_size_of_the_largest_picture():
    rows = [[Image.new("RGB", (4, 9), "red"), Image.new("RGB", (7, 2), "blue")]]
    sheet = picture_sheet(rows, gap=1)
    assert sheet.size == (15, 9)
    assert sheet.getpixel((8, 0)) == (0, 0, 255)
    assert sheet.getpixel((8, 5)) == (255, 255, 255)


@pytest.mark.parametrize(("num_rows", "lines"), [(4, 2), (5, 3)])
def test_rows_go_down_and_on_in_the_next_block(num_rows, lines):
    sheet = picture_sheet([[picture] for picture in squares(num_rows)], gap=2, num_blocks=2)
    assert sheet.size == (22, lines * 10 - 2)
    assert sheet.getpixel((0, 0)) == (255, 0, 0)
    assert sheet.getpixel((0, 10)) == (0, 255, 0)
    fourth_row = (12, 0) if lines == 3 else (12, 10)
    assert sheet.getpixel(fourth_row) == (255, 255, 0)


def test_labels_stand_above_columns_of_each_block_and_left_of_rows():
    rows = [[Image.new("RGB", (60, 30), "red")] * 2 for _ in range(4)]
    plain = picture_sheet(rows)
    labelled = picture_sheet(rows, columns=["one", "two"], labels=list("abcd"), num_blocks=2)
    assert plain.size == (124, 132)
    assert labelled.size == (2 * (150 + 124) + 12, 20 + 64)
    dark = np.asarray(labelled.convert("RGB")).max(axis=2) < 100
    for block in (0, 286):
        assert dark[:20, block + 150 : block + 210].any()
        assert dark[:20, block + 214 : block + 274].any()
        assert dark[20:50, block : block + 150].any()
    assert not dark[:20, :150].any()


def test_a_title_stands_above_all():
    rows = [[Image.new("RGB", (200, 30), "red")]]
    plain, titled = (picture_sheet(rows, columns=["one"], title=title) for title in ("", "parts"))
    assert titled.size == (200, plain.height + 20)
    assert np.array_equal(np.asarray(titled)[20:], np.asarray(plain))
    assert (np.asarray(titled)[:20].max(axis=2) < 100).any()


def test_a_long_label_keeps_its_end_and_its_column():
    def label_of(text):
        return np.asarray(picture_sheet([[Image.new("RGB", (60, 10), "white")]], columns=[text]))

    assert label_of("a very long name step=000100").shape[1] == 60
    assert np.array_equal(label_of("a very long name step=000100"), label_of("another long name step=000100"))


def test_a_fitted_picture_keeps_its_aspect():
    assert fitted(Image.new("RGB", (40, 20)), 128).size == (128, 64)
    assert fitted(Image.new("RGB", (300, 600)), 256).size == (128, 256)


def test_levels_are_rounded_to_8_bits():
    image = to_image(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1).expand(3, 2, 4))
    assert image.size == (4, 2)
    assert image.getpixel((3, 1)) == (0, 128, 255)
