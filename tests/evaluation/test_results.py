import json

import numpy as np
import pytest
import torch

from colorgan.evaluation.results import Results, measurement_key, paired_difference
from colorgan.metrics import PSNR
from colorgan.metrics.base import resampling_counts


def record(key="k", **metrics):
    return {
        "key": key,
        "name": "gan",
        "protocol": {"num_photos": 2},
        "metrics": metrics,
        "intervals": {name: [value - 1, value + 1] for name, value in metrics.items()},
        "metric_protocols": {name: {"class": name.upper()} for name in metrics},
        "seconds": dict.fromkeys(metrics, 0.5),
    }


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "evaluation")


def test_an_empty_folder_has_no_results_and_is_not_made(results):
    assert results.records() == {}
    assert results.arrays("k") == {}
    assert not results.folder.exists()


def test_what_was_added_is_read_back_by_another(results):
    arrays = {"each/psnr": np.arange(3.0), "histograms": np.ones(2)}
    results.add(record(psnr=20.5), arrays)
    again = Results(results.folder)
    assert again.records() == {"k": record(psnr=20.5)}
    assert {name: array.tolist() for name, array in again.arrays("k").items()} == {
        "each/psnr": [0, 1, 2],
        "histograms": [1, 1],
    }


def test_lines_of_one_key_add_up_and_the_later_value_counts(results):
    results.add(record(psnr=20.5, ssim=0.9), {"each/psnr": np.zeros(2), "each/ssim": np.zeros(2)})
    results.add(record("other", psnr=1), {})
    results.add(record(fid=7, ssim=0.8), {"each/ssim": np.ones(2)})
    merged = results.records()
    assert list(merged) == ["k", "other"]
    assert merged["k"] == record(psnr=20.5, ssim=0.8, fid=7)
    assert {name: array.tolist() for name, array in results.arrays("k").items()} == {
        "each/psnr": [0, 0],
        "each/ssim": [1, 1],
    }
    assert len(results.path.read_text().splitlines()) == 3


def test_a_line_that_was_cut_off_is_left_out_and_does_not_swallow_the_next(results):
    results.add(record(psnr=1), {})
    results.add(record("lost", psnr=2), {})
    whole = results.path.read_bytes()
    for length in range(whole.index(b"\n") + 2, len(whole) - 1):  # wherever the crash came
        results.path.write_bytes(whole[:length])
        assert list(results.records()) == ["k"]
    results.add(record("next", psnr=3), {})
    assert list(results.records()) == ["k", "next"]


def test_a_whole_last_line_without_its_newline_counts(results):
    results.add(record(psnr=1), {})
    results.path.write_bytes(results.path.read_bytes().rstrip(b"\n"))
    results.add(record("next", psnr=3), {})
    assert list(results.records()) == ["k", "next"]


def test_names_with_any_letters_stay_on_one_line(results):
    odd = {**record(psnr=1), "name": "a\u2028b\nc\x85ü"}
    results.add(odd, {})
    assert results.records()["k"]["name"] == odd["name"]


def test_arrays_are_there_before_the_line_that_speaks_of_them(results, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *arguments, **options: 1 / 0)  # a crash between the two
    with pytest.raises(ZeroDivisionError):
        results.add(record(psnr=1), {"each/psnr": np.zeros(2)})
    assert results.records() == {}
    assert list(results.arrays("k")) == ["each/psnr"]


def test_the_key_depends_on_what_was_measured_and_how_not_on_the_order_of_keys():
    protocol = {"image_size": 256, "geometry": "stretch"}
    key = measurement_key("abc", protocol)
    assert measurement_key("abc", dict(reversed(protocol.items()))) == key
    others = [("abd", protocol), ("abc", {**protocol, "image_size": 128}), ("abc", {"image_size": 256})]
    assert len({key, *(measurement_key(*other) for other in others)}) == 4


def test_the_key_is_the_same_on_every_machine():
    """Sixteen digits of sha256('["abc", {"a": null, "b": 1}]'): results written once are found later."""
    assert measurement_key("abc", {"b": 1, "a": None}) == "20453ca95f1fbfc3"


def psnr_replicates(errors):
    """Replicates of PSNR on flat pictures that are off by so many levels."""
    metric = PSNR()
    real = torch.full((len(errors), 3, 1, 1), 100 / 255)
    metric.update(real + torch.tensor(errors).view(-1, 1, 1, 1) / 255, real)
    return {"replicates/psnr": metric.replicates(resampling_counts(len(errors), 1000)).numpy()}


