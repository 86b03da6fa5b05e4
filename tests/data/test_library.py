"""Photos are left out with a reason, split by the hash of their content, and listed in a manifest."""

import csv
import logging

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from colorgan.color import colorfulness
from colorgan.data import FolderSource, SamplesSource, SyntheticSource
from colorgan.data.library import Split, build_library, write_manifest


def rows_of(library):
    columns = library.manifest()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def hashes(library, split):
    return {row["sha256"] for row in rows_of(library) if row["split"] == split}


def names(library, split):
    return {row["name"] for row in rows_of(library) if row["split"] == split}


def test_splits_partition_the_photos_by_the_share(folder, examine):
    library = examine(FolderSource(str(folder)))
    train, val = library.splits["train"], library.splits["val"]
    assert len(val) == 3
    assert sorted(train + val) == list(range(12))
    assert library.dropped == {}
    assert library.summary() == "photos: 9 train, 3 val; left out: none"


def test_unusable_photos_are_left_out_and_counted(folder, examine, crops, caplog):
    whole = (folder / "00.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("dear diary")
    Image.fromarray(crops[0]).convert("L").save(folder / "gray.png")
    Image.fromarray(crops[0][:15]).save(folder / "small.png")
    with caplog.at_level(logging.WARNING):
        library = examine(FolderSource(str(folder)))
    assert library.dropped == {"unreadable": 2, "near-gray": 1, "smaller than 16 px": 1}
    assert names(library, "train") | names(library, "val") == {f"{i:02d}.png" for i in range(12)}
    assert "left out: text.jpg" in caplog.text
    assert "2 unreadable" in library.summary()


def test_near_gray_is_decided_by_colorfulness(folder, examine):
    values = {}
    for file in folder.iterdir():
        pixels = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255
        values[file.name] = colorfulness(pixels).item()
    threshold = float(np.median(list(values.values())))
    library = examine(FolderSource(str(folder)), min_colorfulness=threshold)
    assert names(library, "train") | names(library, "val") == {n for n, v in values.items() if v >= threshold}


def test_no_usable_photo_names_the_reasons_and_keys(tmp_path, examine):
    (tmp_path / "text.jpg").write_text("dear diary")
    Image.new("RGB", (20, 20), "gray").save(tmp_path / "gray.png")
    message = r"none of 2 photos can be used: 1 near-gray, 1 unreadable .*data\.path.*data\.min_colorfulness.*size=16"
    with pytest.raises(ValueError, match=message):
        examine(FolderSource(str(tmp_path)))


def test_a_single_photo_is_refused(tmp_path, examine, crops):
    for name in ("a.png", "b.png"):  # twice the same: one group
        Image.fromarray(crops[0]).save(tmp_path / name)
    with pytest.raises(ValueError, match=r"only one photo can be used.*\(data\.path\)"):
        examine(FolderSource(str(tmp_path)))


def test_equal_content_under_two_names_stays_in_one_split(folder, examine, crops):
    for index, crop in enumerate(crops):
        Image.fromarray(crop).save(folder / f"copy{index:02d}.bmp")  # another format, the same pixels
    library = examine(FolderSource(str(folder)))
    assert len(library.table) == 24
    assert hashes(library, "train").isdisjoint(hashes(library, "val"))
    assert hashes(library, "val")


def test_split_follows_content_not_names_or_order(folder, examine):
    first = examine(FolderSource(str(folder)))
    for index, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"renamed{99 - index}.png")
    second = examine(FolderSource(str(folder)))
    assert hashes(first, "val") == hashes(second, "val")
    assert names(first, "val") != names(second, "val")


def test_split_is_not_touched_by_what_is_left_out_or_by_random_state(folder, examine):
    first = examine(FolderSource(str(folder)))
    Image.new("RGB", (30, 30), "gray").save(folder / "00000.png")
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    assert hashes(examine(FolderSource(str(folder))), "val") == hashes(first, "val")


def test_split_depends_on_the_seed(folder, examine):
    splits = {frozenset(hashes(examine(FolderSource(str(folder)), seed=seed), "val")) for seed in range(6)}
    assert len(splits) > 3


def test_split_is_bounded(folder, examine):
    assert len(examine(FolderSource(str(folder)), validation_share=0.5, max_validation=2).splits["val"]) == 2
    assert len(examine(FolderSource(str(folder)), validation_share=0.01).splits["val"]) == 1
    assert len(examine(FolderSource(str(folder)), validation_share=0.99).splits["train"]) == 1


class GroupedSource(SyntheticSource):
    """Twelve scenes in four groups; every third one is marked as held out, if any is."""

    def __init__(self, *, marked=False):
        super().__init__(num_images=12, size=16)
        self.marked = marked

    def listing(self):
        rows = [{**row, "group": f"group{row['index'] // 3}"} for row in super().listing()]
        return datasets.Dataset.from_list(
            [{**row, "held_out": row["index"] % 3 == 0} for row in rows] if self.marked else rows
        )


