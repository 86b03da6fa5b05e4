"""The list of shots: written, edited as spreadsheets do, read back; what is wrong is told by row and column."""

import re

import pytest

from colorgan.colorize.looks import HueRange, Look
from colorgan.colorize.shot_list import read_shots, write_shots
from colorgan.media.cuts import FoundShot

HEADER = "shot,start,end,seconds,begins,kind,do,reference,preset,strength,saturation,dark,hues\n"


@pytest.fixture
def listed(tmp_path):
    def read(text, encoding="utf-8"):
        (tmp_path / "shots.csv").write_bytes(text.encode(encoding))
        return read_shots(tmp_path / "shots.csv")

    return read


def test_what_was_found_is_read_back(tmp_path):
    found = [FoundShot(1, 40, 0.0, 0, "title"), FoundShot(41, 90, 1.6, 0, "film"), FoundShot(91, 99, 3.6, 12, "color")]
    write_shots(tmp_path / "shots.csv", found, preset="night")
    shots = read_shots(tmp_path / "shots.csv")
    assert [(s.name, s.start, s.end, s.do) for s in shots.shots] == [
        ("1", 1, 40, "skip"), ("2", 41, 90, "color"), ("3", 91, 99, "keep"),
    ]  # fmt: skip
    assert [s.references for s in shots.shots] == [(), (65,), ()]
    assert shots.shots[2].dissolve == 12
    assert shots.at(90).look == Look(saturation=0.6, dark=0.35)
    assert [shots.at(frame).name for frame in (1, 40, 41, 99, 500)] == ["1", "1", "2", "3", "3"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_spreadsheets_write_other_separators_and_decimals(listed, encoding):
    text = "Start;End;do;Saturation;hues;dark;;\r\n1;20;COLOR;0,5;290:330 x 0,4;;;\r\n;;;;;;;\r\n21;30,0;skip;;;;;\r\n"
    first, second = listed(text, encoding).shots
    assert first.look == Look(saturation=0.5, hues=(HueRange(290, 330, 0.4),))
    assert (second.start, second.end, second.do, second.row) == (21, 30, "skip", 4)


def test_a_cell_counts_more_than_its_preset(listed):
    (shot,) = listed(HEADER + "1,1,9,,cut,,color,3 7 autumn.jpg,night,,0.9,,190:250 to 30; 0:20 x 2\n").shots
    assert shot.look == Look(saturation=0.9, dark=0.35, hues=(HueRange(190, 250, 1.0, 30), HueRange(0, 20, 2)))
    assert (shot.references, shot.palette) == ((3, 7), "autumn.jpg")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2,9,,,,color", "row 2, column start: got 2; allowed: 1, the film's first frame"),
        ("1,1,9,,,,color\n2,11,20,,,,color", "row 3, column start: got 11; allowed: 10, one behind the end of the"),
        ("1,1,0,,,,color", "row 2, column end: got '0'; allowed: the number of a frame"),
        ("1,1,nan,,,,color", "row 2, column end: got 'nan'"),
        ("1,1,9,,,,colour", "row 2, column do: got 'colour'; allowed: color, keep, skip"),
        ("1,1,9,,,,", "row 2, column do: got ''; allowed"),
        ("1,1,9,,,,color,12", "row 2, column reference: got 12; allowed: its frames 1 to 9"),
        ("1,1,9,,,,color,a.jpg b.jpg", "row 2, column reference: got 'a.jpg b.jpg'; allowed: frames, and one photo"),
        ("1,1,9,,,,color,,sepia", "row 2, column preset: got 'sepia'; allowed: natural, muted, vivid, night"),
        ("1,1,9,,,,color,,,2", "row 2, column strength: got '2'; allowed: a number from 0 to 1"),
        ("1,1,9,,,,color,,,,much", "row 2, column saturation: got 'much'; allowed: a number from 0 to 3"),
        ("1,1,9,,,,color,,,,,,blue", "row 2, column hues: got 'blue'; allowed: ranges in degrees"),
        ("1,1,9,,,,color,,,,,,10:500 x 1", "row 2, column hues: got '10:500 x 1'; a hue is from 0 to 360"),
        ("1,1,9,,wipe,,color", "row 2, column begins: got 'wipe'; allowed: cut, or dissolve"),
        ("1,1,9,,,,color\n1,10,12,,,,color", "column shot: 1 is there more than once"),
        ("1,1,9,,,,color,,,0,2,,,", "row 2: got 14 cells; allowed: 13, as in row 1; put a cell that holds the"),
        ("1,1,9,,,,color,,,,,,0:9 x 0,5", "row 2: got 14 cells; allowed: 13"),
        ("", "lists no shots"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_row_and_column(listed, rows, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        listed(HEADER + rows)
    assert "\n" not in str(error.value)


def test_other_headers_and_files_are_refused(listed, tmp_path):
    with pytest.raises(ValueError, match="row 1, column 2: 'ending' is unknown; allowed: shot, start, end"):
        listed("start,ending,do\n")
    with pytest.raises(ValueError, match="row 1: column do is missing"):
        listed("start,end\n")
    with pytest.raises(ValueError, match="row 1, column 4: start is there more than once"):
        listed("start,end,do,start\n1,9,color,2\n")
    with pytest.raises(ValueError, match="is no CSV: field larger than field limit"):
        listed(HEADER + '1,1,9,"' + 200_000 * "x")
    with pytest.raises(ValueError, match="save it as CSV in UTF-8"):
        listed("start,end,do,shot\n1,9,color,Küche\n", "cp1252")
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04\xff\xfe\x80")
    with pytest.raises(ValueError, match="save it as CSV"):
        read_shots(tmp_path / "book.csv")
    with pytest.raises(FileNotFoundError, match="colorgan shots FILM"):
        read_shots(tmp_path / "none.csv")
