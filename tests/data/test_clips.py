"""Clips from folders and films, and photos that are moved."""

import os
import shutil

import av
import datasets
import numpy as np
import pytest
import torch
from film_fixture import make_clip, pictures
from PIL import Image, ImageFilter

from colorgan.data import ClipsSource
from colorgan.data.clips import MOTIONS, content_splits, input_noise, moved_photo
from colorgan.data.library import Split
from colorgan.flow import warp
from colorgan.media.photo import UnreadablePhotoError


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


def draw_frames(folder, count, size=(40, 30)):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", size, (10 * number, 100, 50)).save(folder / f"frame{number}.png")
    return folder


def write_film(path, count, size=(48, 32)):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height = size
        for number in range(count):
            level = np.full((size[1], size[0], 3), 20 + 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_folders_of_frames_and_films_are_clips(tmp_path):
    draw_frames(tmp_path / "b" / "deep", 12)
    write_film(tmp_path / "a.mp4", 7)
    source = ClipsSource(str(tmp_path))
    assert list(source.clips) == ["a.mp4", "b/deep"]
    assert [len(source.frames(name)) for name in source.clips] == [7, 12]
    # natural order: frame10 comes last, not behind frame1
    assert [frame[0, 0, 0] for frame in source.frames("b/deep")] == [10 * number for number in range(12)]
    assert source.frames("a.mp4")[3].shape == (32, 48, 3)


def test_a_folder_of_frames_and_a_film_alone_are_one_clip(tmp_path):
    assert list(ClipsSource(str(draw_frames(tmp_path / "shot", 3))).clips) == ["shot"]
    assert list(ClipsSource(str(write_film(tmp_path / "film.mp4", 3))).clips) == ["film.mp4"]


def test_only_the_first_frames_are_read(tmp_path):
    draw_frames(tmp_path / "shot", 9)
    assert len(ClipsSource(str(tmp_path), max_frames=4).frames("shot")) == 4


def test_frames_of_a_clip_form_a_group(tmp_path):
    draw_frames(tmp_path / "one", 3)
    draw_frames(tmp_path / "two", 2)
    source = ClipsSource(str(tmp_path))
    rows = list(source.listing())
    assert [row["group"] for row in rows] == [source.group("one")] * 3 + [source.group("two")] * 2
    assert len({row["name"] for row in rows}) == 5
    assert source.open(rows[2]).getpixel((0, 0)) == (20, 100, 50)


def test_equal_clips_are_one_group_whatever_their_place_name_and_limit(tmp_path):
    draw_frames(tmp_path / "one", 6)
    draw_frames(tmp_path / "other", 5)
    shutil.copytree(tmp_path / "one", tmp_path / "deep" / "moved")
    write_film(tmp_path / "a.mp4", 6)
    shutil.copyfile(tmp_path / "a.mp4", tmp_path / "deep" / "b.mp4")
    whole, part = ClipsSource(str(tmp_path)), ClipsSource(str(tmp_path / "deep"), max_frames=3)
    groups = {clip: whole.group(clip) for clip in whole.clips}
    assert groups["one"] == groups["deep/moved"] == part.group("moved")
    assert groups["a.mp4"] == groups["deep/b.mp4"] == part.group("b.mp4")
    assert len(set(groups.values())) == 3


def test_the_content_of_a_clip_is_read_once(tmp_path):
    film = write_film(tmp_path / "a.mp4", 6)
    before = ClipsSource(str(film)).group("a.mp4")
    facts, content = film.stat(), film.read_bytes()
    film.write_bytes(bytes(len(content)))
    os.utime(film, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert ClipsSource(str(film)).group("a.mp4") == before
    os.utime(film)
    assert ClipsSource(str(film)).group("a.mp4") != before


def test_clips_of_linked_and_of_several_folders_are_found_and_what_is_none_is_counted(tmp_path):
    draw_frames(tmp_path / "a" / "shot", 2)
    draw_frames(tmp_path / "b" / "shot", 3)
    film = write_film(tmp_path / "film.mp4", 3)
    (tmp_path / "a" / "linked").symlink_to(tmp_path / "b" / "shot")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "gone.mp4").symlink_to(tmp_path / "none.mp4")
    (tmp_path / "a" / "notes.txt").write_text("no clip")
    source = ClipsSource(str(tmp_path / "a"))
    assert {clip: source.length(clip) for clip in source.clips} == {"linked": 3, "shot": 2}
    assert source.left_out() == {".txt": 1, "dangling links": 1, "linked twice": 1}
    several = ClipsSource([str(tmp_path / "a" / "shot"), str(tmp_path / "b"), str(film)])
    assert list(several.clips) == ["a/shot", "b/shot", "film.mp4"]


def test_splits_of_clips_by_their_paths_are_refused():
    split = {"seed": 0, "threshold": "8" + 63 * "0"}
    known = [{**split, "kind": "folder"}, {**split, "kind": "clips", "identity": "content"}]
    assert content_splits("x", known) == [Split(**split)]
    with pytest.raises(ValueError, match=r"x knows clips by their paths \(an older version wrote it\)"):
        content_splits("x", [*known, {**split, "kind": "clips"}])


def test_a_changed_frame_changes_the_listing(tmp_path):
    draw_frames(tmp_path / "shot", 3)
    before = ClipsSource(str(tmp_path)).listing().to_list()
    Image.new("RGB", (40, 30), "red").save(tmp_path / "shot" / "frame1.png", compress_level=0)
    after = ClipsSource(str(tmp_path)).listing().to_list()
    changed = [row["bytes"] != other["bytes"] for row, other in zip(before, after, strict=True)]
    assert changed == [False, True, False]
    assert not {row["group"] for row in before} & {row["group"] for row in after}


def test_pictures_beside_folders_are_a_clip_of_their_own(tmp_path):
    draw_frames(tmp_path / "clips", 2)
    draw_frames(tmp_path / "clips" / "clips", 3)
    source = ClipsSource(str(tmp_path / "clips"))
    assert {name: source.length(name) for name in source.clips} == {".": 2, "clips": 3}


def test_what_is_no_clip_is_said_in_a_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder or video .*data\.path"):
        ClipsSource(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"no clips in .*\.mp4.*data\.path"):
        ClipsSource(str(tmp_path))
    (tmp_path / "broken.mp4").write_bytes(b"no film at all")
    with pytest.raises(UnreadablePhotoError, match=r"broken\.mp4 cannot be read as a film"):
        ClipsSource(str(tmp_path)).frames("broken.mp4")


def test_a_turned_film_is_upright_and_a_cut_off_one_is_refused(tmp_path):
    turned = make_clip(tmp_path / "turned.mp4", matrix=[0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30], frames=2)
    frame, stored = ClipsSource(str(turned)).frames("turned.mp4")[1], pictures(turned)[1][2]
    assert np.array_equal(frame, np.rot90(stored, -1))
    cut = make_clip(tmp_path / "cut.mkv", codec="mpeg4", audio="aac", frames=40)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(UnreadablePhotoError, match=r"cut\.mkv is damaged: it is cut off after"):
        ClipsSource(str(cut)).frames("cut.mkv")
    assert len(ClipsSource(str(cut), max_frames=5).frames("cut.mkv")) == 5  # these are whole


def test_every_film_that_can_be_colorized_is_a_clip(tmp_path):
    make_clip(tmp_path / "old.mpg", codec="mpeg2video", frames=3)
    assert len(ClipsSource(str(tmp_path)).frames("old.mpg")) == 3


def test_frames_of_two_sizes_are_refused(tmp_path):
    draw_frames(tmp_path / "shot", 2)
    Image.new("RGB", (10, 10)).save(tmp_path / "shot" / "frame9.png")
    with pytest.raises(UnreadablePhotoError, match="frame 2 of clip shot differs in size"):
        ClipsSource(str(tmp_path)).frames("shot")


@pytest.fixture(scope="module")
def photo():
    from skimage.data import coffee

    # without detail: what remains is the flow's fault, not that of resampling
    return np.asarray(Image.fromarray(coffee()).filter(ImageFilter.GaussianBlur(10)))


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("num_frames", [5, 40])
def test_a_moved_photo_follows_its_flow(photo, motion, num_frames):
    frames, moved = moved_photo(photo, 48, motion, num_frames)
    assert frames.shape == (num_frames, 3, 48, 48)
    residual = ((warp(frames[1:], moved.flow) - frames[:-1]).abs() * moved.visible).mean()
    unmoved = (frames[1:] - frames[:-1]).abs().mean()
    assert residual < 1e-5 if motion in ("pan", "noise") else residual < 0.3 * unmoved
    assert moved.visible.float().mean() > 0.9
    assert (unmoved > 0.005) == (motion != "noise")


def test_noise_is_fresh_in_each_frame_and_of_the_seed():
    gray = torch.full((4, 1, 16, 16), 0.5)
    noisy = input_noise(gray, "noise", seed=1)
    assert torch.equal(noisy, input_noise(gray, "noise", seed=1))
    assert not torch.equal(noisy, input_noise(gray, "noise", seed=2))
    assert not torch.equal(noisy[0], noisy[1])
    assert noisy.std().item() == pytest.approx(0.03, rel=0.1)
    assert torch.equal(input_noise(gray, "pan", seed=1), gray)


def test_an_unknown_motion_is_refused(photo):
    with pytest.raises(ValueError, match="motion='shake' is unknown; allowed: pan, zoom, rotation, noise"):
        moved_photo(photo, 48, "shake", 5)