def test_groups_are_never_split(examine):
    library = examine(GroupedSource(), validation_share=0.3)
    groups = {split: {library.table[i]["group"] for i in indices} for split, indices in library.splits.items()}
    assert groups["train"]
    assert groups["val"]
    assert groups["train"].isdisjoint(groups["val"])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_source_that_marks_what_it_holds_out_decides_the_split(examine, seed):
    library = examine(GroupedSource(marked=True), validation_share=0.1, max_validation=1, seed=seed)
    assert list(library.splits["val"]) == [0, 3, 6, 9]
    assert list(library.splits["train"]) == [1, 2, 4, 5, 7, 8, 10, 11]
    assert library.split == Split(seed, None)
    assert not library.split.holds_out("group0", marked=False)
    assert library.split.holds_out("a photo of another source")
    assert len(examine(GroupedSource(marked=True), validation_share=1).splits["val"]) == 12


def test_each_group_gives_one_photo_before_any_gives_a_second(examine):
    library = examine(GroupedSource())
    drawn = [library.table[row]["group"] for row in library.drawn(range(12))]
    assert all(len(set(drawn[first : first + 4])) == 4 for first in (0, 4, 8))
    assert library.drawn(range(12), 5) == library.drawn(reversed(range(12)))[:5]


def test_pixels_without_store_are_those_of_the_file(folder, examine, crops):
    library = examine(FolderSource(str(folder)))
    assert np.array_equal(library.pixels(3), crops[3])


def test_stored_pixels_are_the_shrunk_photo(folder, examine, crops):
    library = examine(FolderSource(str(folder)), store_size=16)
    expected = Image.fromarray(crops[3]).resize((20, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(library.pixels(3), np.asarray(expected))
    assert (library.table[3]["width"], library.table[3]["height"]) == (40, 32)  # of the file


def test_stored_pixels_do_not_need_the_file(folder, examine, crops):
    library = examine(FolderSource(str(folder)), store_size=32)
    (folder / "03.png").unlink()
    assert np.array_equal(library.pixels(3), crops[3])


def test_manifest_lists_every_photo_with_its_split_and_hash(folder, examine, tmp_path):
    library = examine(FolderSource(str(folder)))
    write_manifest(library, tmp_path / "manifest.csv")
    with (tmp_path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == rows_of(library)
    assert [row["name"] for row in rows] == [f"{index:02d}.png" for index in range(12)]
    assert {(row["width"], row["height"]) for row in rows} == {("40", "32")}
    assert len({row["sha256"] for row in rows}) == 12
    assert sorted(file.name for file in tmp_path.glob("*manifest*")) == ["manifest.csv", "manifest.csv.sha256"]


def test_manifest_of_the_same_photos_is_accepted_and_left_alone(folder, examine, tmp_path):
    path = tmp_path / "manifest.csv"
    write_manifest(examine(FolderSource(str(folder))), path)
    before = path.read_bytes()
    write_manifest(examine(FolderSource(str(folder))), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_manifest_detects_other_photos(folder, examine, crops, tmp_path, change):
    path = tmp_path / "manifest.csv"
    write_manifest(examine(FolderSource(str(folder))), path)
    before = path.read_bytes()
    if change == "removed":
        (folder / "05.png").unlink()
    else:
        Image.fromarray(crops[5][::-1]).save(folder / ("05.png" if change == "changed" else "05b.png"))
    with pytest.raises(ValueError, match=r"not those this run began with: 1 were .* for example 05b?\.png .*name="):
        write_manifest(examine(FolderSource(str(folder))), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("source", [SamplesSource(views_per_photo=2), SyntheticSource(num_images=4, size=32)])
def test_photos_that_are_not_stored_are_opened_anew(source, tmp_path):
    """What `scale=gpu` does: the rows of a source hold more than a name."""
    kept, opened = (
        build_library(
            source,
            min_size=16,
            store_size=size,
            min_colorfulness=0,
            validation_share=0.5,
            max_validation=9,
            seed=0,
            cache_dir=tmp_path,
        )
        for size in (10_000, None)
    )
    assert np.array_equal(kept.pixels(1), opened.pixels(1))


def test_folders_are_listed_in_the_order_of_their_paths_links_and_all(tmp_path, crops):
    for name in ("b/1.png", "b.c/1.PNG", "a/2.png", "10.png", "b/x/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(crops[0]).save(tmp_path / name)
    Image.fromarray(crops[1]).save(tmp_path.parent / "elsewhere.png")
    (tmp_path / "link.png").symlink_to(tmp_path.parent / "elsewhere.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "folder.png").mkdir()
    listing = FolderSource(str(tmp_path)).listing()
    files = sorted(file for file in tmp_path.rglob("*") if file.suffix.lower() == ".png" and file.is_file())
    assert list(listing["name"]) == [file.relative_to(tmp_path).as_posix() for file in files]
    assert list(listing["bytes"]) == [file.stat().st_size for file in files]
    assert list(listing["modified_ns"]) == [file.stat().st_mtime_ns for file in files]
