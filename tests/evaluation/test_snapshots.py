"""What rules make of snapshots is drawn and tabulated; a stranger's run folder runs nothing."""

import pytest

from colorgan.config import datamodule_of_run
from colorgan.evaluation.snapshots import rule_choices, rule_curves, trained_photos

SERIES = [
    {"step": 20 * index, "fresh_accuracy": value, "num_photos": 100.0, "artefact_area": 0.0}
    for index, value in enumerate([0.9, 0.7, 0.95], start=1)
]


def test_rules_without_anything_to_go_by_are_left_out():
    table = rule_choices(SERIES)
    assert dict(table["step"]) == {"fresh_critic": 40, "artefact_area": 60}
    assert dict(table["has seen enough"]) == {"fresh_critic": True, "artefact_area": False}


def test_each_rule_has_its_axes():
    axes = rule_curves(SERIES).axes
    assert [axis.get_title() for axis in axes][1::2] == ["fresh_critic", "artefact_area", "chroma_law"]
    assert [len(axis.lines) for axis in axes] == [0, 2, 0, 2, 0, 0]


def test_a_config_with_foreign_classes_is_not_built(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0\ndata: {_target_: os.system, source: {_target_: os.getcwd}}\n")
    with pytest.raises(ValueError, match=r"builds os\.getcwd; only colorgan\.data\.\* is allowed"):
        datamodule_of_run(tmp_path)
    assert trained_photos(tmp_path / "03-gan" / "snapshots" / "step=000002.safetensors", 32) is None
    assert trained_photos(tmp_path / "final.safetensors", 32) is None
