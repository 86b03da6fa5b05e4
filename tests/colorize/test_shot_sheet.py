"""The sheet of a film's shots."""

from PIL import Image

from colorgan.colorize.shot_list import Shot
from colorgan.colorize.shot_sheet import save_sheet


def test_a_sheet_of_many_shots_is_no_higher_than_jpeg_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("colorgan.colorize.shot_sheet._HIGHEST", 500)
    shots = [Shot(str(number), number, number) for number in range(1, 31)]
    save_sheet(tmp_path / "sheet.jpg", shots, {shot.middle: Image.new("RGB", (20, 96)) for shot in shots})
    assert Image.open(tmp_path / "sheet.jpg").height <= 500
