"""Folders of photos as their owner sees them."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorgan.config import build_datamodule
from colorgan.data import FolderSource
from colorgan.training.options import TrainOptions
from colorgan.values import check_options


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


def names_of(*places):
    source = FolderSource([str(place) for place in places])
    return source.listing()["name"][:], source.left_out()


def draw(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_linked_folders_are_followed_without_loops_and_each_photo_counts_once(tmp_path):
    photos = draw(tmp_path / "photos", "own/1.png", "own/2.png")
    outside = draw(tmp_path / "outside", "3.png", "deep/4.png")
    (outside / "deep" / "back").symlink_to(photos)
    (photos / "a").symlink_to(outside)
    (photos / "b").symlink_to(outside / "deep")
    (photos / "loop").symlink_to(photos)
    (photos / "again.png").symlink_to(photos / "own" / "1.png")
    (photos / "x.png").symlink_to(draw(tmp_path, "5.png") / "5.png")
    (photos / "y.png").symlink_to(photos / "x.png")
    names, left_out = names_of(photos)
    assert names == ["a/3.png", "a/deep/4.png", "own/1.png", "own/2.png", "x.png"]
    assert left_out == {"linked twice": 5}
    assert colors_of(FolderSource(str(photos)))[-1] == Image.open(tmp_path / "5.png").getpixel((0, 0))


def test_what_is_left_out_is_counted_and_named(tmp_path, caplog):
    draw(tmp_path, "1.png", ".thumbnails/1.png", ".hidden.png")
    for name in ("a.txt", "b.TXT", "film.mp4", "LICENSE"):
        (tmp_path / name).write_text("no photo")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "lost").symlink_to(tmp_path / "no_folder")
    os.mkfifo(tmp_path / "pipe.png")
    names, left_out = names_of(tmp_path)
    assert names == ["1.png"]
    assert left_out == {
        ".txt": 2, ".mp4": 1, "files without ending": 1, "hidden files": 1, "hidden folders": 1, "dangling links": 2,
        "special files": 1,
    }  # fmt: skip
    assert str(tmp_path / "gone.png") in caplog.text
    assert str(tmp_path / "lost") in caplog.text


def test_a_folder_that_may_not_be_read_is_counted_and_named(caplog):
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to other users
        photos = draw(Path(place), "1.png", "closed/2.png")
        photos.chmod(0o755)
        (photos / "closed").chmod(0)
        user = os.geteuid()
        try:
            if user == 0:  # root may read everything
                os.seteuid(65534)
            names, left_out = names_of(photos)
        finally:
            os.seteuid(user)
            (photos / "closed").chmod(0o755)
    assert (names, left_out) == (["1.png"], {"unreadable folders": 1})
    assert "closed: Permission denied" in caplog.text


def test_several_folders_and_photos_have_unique_names_and_count_once(tmp_path, monkeypatch):
    draw(tmp_path, "x/2020/1.png", "y/2020/1.png", "y/2020/2.png", "z.png", "other.png")
    places = [tmp_path / "x" / "2020", tmp_path / "y" / "2020", tmp_path / "y", tmp_path / "z.png"]
    expected = ["x/2020/1.png", "y/2020/1.png", "y/2020/2.png", "z.png"]
    assert names_of(*places, tmp_path / "y" / "2020" / "2.png", places[0]) == (expected, {})
    assert names_of(*reversed(places)) == (expected, {})
    monkeypatch.chdir(tmp_path / "x")
    assert names_of("../x/2020", "../y", "../z.png") == (expected, {})
    source = FolderSource([str(place) for place in places])
    assert [source.open(row).getpixel((0, 0)) for row in source.listing()] == [
        Image.open(tmp_path / name).getpixel((0, 0)) for name in expected
    ]
    assert source.describe()["path"] == ", ".join(map(str, places))


def test_a_list_of_one_folder_is_that_folder(tmp_path):
    draw(tmp_path, "a/1.png")
    assert FolderSource([str(tmp_path)]).describe() == FolderSource(str(tmp_path)).describe()
    assert names_of(tmp_path) == (["a/1.png"], {})


def test_a_photo_alone_is_a_set_of_one(tmp_path):
    draw(tmp_path, "1.png", "2.png")
    assert names_of(tmp_path / "2.png") == (["2.png"], {})
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(ValueError, match=r"notes\.txt is no photo; allowed are .*\.jpg.*\(data\.path\)"):
        FolderSource([str(tmp_path), str(tmp_path / "notes.txt")])
    with pytest.raises(ValueError, match=r"data\.path is an empty list"):
        FolderSource([])


def test_training_takes_several_folders_and_says_what_it_leaves_out(tmp_path, compose, crops):
    for index, crop in enumerate(crops):
        folder = tmp_path / ("a" if index % 2 else "b")
        folder.mkdir(exist_ok=True)
        Image.fromarray(crop).save(folder / f"{index:02d}.png")
    (tmp_path / "b" / "notes.txt").write_text("no photo")

    def examine(path):
        config = compose("experiment=smoke", "data=folder", f"data.path={path}", f"data.cache_dir={tmp_path}/cache")
        check_options(config, TrainOptions)
        return build_datamodule(config.data, seed=0).examine(min_size=16)

    library = examine(f"[{tmp_path}/a,{tmp_path}/b]")
    assert library.summary().endswith("left out: 1 .txt")
    assert {name.split("/")[0] for name in library.manifest()["name"]} == {"a", "b"}
    with pytest.raises(ValueError, match=r"only one photo can be used; .* need at least two \(data\.path\)"):
        examine(f"{tmp_path}/a/01.png")
