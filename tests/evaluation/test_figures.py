"""Which photos are shown, and what curves are drawn."""

import numpy as np
import pytest
from PIL import Image

from colorgan.evaluation.figures import (
    color_histograms,
    contact_sheet,
    has_curves,
    metric_curves,
    photo_values,
    photos_that_differ,
    save_figures,
    shown_evenly,
)

STEPS = {f"step={step}": {"psnr": 20.0 + step, "colorfulness": 5.0} for step in (30, 10, 20)}
TRUTH = {"truth": {"psnr": 100.0, "colorfulness": 30.0}}


def test_photos_that_differ_are_those_with_the_largest_spread_over_checkpoints(make_table):
    each = {"step=10": {"psnr": [20, 20, 20, 20.0]}, "step=20": {"psnr": [20, 25, 19, 22.0]}}
    assert photos_that_differ(make_table(STEPS | TRUTH, each={"step=30": each["step=10"], **each}), 3) == [1, 3, 2]


def test_of_one_checkpoint_those_furthest_from_its_mean_are_shown(make_table):
    table = make_table({"step=1": {"psnr": 1.0}}, each={"step=1": {"psnr": [20, 20, 12, 24.0]}})
    assert photos_that_differ(table, 2) == [2, 3]


def test_without_values_of_each_photo_the_first_are_shown(make_table):
    assert photos_that_differ(make_table(STEPS), 3) == [0, 1, 2]


def test_values_of_single_photos_have_a_column_a_checkpoint(make_table, photo_set):
    table = make_table({"gray": {"psnr": 1.0}, "step=1": {"psnr": 1.0}}, each={"step=1": {"psnr": [1, 2, 3, 4, 5.0]}})
    photos = photo_set()
    frame = photo_values(table, photos, [0, 3])
    assert list(frame.index) == [photos.names[0], photos.names[3]]
    assert list(frame[("psnr", "step=1")]) == [1, 4]


def test_of_many_records_the_first_the_last_and_some_between_are_shown():
    assert shown_evenly(list(range(20)), most=3) == [0, 10, 19]
    assert shown_evenly(list(range(3)), most=3) == [0, 1, 2]


def lines_of(axis):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()}


def test_curves_go_in_the_order_of_steps_over_those_that_were_measured(make_table):
    rows = {**STEPS, "step=40": {"psnr": None, "colorfulness": 6.0}, **TRUTH}
    figure = metric_curves(make_table(rows))
    psnr, colorfulness = figure.axes
    assert list(lines_of(psnr).values()) == [([10, 20, 30], [30, 40, 50])]
    curve, truth = lines_of(colorfulness).values()
    assert curve == ([10, 20, 30, 40], [5, 5, 5, 6])
    assert truth[1] == [30, 30]  # the aim, where no direction is better
    assert len(psnr.collections) == len(colorfulness.collections) == 1  # bands of the intervals


def test_each_run_has_its_curve_named_by_what_tells_it_apart(make_table):
    table = make_table(STEPS | TRUTH)
    table.records[0]["checkpoint"]["path"] = "runs/y/step=30"
    assert list(lines_of(metric_curves(table).axes[0])) == ["/y", "/x"]


def test_no_band_is_drawn_without_intervals(make_table):
    table = make_table(STEPS)
    for record in table.records:
        record["intervals"]["psnr"] = None
    assert [len(axis.collections) for axis in metric_curves(table).axes] == [0, 1]


def test_curves_need_three_steps(make_table):
    assert has_curves(make_table(STEPS))
    assert not has_curves(make_table({"step=1": {"psnr": 1.0}, "step=2": {"psnr": 1.0}}))


def test_histograms_show_shares(make_table):
    hue, _ = color_histograms(make_table(STEPS | TRUTH)).axes
    assert {label: sum(values) for label, (_, values) in lines_of(hue).items()} == pytest.approx(
        dict.fromkeys([*STEPS, "truth"], 1.0)
    )


@pytest.fixture
def measured(make_table, run, monkeypatch):
    """A table of three checkpoints, all of them the finished run."""
    each = {name: {"psnr": [20.0, 21, 22, 23, 24 + number]} for number, name in enumerate(STEPS)}
    table = make_table(STEPS | TRUTH, each=each)
    for record in table.checkpoints():
        record["checkpoint"]["path"] = str(run / "final.safetensors")
    return table


def test_a_contact_sheet_holds_gray_checkpoints_and_truth(measured, photo_set):
    with_truth, without = (contact_sheet(measured, photo_set(), [1], with_truth=truth) for truth in (True, False))
    assert with_truth.width == 5 * 128 + 4 * 4
    assert without.width == 4 * 128 + 3 * 4
    gray, truth = (np.asarray(with_truth)[20:, x : x + 128].astype(int) for x in (0, 4 * 132))
    assert np.ptp(gray, axis=2).max() == 0
    assert np.ptp(truth, axis=2).max() > 20


def test_all_figures_are_written_under_their_captions(measured, photo_set, tmp_path):
    written = save_figures(measured, photo_set(), tmp_path / "figures", "2-")
    assert {caption: path.name for caption, path in written.items()} == {
        "The photos on which the checkpoints differ most": "2-differences.png",
        "Hue and chroma against the truth": "2-colors.png",
        "Metrics over steps": "2-curves.png",
    }
    for path in written.values():
        with Image.open(path) as picture:
            assert np.asarray(picture).std() > 10
