"""What rules make of snapshots is drawn and tabulated; a stranger's run folder runs nothing."""

import pytest
import yaml

from colorgan.config import compose, datamodule_of_run, plain
from colorgan.evaluation.snapshots import _judges_pairs, rule_choices, rule_curves, trained_photos

SERIES = [
    {"step": 20 * index, "fresh_accuracy": value, "num_groups": 100.0, "artefact_area": 0.0}
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


def test_the_critic_is_shown_photos_that_its_stage_drew_from(tmp_path, draw_photos):
    photos = draw_photos(tmp_path / "photos", 12)
    words = ["data=folder", f"data.path={photos}", "data.validation_share=0.3", f"data.cache_dir={tmp_path}/cache"]
    config = compose("train", "experiment=smoke", *words, "+schedule.stages.gan.share=0.5")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain(config)))
    rgb, groups = trained_photos(tmp_path / "03-gan" / "snapshots" / "step=000002.safetensors", 32)
    train = datamodule_of_run(tmp_path).examine(min_size=32).splits["train"]
    assert len(rgb) == len(groups) == len(train) // 2


@pytest.mark.parametrize(("loss", "pairs"), [("bce", False), ("hinge", False), ("relativistic", True)])
def test_a_critic_of_differences_is_told_by_the_config_of_its_run(tmp_path, loss, pairs):
    config = compose("train", "experiment=smoke", f"loss/adversarial={loss}")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain(config)))
    snapshot = tmp_path / "03-gan" / "snapshots" / "step=000002.safetensors"
    assert _judges_pairs(snapshot) is pairs
    assert not _judges_pairs(tmp_path / "no run" / "03-gan" / "snapshots" / "step=000002.safetensors")
