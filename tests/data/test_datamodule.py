from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from colorgan.color import GRAY_RULES, rgb_to_gray
from colorgan.data import ColorizationDataModule, FolderSource, PixelNoise, SamplesSource
from colorgan.data.datamodule import ValidationViews, views_to_rgb
from colorgan.data.transforms import center_view, random_view

STAGE = {"gray_rule": "luma601", "image_size": 16, "batch_size": 4, "num_steps": 6, "stage_index": 1}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with twelve photos, and a cache that all tests share."""
    path = tmp_path_factory.mktemp("data")
    (path / "photos").mkdir()
    image = skimage.data.astronaut()
    for index, (y, x) in enumerate((y, x) for y in (0, 90, 200, 300) for x in (0, 150, 320)):
        Image.fromarray(image[y : y + 160 : 4, x : x + 128 : 4]).save(path / "photos" / f"{index:02d}.png")
    return path


def data_module(workspace, *, steps=0, rank=0, world_size=1, stage=None, **options):
    options = {"validation_share": 0.3, "cache_dir": str(workspace / "cache"), **options}
    module = ColorizationDataModule(FolderSource(str(workspace / "photos")), **options)
    module.examine(min_size=16)
    module.begin_stage(**{**STAGE, **(stage or {})})
    module.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(steps=steps), global_rank=rank, world_size=world_size
    )
    return module


def batches(workspace, **options):
    return list(data_module(workspace, **options).train_dataloader())


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in ("gray", "rgb")
    )


@pytest.mark.parametrize("gray_rule", GRAY_RULES)
def test_batch_is_what_the_contract_says(workspace, gray_rule):
    loaded = batches(workspace, stage={"gray_rule": gray_rule})
    assert len(loaded) == 6
    for batch in loaded:
        assert set(batch) == {"gray", "rgb"}
        assert (batch["gray"].shape, batch["rgb"].shape) == ((4, 1, 16, 16), (4, 3, 16, 16))
        assert batch["gray"].dtype == batch["rgb"].dtype == torch.float32
        assert torch.equal(batch["gray"], rgb_to_gray(batch["rgb"], gray_rule))
        assert 0 <= batch["rgb"].min() < 0.3 < 0.7 < batch["rgb"].max() <= 1
        levels = 255 * batch["rgb"]
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("gray_rule", GRAY_RULES)
def test_noise_changes_the_gray_and_the_target_keeps_its_colours_on_that_gray(workspace, gray_rule):
    clean = batches(workspace, stage={"gray_rule": gray_rule})
    noisy = batches(workspace, stage={"gray_rule": gray_rule}, degradation=PixelNoise(probability=0.8))
    for a, b in zip(clean, noisy, strict=True):
        # float32; Lab and back cost more than luma
        torch.testing.assert_close(rgb_to_gray(b["rgb"], gray_rule), b["gray"], rtol=0, atol=1e-3)
        whole = (a["gray"] == b["gray"]).expand_as(a["rgb"])
        torch.testing.assert_close(a["rgb"][whole], b["rgb"][whole], rtol=0, atol=1e-3)
        assert b["gray"].shape == a["gray"].shape
        assert b["gray"].dtype == torch.float32
    damaged = torch.cat([(a["gray"] != b["gray"]).flatten(1).any(1) for a, b in zip(clean, noisy, strict=True)])
    assert 0.5 < damaged.float().mean() < 1


def test_each_sample_of_each_epoch_has_its_own_chance(workspace):
    stage = {"batch_size": 16, "num_steps": 1}  # two epochs of eight photos
    (clean,) = batches(workspace, stage=stage)
    (noisy,) = batches(workspace, stage=stage, degradation=PixelNoise(probability=1, max_share=0.4))
    offsets = (noisy["gray"] - clean["gray"]).flatten(1)
    for first in range(16):
        for second in range(first):
            both = (offsets[first] != 0) & (offsets[second] != 0)
            assert not torch.allclose(offsets[first][both], offsets[second][both]) or both.sum() < 3


def test_batches_do_not_depend_on_the_number_of_workers(workspace):
    options = {"degradation": PixelNoise()}
    assert same(batches(workspace, **options), batches(workspace, num_workers=2, **options))


def test_batches_do_not_depend_on_the_random_state(workspace):
    first = batches(workspace, degradation=PixelNoise())
    torch.manual_seed(99)
    assert same(first, batches(workspace, degradation=PixelNoise()))


def test_batches_do_not_depend_on_store_unless_it_shrinks(workspace):
    assert same(batches(workspace), batches(workspace, store_size=32))


def test_a_photo_that_is_too_small_for_a_stage_is_left_out_of_that_stage_alone(workspace, tmp_path):
    for path in (workspace / "photos").iterdir():
        image = Image.open(path)
        (image.resize((24, 24)) if int(path.stem) % 2 else image).save(tmp_path / path.name)
    module = ColorizationDataModule(
        FolderSource(str(tmp_path)), validation_share=0.5, cache_dir=str(workspace / "cache")
    )
    library = module.examine(min_size=16)
    seen = {}
    for size in (16, 32):
        module.begin_stage(**STAGE | {"image_size": size})
        panel = library.large_enough("val", size)
        seen[size] = {library.table[row]["name"] for row in (*module.training_photos(), *panel)}
    assert len(seen[16]) == 12
    assert seen[32] == {name for name in seen[16] if int(name[:2]) % 2 == 0}


def test_the_panel_of_training_photos_is_of_those_that_the_stage_draws_from(workspace):
    module = data_module(workspace)
    module.begin_stage(**STAGE | {"share": 0.5})
    drawn = module.training_photos()
    assert 1 < len(drawn) < len(module.library.splits["train"])
    batch, groups = module.training_panel(100)
    views = [center_view(module.library.original(row), STAGE["image_size"]) for row in module.library.drawn(drawn)]
    assert torch.equal(batch["rgb"], views_to_rgb(views))
    assert groups == list(range(len(drawn)))
    assert len(module.training_panel(1)[0]["rgb"]) == 1


def test_the_groups_of_the_panel_are_in_its_order(workspace):
    module = ColorizationDataModule(SamplesSource(3, 2), validation_panel=10, cache_dir=str(workspace / "cache"))
    module.examine(min_size=16)
    module.begin_stage(**STAGE)
    groups = module.panel_groups()
    assert groups[:7] == list(range(7)), "two views of each of seven photos: each gives one before any gives two"
    assert len(set(groups[7:])) == 3


def test_loading_goes_on_exactly_at_the_step_of_the_stage(workspace):
    whole = batches(workspace, degradation=PixelNoise())
    assert same(batches(workspace, degradation=PixelNoise(), steps=4), whole[4:])


def test_seed_and_stage_change_the_batches(workspace):
    first = batches(workspace)
    assert same(first, batches(workspace))
    assert not same(first, batches(workspace, stage={"stage_index": 2}))
    assert not same(first, batches(workspace, seed=1))


def test_ranks_share_the_batches_of_one_process(workspace):
    whole = batches(workspace)
    parts = [batches(workspace, rank=rank, world_size=2) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert torch.equal(parts[0][step]["rgb"], batch["rgb"][0::2])
        assert torch.equal(parts[1][step]["rgb"], batch["rgb"][1::2])


def test_validation_photos_are_never_trained_on(workspace):
    module = data_module(workspace, min_crop=1.0)
    seen = {module.library.table[i]["sha256"] for i in module.train_dataloader().dataset.indices}
    held_out = {module.library.table[i]["sha256"] for i in module.val_dataloader().dataset.indices}
    assert (len(seen), len(held_out)) == (8, 4)
    assert seen.isdisjoint(held_out)


def test_validation_is_the_centre_of_each_photo_without_degradation(workspace):
    module = data_module(workspace, degradation=PixelNoise(probability=1))
    (batch,) = module.val_dataloader()
    expected = [center_view(module.library.pixels(i), 16) for i in module.library.drawn(module.library.splits["val"])]
    assert torch.equal((255 * batch["rgb"]).round().byte(), torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2))
    assert torch.equal(batch["gray"], rgb_to_gray(batch["rgb"]))


def test_validation_panel_and_ranks_take_their_part(workspace):
    module = data_module(workspace, validation_panel=3)
    (panel,) = module.val_dataloader()
    (everything,) = module.validation_loader(24)
    assert panel["rgb"].shape == (3, 3, 16, 16)
    assert everything["rgb"].shape == (4, 3, 24, 24)
    parts = [list(module.validation_loader(16, limit=3, rank=rank, world_size=2)) for rank in range(2)]
    assert [len(part[0]["rgb"]) for part in parts] == [2, 1]
    assert torch.equal(parts[0][0]["rgb"], panel["rgb"][0::2])
    assert torch.equal(parts[1][0]["rgb"], panel["rgb"][1::2])


def test_validation_is_batched_in_order(workspace, monkeypatch):
    monkeypatch.setattr("colorgan.data.datamodule._VALIDATION_BATCH", 3)
    module = data_module(workspace)
    loaded = list(module.validation_loader(16))
    assert [len(batch["rgb"]) for batch in loaded] == [3, 1]
    rows = module.library.drawn(module.library.splits["val"])
    whole = ValidationViews(module.library, rows, 16, "luma601").__getitems__([0, 1, 2, 3])
    assert torch.equal(torch.cat([batch["rgb"] for batch in loaded]), whole["rgb"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_crop": 0.0}, r"min_crop must be in \(0, 1\], got 0\.0 \(data\.min_crop\)"),
        ({"min_crop": 1.1}, r"data\.min_crop"),
        ({"validation_share": 0.0}, r"validation_share must be in \(0, 1\], got 0\.0 \(data\.validation_share\)"),
        ({"validation_share": 1.1}, r"data\.validation_share"),
    ],
)
def test_wrong_options_name_their_config_key(workspace, options, message):
    with pytest.raises(ValueError, match=message):
        ColorizationDataModule(FolderSource(str(workspace / "photos")), **options)


@pytest.fixture(scope="module")
def numbered():
    """Each pixel tells where it lies: red its row, green its column."""
    rows, columns = np.mgrid[:40, :60]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)


def test_random_view_of_full_size_is_a_crop_or_its_mirror(numbered):
    mirrored, corners = set(), set()
    for seed in range(60):
        view = random_view(numbered, 30, np.random.default_rng(seed), min_crop=0.5).astype(int)
        assert view.shape == (30, 30, 3)
        step = view[0, 1, 1] - view[0, 0, 1]
        mirrored.add(bool(step < 0))
        corners.add((view[0, 0, 0], min(view[0, 0, 1], view[0, -1, 1])))
    assert mirrored == {False, True}
    assert len(corners) > 30


def test_random_view_takes_no_less_than_min_crop_and_no_less_than_its_size(numbered):
    for min_crop, least in ((0.9, 36), (0.1, 20)):
        spans = []
        for seed in range(60):
            view = random_view(numbered, 20, np.random.default_rng(seed), min_crop=min_crop).astype(int)
            spans.append(view[-1, 0, 0] - view[0, 0, 0] + 1)
        # resampling 40 -> 20 pulls the outermost rows in by up to a row each
        assert least - 2 <= min(spans) <= max(spans) <= 40


def test_random_view_enlarges_photos_that_are_too_small(numbered):
    assert random_view(numbered[:10], 16, np.random.default_rng(0), min_crop=0.6).shape == (16, 16, 3)


def test_center_view_is_the_largest_centred_square(numbered):
    view = center_view(numbered, 40)
    assert np.array_equal(view, numbered[:, 10:50])
    assert center_view(numbered, 8).shape == (8, 8, 3)


def test_a_share_is_a_seeded_part_of_the_photos_drawn_anew_for_each_stage(workspace):
    def drawn(index, share):
        return list(data_module(workspace, stage={"stage_index": index, "share": share}).training_photos())

    every = set(drawn(1, 1.0))
    first, again, second = drawn(1, 0.5), drawn(1, 0.5), drawn(2, 0.5)
    assert first == again
    assert first != second
    assert len(first) == len(set(first)) == len(every) // 2
    assert set(first) <= every


def test_stages_may_leave_the_degradation_out(workspace):
    clean, noisy, left_out = (
        batches(workspace, degradation=noise, stage={"degrade": degrade})
        for noise, degrade in ((None, True), (PixelNoise(probability=1), True), (PixelNoise(probability=1), False))
    )
    assert same(clean, left_out)
    assert not same(clean, noisy)
