"""Which photos are measured, how they are prepared, and how they are shown."""

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from colorgan.color import rgb_to_gray
from colorgan.data import ColorizationDataModule, FolderSource, SamplesSource
from colorgan.data.library import Split, build_library
from colorgan.evaluation.photos import PhotoSet
from colorgan.evaluation.protocol import Protocol


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("name", ["a.png", "c/e.png", "g.png"])
def test_views_are_those_of_pil(resample, name, folder, photo_set, as_tensor):
    with Image.open(folder / name) as image:
        side, filtered = min(image.size), Image.Resampling[resample.upper()]
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize((24, 24), filtered)
        stretched = image.resize((24, 24), filtered)
    for geometry, expected in (("center_square", square), ("stretch", stretched)):
        made = photo_set(image_size=24, geometry=geometry, resample=resample)
        assert torch.equal(made.rgb([made.names.index(name)])[0], as_tensor(expected))


def test_native_photos_stay_as_they_are_one_a_batch(folder, photo_set, as_tensor, photo_sizes):
    made = photo_set(geometry="native")
    assert made.names == [name for name in sorted(photo_sizes) if name != "c/d.png"]  # too small for judging networks
    for name, batch in zip(made.names, made.loader(), strict=True):
        with Image.open(folder / name) as image:
            assert torch.equal(batch["rgb"][0], as_tensor(image))
        assert batch["gray"].shape == (1, 1, *photo_sizes[name][::-1])


def test_photos_that_are_too_small_are_left_out_unless_they_may_be_enlarged(photo_set, photo_sizes):
    without, with_them = photo_set(), photo_set(enlarge=True)
    assert without.names == [name for name in sorted(photo_sizes) if name != "c/d.png"]
    assert (without.num_too_small, with_them.num_too_small) == (1, 0)
    assert with_them.names == sorted(photo_sizes)
    assert with_them.rgb(range(6)).shape == (6, 3, 32, 32)


def test_first_takes_the_first_by_file_name_that_are_large_enough(photo_set, library, folder, photo_sizes):
    (folder / "0").mkdir(exist_ok=True)
    (folder / "f.png").rename(folder / "0" / "z.png")  # first by path, last by name, as photos in folders of classes
    try:
        assert photo_set(first=5, draw="name").names == ["a.png", "b.png", "c/e.png", "g.png", "0/z.png"]
    finally:
        (folder / "0" / "z.png").rename(folder / "f.png")
    assert photo_set(first=3, draw="name").names == ["a.png", "b.png", "c/e.png"]
    assert photo_set(first=3, draw="name", enlarge=True).names == ["a.png", "b.png", "c/d.png"]
    assert photo_set(first=100, enlarge=True).names == sorted(photo_sizes)


