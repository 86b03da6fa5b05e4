"""`colorgan colorize` on photos: where pictures go, what is skipped, what is refused."""

import os

import av
import imagecodecs
import numpy as np
import pytest
import tifffile
import tiny_checkpoint
import torch
from PIL import Image
from skimage.data import astronaut, chelsea

from colorgan.color import rgb_to_gray
from colorgan.files import file_hash
from colorgan.media.photo import read_pages, read_scan


@pytest.fixture
def folder(tmp_path):
    """Two photos, one in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(astronaut()[::4, ::4]).save(folder / "astronaut.png")
    Image.fromarray(chelsea()[::3, ::3]).save(folder / "sub" / "chelsea.jpg")
    return folder


def write_pages(path):
    with tifffile.TiffWriter(path) as writer:
        for size in (20, 30):
            writer.write(np.full((size, size), 257 * size, np.uint16), photometric="minisblack")


def write_frames(path):
    frames = [Image.fromarray(astronaut()[::16, shift::16]) for shift in (0, 1)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 200])


def luma(image):
    rgb = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] / 255
    return 255 * rgb_to_gray(rgb)[0, 0].numpy()


def test_colorize_a_folder_keeps_its_structure_and_the_luma(run, folder, tmp_path, command):
    code, out, _ = command("colorize", folder, "--checkpoint", run, "--out", tmp_path / "out")
    assert code == 0, out
    assert "2 colorized, 0 skipped" in out
    for name in ("astronaut.png", "sub/chelsea.png"):
        result = Image.open(tmp_path / "out" / name)
        original = next(folder.glob(name.replace(".png", ".*")))
        assert result.size == Image.open(original).size
        assert np.abs(luma(result) - luma(Image.open(original))).max() <= 0.5 + 1e-3


def test_colorize_one_photo_to_a_jpeg_without_chroma_subsampling(run, folder, tmp_path, command):
    target = tmp_path / "a.jpg"
    assert command("colorize", folder / "astronaut.png", "-c", run, "-o", target)[0] == 0
    with Image.open(target) as image:
        assert {part[1:3] for part in image.layer} == {(1, 1)}


def test_compare_lays_gray_colorized_and_original_side_by_side(run, folder, tmp_path, command):
    out = tmp_path / "out"
    code, *_ = command("colorize", folder / "astronaut.png", "-c", run, "-o", out, "--compare")
    assert code == 0
    original = Image.open(folder / "astronaut.png")
    strip = np.array(Image.open(out / "astronaut.png"))
    gray, _, truth = np.split(strip, 3, axis=1)
    assert np.array_equal(truth, np.array(original))
    assert (gray == gray[..., :1]).all()


def test_a_damaged_photo_among_good_ones_is_skipped_and_counted(run, folder, tmp_path, command):
    whole = (folder / "sub" / "chelsea.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    code, out, err = command("colorize", folder, "-c", run, "-o", tmp_path / "out")
    assert code == 1
    assert "2 colorized, 1 skipped" in out
    assert "cut.jpg" in err
    assert not (tmp_path / "out" / "cut.png").exists()


def test_photos_of_one_name_do_not_overwrite_each_other(run, folder, tmp_path, command):
    Image.fromarray(chelsea()[::3, ::3]).save(folder / "astronaut.jpg")
    command("colorize", folder, "-c", run, "-o", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"astronaut.jpg.png", "astronaut.png.png", "sub"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.jpg"], "no photo or folder nowhere.jpg"),
        (["{empty}"], "no photos in"),
        (["{text}"], "cannot be read as a photo"),
        (["{photos}", "--out", "{photos}"], "would replace the original"),
        (["{photos}", "--out", "{tmp}/x.png"], "--out must be a folder"),
        (["{photo}", "--out", "{tmp}/o.mp4"], "is a photo, so --out must end in .apng, .avif"),
        (["{photo}", "--out", "{tmp}/o.pdf"], "is a photo, so --out must end in .apng, .avif"),
        (["{photo}", "--max-megapixels", "0.01"], "128x128 pixels are more than 0.01 megapixels"),
        (["{photo}", "--max-megapixels", "0"], "--max-megapixels must be above 0"),
        (["{pages}", "--out", "{tmp}/o.png"], "has 2 pages, which .png cannot hold; --out can end in .tif, .tiff"),
        (["{frames}", "--out", "{tmp}/o.jpg"], "has 2 frames, which .jpg cannot hold; --out can end in .apng, .gif"),
        (["{photos}", "--size", "3"], "at least 16 pixels, got 3 (--size)"),
        (["{photos}", "--checkpoint", "nowhere"], "no checkpoint nowhere"),
        (["{photos}", "--checkpoint", "{text}"], "not a .safetensors checkpoint"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(run, folder, tmp_path, command, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no photo")
    write_pages(tmp_path / "pages.tif")
    write_frames(tmp_path / "frames.gif")
    places = {"photos": folder, "photo": folder / "astronaut.png", "tmp": tmp_path, "empty": tmp_path / "empty"}
    places |= {"text": tmp_path / "text.jpg", "pages": tmp_path / "pages.tif", "frames": tmp_path / "frames.gif"}
    words = [word.format(**places) for word in words]
    defaults = ["--checkpoint", run] if "--checkpoint" not in words else []
    defaults += ["--out", tmp_path / "out"] if "--out" not in words else []
    code, _, err = command("colorize", *words, *defaults)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("error: ")


def test_existing_pictures_are_only_replaced_on_demand(run, folder, tmp_path, command):
    words = ["colorize", folder / "astronaut.png", "-c", run, "-o", tmp_path / "out"]
    assert command(*words)[0] == 0
    code, _, err = command(*words)
    assert code == 2
    assert "use --overwrite" in err
    assert command(*words, "--overwrite")[0] == 0


def test_flags_of_film_are_refused_for_photos(run, folder, tmp_path, command):
    code, _, err = command("colorize", folder / "astronaut.png", "-c", run, "-o", tmp_path, "--batch", 2, "--fps", 9)
    assert code == 2
    assert "--batch, --fps: only for film, but" in err
    assert "is none" in err
    code, _, err = command("colorize", folder, "-c", run, "-o", tmp_path / "frames", "--shots", tmp_path / "none.csv")
    assert code == 2
    assert "no list of shots" in err  # with a list, a folder holds frames


def test_a_deep_scan_comes_back_deep_with_its_luma(run, tmp_path, command):
    gray = np.random.default_rng(0).integers(0, 65536, (300, 280), np.uint16)
    tifffile.imwrite(tmp_path / "scan.tif", gray, metadata=None, description="A barn", photometric="minisblack")
    for name in ("o.tif", "o.png"):
        assert command("colorize", tmp_path / "scan.tif", "-c", run, "-o", tmp_path / name)[0] == 0
        back = read_scan(tmp_path / name)
        assert back.pixels.dtype == np.uint16
        rgb = torch.from_numpy(back.pixels.astype(np.float64)).permute(2, 0, 1)[None]
        assert np.abs(rgb_to_gray(rgb)[0, 0].numpy() - gray).max() <= 0.5 + 0.02  # levels of 65535
        assert back.metadata.exif[270] == "A barn"
        assert (
            b"run/final.safetensors (sha256 " + file_hash(run / "final.safetensors")[:16].encode() in back.metadata.xmp
        )


def test_all_pages_and_frames_are_colorized(run, tmp_path, command):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_pages(source / "pages.tif")
    write_frames(source / "frames.gif")
    code, said, _ = command("colorize", source, "-c", run, "-o", out)
    assert (code, said.split(":")[0]) == (0, "2 colorized, 0 skipped")
    assert [page.pixels.shape for page in read_pages(out / "pages.tif")] == [(20, 20, 3), (30, 30, 3)]
    frames = list(read_pages(out / "frames.png"))
    assert [frame.duration_ms for frame in frames] == [100, 200]
    assert not np.array_equal(frames[0].pixels, frames[1].pixels)


def test_an_animation_becomes_a_film_where_out_is_one(run, tmp_path, command):
    write_frames(tmp_path / "frames.gif")
    assert command("colorize", tmp_path / "frames.gif", "-c", run, "-o", tmp_path / "film.mkv")[0] == 0
    with av.open(str(tmp_path / "film.mkv")) as film:
        assert len(list(film.decode(video=0))) == 2


def test_what_a_file_is_is_found_inside_alike_alone_and_in_a_folder(run, tmp_path, command):
    source = tmp_path / "in"
    source.mkdir()
    photo = Image.fromarray(astronaut()[::16, ::16])
    formats = {"a.jp2": "JPEG2000", "b.jfif": "JPEG", "c.tga": "TGA", "d.pbm": "PPM", "e.pnm": "PPM", "f.x": "PNG"}
    for name, kind in formats.items():
        (photo.convert("1") if name == "d.pbm" else photo).save(source / name, kind)
    (source / "g.jxl").write_bytes(imagecodecs.jpegxl_encode(np.asarray(photo), lossless=True))
    photo.save(source / "h.mpo", "MPO", save_all=True, append_images=[photo])
    for name in ("i.vob", "j.jpg"):  # a film, whatever its name
        with av.open(str(source / name), "w", format="vob") as film:
            stream = film.add_stream("mpeg2video", 25, width=32, height=32, pix_fmt="yuv420p")
            for packet in [*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)]:
                film.mux(packet)
    (source / "k.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (source / "notes.txt").write_text("dear diary")
    (source / ".DS_Store").write_bytes(b"x")
    code, said, err = command("colorize", source, "-c", run, "-o", tmp_path / "out")
    assert code == 1
    assert "8 colorized, 3 skipped, 1 files that are neither photo nor film left alone" in said
    assert f"skipped: {source}/i.vob: it is a film; colorgan colorize {source}/i.vob --out FILM.mp4" in err
    assert f"skipped: {source}/j.jpg: it is a film" in err
    assert f"skipped: {source}/k.heic" in err  # damaged, or its reader is not installed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{letter}.png" for letter in "abcdefgh"}
    for name in [*formats, "g.jxl", "h.mpo"]:
        assert command("colorize", source / name, "-c", run, "-o", tmp_path / "one")[0] == 0
    assert command("colorize", source / "i.vob", "-c", run, "-o", tmp_path / "i.mkv")[0] == 0


def test_no_output_takes_the_place_of_another(run, tmp_path, command):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("x.png", "x.jpg", "x.png.png"):
        Image.fromarray(astronaut()[::16, ::16]).save(source / name)
    assert command("colorize", source, "-c", run, "-o", tmp_path / "out")[0] == 0
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_links_are_told_and_outputs_are_no_inputs(run, folder, tmp_path, command):
    (folder / "round").symlink_to(folder)
    (folder / "dead.jpg").symlink_to(folder / "gone.jpg")
    for flags in ([], ["--overwrite"]):
        code, said, err = command("colorize", folder, "-c", run, "-o", folder / "out", *flags)
        assert (code, said.split(":")[0]) == (1, "2 colorized, 2 skipped")
    assert f"skipped: {folder}/dead.jpg: it is a dead link" in err
    assert f"skipped: {folder}/round: it is a link to a folder, which is not followed" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_must_not_be_read_stops_no_other_photo(run, folder, tmp_path, command):
    (folder / "closed").mkdir(mode=0)
    (folder / "closed.jpg").touch(mode=0)
    (folder / "closed.png").write_bytes(b"x")
    (folder / "closed.png").chmod(0)
    code, said, err = command("colorize", folder, "-c", run, "-o", tmp_path / "out")
    (folder / "closed").chmod(0o700)
    assert (code, said.split(":")[0]) == (1, "2 colorized, 3 skipped")
    assert f"skipped: {folder}/closed: it cannot be read: Permission denied" in err


def test_animated_webp_is_refused_as_a_film_before_work(run, tmp_path, command):
    write_frames(tmp_path / "frames.webp")
    code, _, err = command("colorize", tmp_path / "frames.webp", "-c", run, "-o", tmp_path / "film.mkv")
    assert code == 2
    assert "FFmpeg does not read animated WebP and AVIF; --out can end in .png, .webp or .gif" in err


def test_the_sentence_names_the_flag_or_the_file_in_the_way(run, folder, command):
    photo = folder / "astronaut.png"
    for words, said in (
        (["-o", folder / "o.png", "--max-megapixels", 0.001], "(--max-megapixels)"),
        (["-o", photo / "o.png"], "astronaut.png is a file, not a folder; choose another --out"),
    ):
        code, _, err = command("colorize", photo, "-c", run, *words)
        assert (code, said in err) == (2, True)


def test_colorize_with_hints(run, folder, tmp_path, command):
    path = tiny_checkpoint.write(tmp_path / "hints.safetensors", hints=True)
    hints = tmp_path / "hints.json"
    hints.write_text('[{"stroke": [[20, 20], [90, 90]], "color": "tomato"}]')
    pictures = []
    for name, given in (("plain", []), ("hinted", ["--hints", hints])):
        assert command("colorize", folder / "astronaut.png", "-c", path, "-o", tmp_path / f"{name}.png", *given)[0] == 0
        pictures.append(np.asarray(Image.open(tmp_path / f"{name}.png"), int))
    assert np.abs(pictures[0] - pictures[1]).max() > 20
    for source, checkpoint, what in (
        (folder, path, "--hints goes with one photo, but"),
        (folder / "astronaut.png", run, "this network takes no hints"),
    ):
        code, _, err = command("colorize", source, "-c", checkpoint, "-o", tmp_path / "other", "--hints", hints)
        assert (code, err.count("\n")) == (2, 1)
        assert what in err
