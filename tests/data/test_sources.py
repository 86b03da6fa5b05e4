import datasets
import numpy as np
import pytest
import scipy.stats
import skimage.color
import torch
from PIL import Image

from colorgan.color import GRAY_RULES, rgb_to_gray
from colorgan.data import FolderSource, HubSource, SamplesSource, SyntheticSource
from colorgan.data.synthetic import AMBIGUOUS_CHROMA, draw_scene
from colorgan.media.photo import UnreadablePhotoError


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets_cache"))


def flat(color, size=(8, 8)):
    return Image.new("RGB", size, color)


def colors_of(source):
    return [source.open(row).convert("RGB").getpixel((0, 0)) for row in source.listing()]


def test_folder_lists_photos_of_all_subfolders_by_path(tmp_path):
    for name in ("b.png", "a/z.JPG", "a/y.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        flat("red").save(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no photo")
    (tmp_path / "folder.png").mkdir()
    listing = FolderSource(str(tmp_path)).listing()
    assert listing["name"][:] == ["a/y.webp", "a/z.JPG", "b.png"]


def test_folder_opens_the_photo_of_a_row(tmp_path):
    flat((10, 20, 30)).save(tmp_path / "a.png")
    assert colors_of(FolderSource(str(tmp_path))) == [(10, 20, 30)]


def test_folder_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    assert FolderSource("~/photos").path == tmp_path / "photos"


def test_missing_and_empty_folders_name_the_config_key(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere \(data\.path\)"):
        FolderSource(str(tmp_path / "nowhere"))
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(FileNotFoundError, match=r"no photos in .*looked for .*\.jpg.*\(data\.path\)"):
        FolderSource(str(tmp_path)).listing()


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


@pytest.mark.usefixtures("own_cache")
def test_hub_source_reads_a_local_image_folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, color in enumerate([(255, 0, 0), (0, 255, 0)]):
        flat(color).save(folder / f"{index}.png")
    source = HubSource(str(folder))
    assert colors_of(source) == [(255, 0, 0), (0, 255, 0)]
    assert source.listing()["name"][:] == ["train/00000000", "train/00000001"]


@pytest.fixture
def parquet(tmp_path):
    """A local data set with two image columns, a column `name` of its own, and a row without image."""
    features = {"thumb": datasets.Image(), "photo": datasets.Image(), "name": datasets.Value("string")}
    columns = {"thumb": [flat("blue")] * 3, "photo": [flat("red"), None, flat("lime")], "name": ["x", "y", "z"]}
    folder = tmp_path / "set"
    folder.mkdir()
    datasets.Dataset.from_dict(columns, features=datasets.Features(features)).to_parquet(folder / "test.parquet")
    return folder


@pytest.mark.usefixtures("own_cache")
def test_hub_source_takes_split_and_column(parquet):
    source = HubSource(str(parquet), split="test", image_column="photo")
    listing = source.listing()
    assert sorted(listing.column_names) == ["image", "name"]
    assert [source.open(listing[i]).getpixel((0, 0)) for i in (0, 2)] == [(255, 0, 0), (0, 255, 0)]
    assert colors_of(HubSource(str(parquet), split="test")) == [(0, 0, 255)] * 3  # the first image column


@pytest.mark.usefixtures("own_cache")
def test_hub_row_without_image_is_unreadable(parquet):
    source = HubSource(str(parquet), split="test", image_column="photo")
    with pytest.raises(UnreadablePhotoError, match="test/00000001 has no image"):
        source.open(source.listing()[1])


@pytest.mark.usefixtures("own_cache")
def test_hub_source_errors_name_the_config_key(parquet, tmp_path):
    with pytest.raises(ValueError, match=r"image columns \['thumb', 'photo'\], not 'name' \(data\.image_column\)"):
        HubSource(str(parquet), split="test", image_column="name").listing()
    with pytest.raises(FileNotFoundError, match=r"cannot be loaded: .*validation.*\(data\.path\)"):
        HubSource(str(parquet), split="validation").listing()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"dataset '.*empty' cannot be loaded: .+ \(data\.path\)"):
        HubSource(str(tmp_path / "empty")).listing()


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