def test_a_part_is_drawn_by_content_whatever_the_names_and_folders(tmp_path):
    """Photos of ten classes, a folder each: a part has many classes, and the same photos under other names."""
    parts = []
    for arrangement in ("classes", "shuffled"):
        for number in range(100):
            place = f"{number // 10}/{number % 10}" if arrangement == "classes" else f"{number * 37 % 100:02d}"
            file = tmp_path / arrangement / f"{place}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(256, size=(20, 20, 3), dtype=np.uint8)
            pixels[0, 0] = number
            Image.fromarray(pixels).save(file)
        source = FolderSource(str(tmp_path / arrangement))
        module = ColorizationDataModule(source, validation_share=0.5, seed=3, cache_dir=str(tmp_path / "cache"))
        library = module.examine(min_size=20)
        protocol = Protocol(image_size=20, gray_rule="luma601", first=20)
        held_out = PhotoSet(library, protocol, {}, [library.split])
        module.begin_stage(gray_rule="luma601", image_size=20, batch_size=1, num_steps=1, stage_index=1)
        (panel,) = module.validation_loader(20, limit=20)
        numbers = sorted((255 * panel["rgb"][:, 0, 0, 0]).round().int().tolist())
        assert numbers == sorted(int(photo[0, 0, 0]) for photo in map(library.original, held_out.indices))
        parts.append(numbers)
    assert parts[0] == parts[1]
    assert len({number // 10 for number in parts[0]}) >= 7  # of ten; the first twenty by path show at most five


def test_a_size_that_no_photo_has_is_refused(photo_set):
    with pytest.raises(ValueError, match=r"none of 6 photos has 64 px; ask for a smaller protocol\.image_size"):
        photo_set(image_size=64)


def test_val_takes_the_photos_that_are_never_trained_on_and_all_takes_all(library, photo_sizes):
    split = library(validation_share=0.5)
    protocol = {"image_size": 20, "gray_rule": "luma601"}
    val, everything = (
        PhotoSet(split, Protocol(photos=choice, **protocol), {}, [split.split]) for choice in ("val", "all")
    )
    assert val.indices == list(split.splits["val"])
    assert len(val) == 3
    assert not set(val.indices) & set(split.splits["train"])
    assert everything.names == sorted(photo_sizes)


def test_of_samples_those_parts_are_measured_that_the_run_held_out_and_it_is_said(tmp_path):
    source = SamplesSource(views_per_photo=2, held_out_per_photo=1)
    options = {"min_size": 64, "store_size": None, "min_colorfulness": 5, "max_validation": 9, "cache_dir": tmp_path}
    trained = build_library(source, validation_share=0.1, seed=4, **options)
    whole = build_library(source, validation_share=1, seed=0, **options)
    protocol, facts = Protocol(image_size=64, gray_rule="luma601"), source.describe()
    (stored,) = [json.loads(json.dumps(asdict(trained.split)))]  # as in the header of a checkpoint
    measured = PhotoSet(whole, protocol, facts, [Split(**stored)])
    assert measured.names == [trained.table[row]["name"] for row in trained.splits["val"]]
    assert len({trained.table[row]["group"] for row in trained.splits["val"]}) == 7
    assert measured.title.startswith("parts of the same seven photos that were not trained on: 7 photos")
    (caption, _), *_ = measured.sheets([0], "that differ most").values()
    assert caption == "The parts of the same seven photos that were not trained on, those that differ most"
    everything = PhotoSet(whole, replace(protocol, photos="all"), facts)
    stranger = PhotoSet(whole, protocol, facts, [Split(0, "f" * 64)])  # of a run on other photos
    assert (len(everything), everything.title[:8], stranger.title[:8]) == (21, "samples:", "samples:")


def test_val_takes_what_all_runs_hold_out_whatever_else_is_in_the_folder(library, folder, tmp_path):
    split, other = library(validation_share=0.5), library(validation_share=0.5, seed=1)
    protocol = Protocol(image_size=20, gray_rule="luma601")
    both = PhotoSet(split, protocol, {}, [split.split, other.split])
    assert both.indices == sorted(set(split.splits["val"]) & set(other.splits["val"]))
    names = split.table["name"]
    trained = [names[index] for index in split.splits["train"]]
    part = tmp_path / "part"
    for name in [*trained, names[split.splits["val"][0]]]:
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).write_bytes((folder / name).read_bytes())
    options = {"min_size": 1, "store_size": None, "min_colorfulness": 0, "max_validation": 100, "seed": 0}
    whole = build_library(FolderSource(str(part)), validation_share=1, cache_dir=tmp_path, **options)
    assert PhotoSet(whole, protocol, {}, [split.split]).names == [names[split.splits["val"][0]]]
    (part / names[split.splits["val"][0]]).unlink()
    whole = build_library(FolderSource(str(part)), validation_share=1, cache_dir=tmp_path, **options)
    with pytest.raises(ValueError, match="hold out none of the 3 photos"):
        PhotoSet(whole, protocol, {}, [split.split])


def test_batches_hold_all_photos_in_order_with_their_gray_and_position(photo_set):
    for rule in ("luma601", "lightness"):
        made = photo_set(gray_rule=rule)
        batches = list(made.loader())
        rgb = torch.cat([batch["rgb"] for batch in batches])
        assert torch.equal(rgb, made.rgb(range(5)))
        assert torch.equal(torch.cat([batch["position"] for batch in batches]), torch.arange(5))
        torch.testing.assert_close(torch.cat([batch["gray"] for batch in batches]), rgb_to_gray(rgb, rule))


def test_batches_of_large_pictures_are_small(photo_set):
    sizes = [len(batch["rgb"]) for batch in photo_set(image_size=1024, enlarge=True).loader()]
    assert sizes == [2, 2, 2]  # 2^21 pixels


def test_the_hash_of_the_photos_is_that_of_their_content_in_order(folder, photo_set):
    def content(name):
        with Image.open(folder / name) as image:
            return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()

    made = photo_set(first=2, draw="name")
    assert made.sha256 == hashlib.sha256((content("a.png") + content("b.png")).encode()).hexdigest()
    assert photo_set(first=3, draw="name").sha256 != made.sha256


def test_all_photos_of_a_source_can_be_measured_without_a_run(folder, tmp_path, photo_sizes):
    source, protocol = FolderSource(str(folder)), Protocol(photos="all", image_size=20, gray_rule="luma601")
    made = PhotoSet.of_source(source, protocol, cache_dir=str(tmp_path))
    assert made.names == sorted(photo_sizes)
    assert made.title == f"{folder}: 6 photos in 6 groups, 20 px, protocol default"


def test_exact_duplicates_count_once(folder, tmp_path):
    (tmp_path / "some").mkdir()
    for name, original in {"1.png": "a.png", "2.png": "b.png", "3.png": "a.png", "4.png": "a.png"}.items():
        (tmp_path / "some" / name).write_bytes((folder / original).read_bytes())
    source, protocol = FolderSource(str(tmp_path / "some")), Protocol(photos="all", image_size=32)
    made = PhotoSet.of_source(source, protocol, cache_dir=str(tmp_path))
    assert made.names == ["1.png", "2.png"]
    assert made.left_out() == {"duplicate": 2}
    assert made.num_groups == 2


def test_near_gray_photos_count_only_where_the_protocol_keeps_them(folder, tmp_path):
    (tmp_path / "some").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "some" / name).write_bytes((folder / name).read_bytes())
    Image.open(folder / "f.png").convert("L").save(tmp_path / "some" / "gray.png")
    source, cache = FolderSource(str(tmp_path / "some")), str(tmp_path)
    made = {
        kept: PhotoSet.of_source(source, Protocol(photos="all", image_size=32, keep_gray=kept), cache_dir=cache)
        for kept in (False, True)
    }
    assert [made[kept].names for kept in (False, True)] == [["a.png", "b.png"], ["a.png", "b.png", "gray.png"]]
    assert made[False].left_out() == {"near-gray": 1}


def test_other_photos_are_half_the_set_away(photo_set):
    made = photo_set()
    (batch,) = made.loader()
    assert torch.equal(made.others(batch), batch["rgb"][[2, 3, 4, 0, 1]])


def test_a_sheet_has_a_row_a_photo_and_a_column_a_version(photo_set):
    made, positions = photo_set(), [0, 3]
    batches = [made.batch(position) for position in positions]
    pictures = {"gray": [b["gray"].expand(-1, 3, -1, -1) for b in batches], "truth": [b["rgb"] for b in batches]}
    sheet = made.sheet(positions, pictures)
    assert sheet.size == (2 * 128 + 4, 20 + 2 * 128 + 4)  # small photos are enlarged
    cells = [sheet.crop((x, y, x + 128, y + 128)) for y in (20, 152) for x in (0, 132)]
    is_gray = [cell.convert("HSV").split()[1].getextrema()[1] == 0 for cell in cells]
    assert is_gray == [True, False, True, False]
    assert made.sheets(positions, "that differ") == {"differences": ("The photos that differ", positions)}
