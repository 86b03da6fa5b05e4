import numpy as np
import pytest
import scipy.stats
import skimage.color
import torch
from PIL import Image

from colorgan.color import GRAY_RULES, rgb_to_gray
from colorgan.data import FolderSource, HubSource, SamplesSource, SyntheticSource
from colorgan.data.synthetic import AMBIGUOUS_CHROMA, draw_scene


def test_samples_are_squares_of_colour_photos_in_groups():
    source = SamplesSource(views_per_photo=3, held_out_per_photo=2)
    listing = source.listing()
    assert len(set(listing["name"])) == len(listing) == (3 + 2) * len(set(listing["group"])) == 35
    for row in listing:
        view = source.open(row)
        left, top, right, bottom = row["box"]
        assert view.size == (right - left, bottom - top)
        assert view.width == view.height >= 100
        assert np.asarray(view).std(axis=2).max() > 15  # colour


def test_samples_are_the_same_each_time_and_no_two_views_are_equal():
    rows = SamplesSource().listing().to_list()
    assert SamplesSource().listing().to_list() == rows
    assert len({(row["group"], *row["box"]) for row in rows}) == len(rows)


def test_samples_hold_out_parts_of_every_photo_and_share_no_pixel_with_what_is_trained_on():
    source = SamplesSource()
    seen = {name: np.zeros((2, *np.asarray(Image.open(file)).shape[:2]), bool) for name, file in source.files.items()}
    for row in source.listing():
        left, top, right, bottom = row["box"]
        seen[row["group"]][int(row["held_out"]), top:bottom, left:right] = True
    assert len(seen) == 7
    for trained, held_out in seen.values():
        assert not (trained & held_out).any()
        assert 0.5 < trained.mean() <= 0.75
        assert 0.15 < held_out.mean() <= 0.25


def test_sources_describe_themselves(tmp_path):
    sources = [FolderSource(str(tmp_path)), HubSource("a/b", split="test"), SyntheticSource(7, 16, 2)]
    assert [source.describe() for source in sources] == [
        {"kind": "folder", "path": str(tmp_path)},
        {"kind": "hub", "path": "a/b", "name": None, "split": "test"},
        {"kind": "synthetic", "num_images": 7, "size": 16, "seed": 2},
    ]
    samples = SamplesSource(5)
    groups = set(samples.listing()["group"])
    assert (samples.describe()["views_per_photo"], set(samples.describe()["photos"])) == (5, groups)
    assert samples.describe()["held_out"] == "parts of the same seven photos that were not trained on"


def test_scenes_are_a_pure_function_of_seed_and_index():
    source = SyntheticSource(num_images=3, size=24, seed=5)
    pictures = [np.asarray(source.open(row)) for row in source.listing()]
    assert [p.shape for p in pictures] == [(24, 24, 3)] * 3
    for index, picture in enumerate(pictures):
        assert np.array_equal(picture, draw_scene(5, index, 24))
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], draw_scene(6, 0, 24))


@pytest.fixture(scope="module")
def scenes():
    """Drawn scenes and their Lab values by scikit-image."""
    pictures = [draw_scene(0, index, 24) for index in range(200)]
    return [(picture, skimage.color.rgb2lab(picture)) for picture in pictures]


def discs(scenes):
    """Masks of the disc, by hue: ocher (b > 0) and blue (b < 0); the background and the square lie elsewhere in ab."""
    found = {"ocher": [], "blue": []}
    for picture, lab in scenes:
        for name, sign in (("ocher", 1), ("blue", -1)):
            mask = (sign * lab[..., 2] > 37) & (abs(lab[..., 1]) < 15)
            if mask.sum() > 10:
                found[name].append((picture, lab, mask))
    return found


def test_disc_has_one_of_two_opposite_hues_by_chance(scenes):
    found = discs(scenes)
    counts = [len(found[name]) for name in ("ocher", "blue")]
    assert sum(counts) == len(scenes)
    assert 75 < counts[0] < 125  # a fair coin: 100 +- 3.5 standard deviations
    for name, sign in (("ocher", 1), ("blue", -1)):
        ab = np.concatenate([lab[mask][:, 1:] for _, lab, mask in found[name]])
        np.testing.assert_allclose(np.hypot(*ab.T), AMBIGUOUS_CHROMA, atol=1.5)  # in gamut: only 8-bit rounding
        np.testing.assert_allclose(ab.mean(axis=0), sign * np.array([-5.8, 41.6]), atol=0.5)


@pytest.mark.parametrize("rule", GRAY_RULES)
def test_gray_of_the_disc_does_not_tell_its_hue(scenes, rule):
    levels = {}
    for name, parts in discs(scenes).items():
        rgb = torch.from_numpy(np.stack([picture for picture, _, _ in parts])).permute(0, 3, 1, 2) / 255
        grays = 255 * rgb_to_gray(rgb, rule)[:, 0].numpy()
        levels[name] = [np.median(gray[mask]) for gray, (_, _, mask) in zip(grays, parts, strict=True)]
    assert np.std(levels["blue"]) > 4
    assert abs(np.mean(levels["ocher"]) - np.mean(levels["blue"])) < 2
    assert scipy.stats.ks_2samp(levels["ocher"], levels["blue"]).pvalue > 0.05


def test_square_always_has_its_hue(scenes):
    for _, lab in scenes:
        square = (lab[..., 1] < -20) & (lab[..., 2] > 20)
        if square.sum() > 0:  # the disc may hide it
            np.testing.assert_allclose(np.median(lab[square][:, 1:], axis=0), (-30, 35), atol=1.5)
    assert sum(((lab[..., 1] < -20) & (lab[..., 2] > 20)).any() for _, lab in scenes) > 160