def test_equal_measurements_differ_by_nothing_and_either_is_better_half_of_the_time():
    arrays = psnr_replicates([1.0, 5, 2, 9, 3, 4])
    result = paired_difference(arrays, arrays, "psnr", higher_is_better=True)
    assert result == {"difference": 0, "low": 0, "high": 0, "confidence": 0.5}


def test_methods_that_are_better_on_half_of_the_photos_each_are_near_even():
    """0.5 within four standard errors of 1000 resampled sets."""
    first, second = [2.0, 4.0] * 20, [4.0, 2.0] * 20
    result = paired_difference(psnr_replicates(first), psnr_replicates(second), "psnr", higher_is_better=True)
    assert result["confidence"] == pytest.approx(0.5, abs=4 * 0.5 / 1000**0.5)
    assert result["low"] < 0 < result["high"]


def test_an_improvement_on_every_photo_is_certain_however_hard_photos_differ():
    """Half the error is 6.02 dB, on each photo; the intervals of the two alone overlap."""
    worse, better = [2.0, 40, 4, 80, 6, 20], [1.0, 20, 2, 40, 3, 10]
    arrays, other = psnr_replicates(worse), psnr_replicates(better)
    assert np.percentile(arrays["replicates/psnr"], 97.5) > np.percentile(other["replicates/psnr"], 2.5)
    result = paired_difference(arrays, other, "psnr", higher_is_better=True)
    assert result == pytest.approx({"difference": 6.0206, "low": 6.0206, "high": 6.0206, "confidence": 1}, abs=1e-3)
    assert paired_difference(arrays, other, "psnr", higher_is_better=False)["confidence"] == 0
    assert paired_difference(other, arrays, "psnr", higher_is_better=True)["difference"] == pytest.approx(
        -6.0206, abs=1e-3
    )


def test_copies_make_no_difference_certain():
    """Eight copies of each of ten photos: the interval of the paired difference is that of ten photos."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(20, 3, 10), rng.normal(21, 3, 10)

    def arrays(values, copies):
        metric = PSNR()
        metric.per_picture = [torch.from_numpy(values).repeat_interleave(copies)]
        groups = torch.arange(10).repeat_interleave(copies)
        return {"replicates/psnr": metric.replicates(resampling_counts(10, 1000), groups).numpy()}

    once, often = (
        paired_difference(arrays(first, n), arrays(second, n), "psnr", higher_is_better=True) for n in (1, 8)
    )
    assert often == pytest.approx(once, rel=1e-9)
    drawn = np.random.default_rng(1).integers(10, size=(20_000, 10))
    low, high = np.percentile((second - first)[drawn].mean(axis=1), [2.5, 97.5])
    assert (often["low"], often["high"]) == pytest.approx((low, high), abs=0.36)  # three standard errors


def test_a_likely_improvement_gets_the_share_of_resampled_sets_in_which_it_holds():
    differences = np.array([-1.0, 0, 1, 2, 3, 4, 5, 6])
    arrays, other = {"replicates/x": np.zeros(8)}, {"replicates/x": differences}
    result = paired_difference(arrays, other, "x", higher_is_better=True)
    assert result["confidence"] == pytest.approx(6.5 / 8)
    assert paired_difference(arrays, other, "x", higher_is_better=False)["confidence"] == pytest.approx(1.5 / 8)
    assert (result["low"], result["high"]) == tuple(np.percentile(differences, [2.5, 97.5]))


def test_where_no_direction_is_better_there_is_no_confidence():
    arrays = {"replicates/colorfulness": np.arange(4.0)}
    assert set(paired_difference(arrays, arrays, "colorfulness", higher_is_better=None)) == {
        "difference",
        "low",
        "high",
    }


def test_measurements_that_do_not_match_are_not_compared():
    arrays = {"replicates/x": np.zeros(4)}
    for other in ({}, {"replicates/y": np.zeros(4)}, {"replicates/x": np.zeros(3)}):
        assert paired_difference(arrays, other, "x", higher_is_better=True) is None
        assert paired_difference(other, arrays, "x", higher_is_better=True) is None


DAMAGE = [b"\xff\xfe", b"[1]", b"{}", b'"text"', b'{"key": "lost"}', b'{"key": "lost", "metrics": 3}', b"[" * 100_000]


@pytest.mark.parametrize("line", DAMAGE)
def test_a_damaged_line_is_left_out_and_said_once(results, caplog, line):
    results.add(record(psnr=1), {})
    results.path.write_bytes(line + b"\n" + results.path.read_bytes())
    assert list(results.records()) == list(results.records()) == ["k"]
    assert caplog.text.count("metrics.jsonl: 1 damaged lines are left out") == 1
