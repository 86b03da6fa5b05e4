"""The commands people type, on a generator that the smoke experiment trained."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, chelsea

from colorgan.color import rgb_to_gray
from colorgan.colorize.colorizer import Colorizer
from colorgan.training.schedule import Schedule


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture
def run(shared, smoke):
    """A finished run folder."""
    config = smoke(f"runs_dir={shared}", f"data.cache_dir={shared}/cache", "schedule.times=0", name="run")
    return Schedule(config).run().parent


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(astronaut()[::4, ::4]).save(folder / "astronaut.png")
    Image.fromarray(chelsea()[::3, ::3]).save(folder / "sub" / "chelsea.jpg")
    return folder


def luma(image):
    import torch

    rgb = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] / 255
    return 255 * rgb_to_gray(rgb)[0, 0].numpy()


def test_colorize_a_folder_keeps_its_structure_and_the_luma(run, photos, tmp_path, colorgan):
    code, out, _ = colorgan("colorize", photos, "--checkpoint", run, "--out", tmp_path / "out")
    assert code == 0, out
    assert "2 colorized, 0 skipped" in out
    for name in ("astronaut.png", "sub/chelsea.png"):
        result = Image.open(tmp_path / "out" / name)
        original = next(photos.glob(name.replace(".png", ".*")))
        assert result.size == Image.open(original).size
        assert np.abs(luma(result) - luma(Image.open(original))).max() <= 0.5 + 1e-3


def test_colorize_one_photo_to_a_jpeg_without_chroma_subsampling(run, photos, tmp_path, colorgan):
    target = tmp_path / "a.jpg"
    assert colorgan("colorize", photos / "astronaut.png", "-c", run, "-o", target)[0] == 0
    with Image.open(target) as image:
        assert {part[1:3] for part in image.layer} == {(1, 1)}


def test_compare_lays_gray_colorized_and_original_side_by_side(run, photos, tmp_path, colorgan):
    out = tmp_path / "out"
    code, *_ = colorgan("colorize", photos / "astronaut.png", "-c", run, "-o", out, "--compare")
    assert code == 0
    original = Image.open(photos / "astronaut.png")
    strip = np.array(Image.open(out / "astronaut.png"))
    gray, _, truth = np.split(strip, 3, axis=1)
    assert np.array_equal(truth, np.array(original))
    assert (gray == gray[..., :1]).all()


def test_a_damaged_photo_among_good_ones_is_skipped_and_counted(run, photos, tmp_path, colorgan):
    whole = (photos / "sub" / "chelsea.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    code, out, err = colorgan("colorize", photos, "-c", run, "-o", tmp_path / "out")
    assert code == 0
    assert "2 colorized, 1 skipped" in out
    assert "cut.jpg" in err
    assert not (tmp_path / "out" / "cut.png").exists()


def test_photos_of_one_name_do_not_overwrite_each_other(run, photos, tmp_path, colorgan):
    Image.fromarray(chelsea()[::3, ::3]).save(photos / "astronaut.jpg")
    colorgan("colorize", photos, "-c", run, "-o", tmp_path / "out")
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
def test_mistakes_get_one_line_and_exit_code_2(run, photos, tmp_path, colorgan, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no photo")
    places = {"photos": photos, "empty": tmp_path / "empty", "text": tmp_path / "text.jpg", "tmp": tmp_path}
    words = [word.format(**places) for word in words]
    defaults = ["--checkpoint", run] if "--checkpoint" not in words else []
    defaults += ["--out", tmp_path / "out"] if "--out" not in words else []
    code, _, err = colorgan("colorize", *words, *defaults)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("error: ")


def test_existing_pictures_are_only_replaced_on_demand(run, photos, tmp_path, colorgan):
    words = ["colorize", photos / "astronaut.png", "-c", run, "-o", tmp_path / "out"]
    assert colorgan(*words)[0] == 0
    code, _, err = colorgan(*words)
    assert code == 2
    assert "use --overwrite" in err
    assert colorgan(*words, "--overwrite")[0] == 0


def test_inspect_says_what_a_checkpoint_is(run, colorgan):
    code, out, _ = colorgan("inspect", run)
    assert code == 0
    for word in ("generator", "UNetGenerator", "stage", "01-generator_pretrain", "luma601", "psnr", "sha256"):
        assert word in out


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_photos_of_any_mode_are_colorized_in_their_size(run, mode):
    photo = Image.fromarray(astronaut()[::8, ::8])
    photo = photo.convert("L").convert(mode) if mode in ("I;16", "F") else photo.convert(mode)
    result = Colorizer.load(run).colorize(photo)
    assert result.size == photo.size
    assert result.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (500, 3), (67, 129)])
def test_photos_of_any_size_are_colorized(run, size):
    assert Colorizer.load(run).colorize(Image.new("RGB", size, (200, 100, 50))).size == size


def test_frames_do_not_depend_on_the_batch(run):
    frames = [np.roll(astronaut()[::8, ::8], shift, axis=0) for shift in range(5)] + [chelsea()[::6, ::6]]
    colorizer = Colorizer.load(run)
    one, many = (list(colorizer.colorize_frames(frames, batch_size=size)) for size in (1, 4))
    for a, b in zip(one, many, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1  # other order of float sums, then rounding
