"""Tables on the screen, as CSV and as Markdown, from records at hand."""

import pandas as pd
import pytest

from colorgan.evaluation.protocol import ClipProtocol, Protocol
from colorgan.evaluation.report import markdown, print_table, write_csv
from colorgan.metrics import LPIPS, PSNR, FrechetDistance
from colorgan.metrics.base import MissingMetric

ROWS = {
    "gray": {"psnr": 20.0, "colorfulness": 0.0},
    "step=10": {"psnr": 21.0, "colorfulness": 5.0},
    "step=20": {"psnr": 23.0, "colorfulness": 9.0},
    "step=30": {"psnr": None, "colorfulness": 7.0},
    "truth": {"psnr": 100.0, "colorfulness": 30.0},
}


@pytest.fixture
def table(make_table):
    return make_table(ROWS)


def test_the_best_checkpoint_is_by_the_objective_and_not_a_baseline(table, make_table):
    assert table.best()["name"] == "step=20"
    assert make_table(ROWS, objective=None).best() is None


def test_checkpoints_are_compared_with_the_best_by_what_both_have(table):
    tests = table.paired_tests()
    assert tests.loc[("step=10", "psnr"), "difference"] == -2
    assert tests.loc[("step=10", "psnr"), "confidence"] == 0
    assert ("step=30", "psnr") not in tests.index
    assert tests.loc[("step=30", "colorfulness"), "difference"] == -2
    assert pd.isna(tests.loc[("step=30", "colorfulness"), "confidence"])  # no direction is better
    assert list(table.paired_tests(["psnr"]).index) == [("step=10", "psnr")]


def test_a_csv_has_a_row_a_record_whole_numbers_and_empty_cells(table, make_table, tmp_path):
    other = make_table({"gray": {"ssim": 0.5}}, metrics={"ssim": PSNR()})
    write_csv(tmp_path / "metrics.csv", [table, other])
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0].startswith("data,protocol,num_photos,num_clips,num_groups,image_size,row,checkpoint,stage,step,")
    assert lines[0].split(",")[10:12] == ["trained_on", "psnr"]
    assert lines[1] == "photos,default,12,,12,64,gray,,,,,20.0,19.0,21.0,0.0,-1.0,1.0,,,"
    assert lines[4] == "photos,default,12,,12,64,step=30,runs/x/step=30,03-gan,30,,,,,7.0,6.0,8.0,,,"
    assert lines[6].endswith(",,,,,,0.5,-0.5,1.5")


def test_markdown_has_the_rows_their_intervals_and_the_protocol(table):
    text = markdown(table, {"All of them": "figures/x.png"})
    lines = text.splitlines()
    assert "|  | psnr ↑ | colorfulness |" in lines
    assert "| step=20 | 23.00 [22.00, 24.00] | 9.00 [8.00, 10.00] |" in lines
    assert "| step=30 | - | 7.00 [6.00, 8.00] |" in lines
    assert "![All of them](figures/x.png)" in lines
    assert any(line.startswith("Protocol: name default, num_photos 12") for line in lines)
    assert text.count("### Paired tests") == 1
    assert "| step=10 | -2.00 [-2.00, -2.00] 0% | -4.00 [-4.00, -4.00] |" in lines


def test_published_rows_stand_beside_ours_with_what_cannot_be_measured(make_table, capsys):
    protocol = Protocol(published=[{"name": "Theirs", "psnr": 24.1, "lpips": 0.2}], source="A paper", caveat="Beware.")
    missing = {"lpips": MissingMetric(LPIPS, "needs a file"), "fid": MissingMetric(FrechetDistance, "needs another")}
    table = make_table(ROWS, protocol=protocol, missing=missing)
    assert list(table.columns()) == ["psnr", "colorfulness", "lpips"]
    print_table(table)
    printed = capsys.readouterr().out
    assert "Theirs (published)" in printed
    assert "24.10" in printed
    assert "published rows: A paper. Beware." in printed
    assert "fid: needs another" in printed
    assert "| Theirs (published) | 24.10 |  | 0.2000 |" in markdown(table, {})
    for record in table.records:
        record["protocol"]["with_truth"] = False
    assert list(table.columns()) == ["psnr", "colorfulness"]


def test_notes_warn_of_few_photos_of_those_left_out_and_of_teachers(make_table, tiny_frechet):
    rows = {"step=1": {"fd_tiny": 3.0}}
    table = make_table(rows, metrics={"fd_tiny": tiny_frechet}, objective=None, left_out={"too small": 3})
    assert table.notes() == [
        "fd_tiny: descriptive only below 2,048 photos; here are 12",
        "photos left out: 3 too small",
    ]
    table.records[0]["judged_by_its_teacher"] = ["fd_tiny"]
    assert table.notes()[-1].startswith("*: the judge, or its kin, is what the generator was trained through")
    assert table.frame().loc["step=1", "fd_tiny ↓"] == "3.00* ±1.00"


@pytest.fixture
def tiny_frechet(monkeypatch):
    from tiny_judge import TinyJudge

    monkeypatch.setattr("colorgan.metrics.distribution.load_judge", lambda name, weights: TinyJudge())
    return FrechetDistance()


def test_a_table_of_clips_counts_clips(make_table):
    table = make_table({"gray": {"psnr": 1.0, "colorfulness": 0.0}}, protocol=ClipProtocol(), unit="clips")
    table.records[0]["protocol"]["num_clips"] = 3
    assert table.count() == 3
    assert "interval over 12 groups of clips" in markdown(table, {})
