"""How many of the photos measured a checkpoint was trained on, by its run's manifest and by its header."""

import pytest

from colorgan.data.library import Split
from colorgan.evaluation.exposure import exposure
from colorgan.evaluation.photos import PhotoFacts

SPLIT = {"seed": 0, "threshold": "8" + 63 * "0", "min_size": 64, "min_colorfulness": 5.0, "kind": "folder"}
PHOTOS = [PhotoFacts(sha256=f"{n:064x}", group=f"{n:064x}", size=100, colorfulness=20.0) for n in range(40)]
TRAINED = [photo for photo in PHOTOS if not Split(0, SPLIT["threshold"]).holds_out(photo.group)]


@pytest.fixture
def checkpoint(tmp_path):
    """A snapshot in the folder of a run, which trained on the first 3 of the photos that its rule allows."""
    lines = [f"train,{photo.sha256}" for photo in TRAINED[:3]] + [f"val,{PHOTOS[0].sha256}"]
    (tmp_path / "run" / "03-gan" / "snapshots").mkdir(parents=True)
    (tmp_path / "run" / "manifest.csv").write_text("\n".join(["split,sha256", *lines]))
    return tmp_path / "run" / "03-gan" / "snapshots" / "step=10.safetensors"


def test_the_manifest_of_the_run_tells_for_certain(checkpoint):
    found = exposure(checkpoint, {"splits": [SPLIT]}, PHOTOS)
    assert (found.trained, found.possible) == (3, 3)
    assert found.note == "trained on 3 of these 40 photos"


def test_elsewhere_the_rule_tells_what_may_have_been_trained_on(tmp_path):
    found = exposure(tmp_path / "a.safetensors", {"splits": [SPLIT]}, PHOTOS)
    assert (found.trained, found.possible) == (0, len(TRAINED))
    assert "may have trained on up to" in found.note


def test_what_a_run_leaves_out_it_has_not_trained_on(tmp_path):
    small = [PhotoFacts(p.sha256, p.group, 63, 20.0) for p in PHOTOS]
    gray = [PhotoFacts(p.sha256, p.group, 100, 4.9) for p in PHOTOS]
    for photos in (small, gray):
        assert exposure(tmp_path / "a.safetensors", {"splits": [SPLIT]}, photos).note is None
    assert exposure(tmp_path / "a.safetensors", {"splits": [{**SPLIT, "kind": "clips"}]}, PHOTOS).note is None


def test_runs_before_have_manifests_of_their_own(checkpoint):
    for header in ({"splits": [SPLIT], "started_from": [{}]}, {"splits": [SPLIT, {**SPLIT, "min_size": 32}]}):
        found = exposure(checkpoint, header, PHOTOS)
        assert (found.trained, found.possible) == (3, len(TRAINED))
        assert found.note == f"may have trained on up to {len(TRAINED)} of these 40 photos (on 3 for certain)"


def test_a_checkpoint_that_does_not_say_is_marked(checkpoint):
    for header in ({}, {"splits": [], "source": {"deoldify.pth": "sha256 0"}}):
        note = exposure(checkpoint, header, PHOTOS).note
        assert note == "does not say which photos it was trained on: these may be among them"


def test_a_run_that_began_with_imported_weights_does_not_say_all(checkpoint):
    header = {"splits": [SPLIT], "started_from": [{"file": "b"}, {"file": "a", "source": {"deoldify.pth": "sha256 0"}}]}
    note = exposure(checkpoint, header, PHOTOS).note
    assert note.startswith("trained on 3 of these 40 photos, and does not say which other photos")
