"""`colorgan colorize` on photos: where pictures go, what is skipped, what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, chelsea

from colorgan.color import rgb_to_gray


@pytest.fixture
def folder(tmp_path):
    """Two photos, one in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(astronaut()[::4, ::4]).save(folder / "astronaut.png")
    Image.fromarray(chelsea()[::3, ::3]).save(folder / "sub" / "chelsea.jpg")
    return folder


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
    assert code == 0
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
        (["{photos}", "--size", "3"], "at least 16 pixels, got 3 (--size)"),
        (["{photos}", "--checkpoint", "nowhere"], "no checkpoint nowhere"),
        (["{photos}", "--checkpoint", "{text}"], "not a .safetensors checkpoint"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(run, folder, tmp_path, command, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no photo")
    places = {"photos": folder, "empty": tmp_path / "empty", "text": tmp_path / "text.jpg", "tmp": tmp_path}
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
    assert "is none (known: .3gp .avi" in err
