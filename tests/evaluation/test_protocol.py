import hashlib
import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import nn

from colorgan.color import chroma_to_rgb, rgb_to_gray
from colorgan.data.library import build_library
from colorgan.data.sources import FolderSource
from colorgan.evaluation.measure import resolve_protocol
from colorgan.evaluation.protocol import Protocol, PhotoSet
from colorgan.colorize.deoldify import merge_yuv

SIZES = {
    "a.png": (48, 32),
    "b.png": (32, 32),
    "c/d.png": (20, 60),
    "c/e.png": (40, 64),
    "f.png": (36, 36),
    "g.png": (33, 50),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six photos of (width, height), smooth and colourful; c/d.png is smaller than 32 px."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture
def library(folder, tmp_path):
    def build(validation_share=1.0, seed=0):
        return build_library(
            FolderSource(str(folder)),
            min_size=1,
            store_size=None,
            min_colorfulness=0,
            validation_share=validation_share,
            max_validation=100,
            seed=seed,
            cache_dir=tmp_path,
        )

    return build


@pytest.fixture
def photos(library):
    """Test photos of a protocol with 32 px and luma unless said otherwise."""

    def of(**options):
        protocol = Protocol(**{"photos": "all", "image_size": 32, "gray_rule": "luma601", **options})
        return PhotoSet(library(), protocol, {"kind": "folder"})

    return of


@pytest.fixture
def pictures(photos):
    """The five photos that are large enough, 32 px, in [0.2, 0.8]: chroma has room."""
    return 0.2 + 0.6 * photos().rgb(range(5))


def as_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("name", ["a.png", "c/e.png", "g.png"])
def test_views_are_those_of_pil(resample, name, folder, photos):
    with Image.open(folder / name) as image:
        side, filtered = min(image.size), Image.Resampling[resample.upper()]
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize((24, 24), filtered)
        stretched = image.resize((24, 24), filtered)
    for geometry, expected in (("center_square", square), ("stretch", stretched)):
        made = photos(image_size=24, geometry=geometry, resample=resample)
        assert torch.equal(made.rgb([made.names.index(name)])[0], as_tensor(expected))


def test_native_photos_stay_as_they_are_one_a_batch(folder, photos):
    made = photos(geometry="native")
    assert made.names == [name for name in sorted(SIZES) if name != "c/d.png"]  # too small for judging networks
    for name, batch in zip(made.names, made.loader(), strict=True):
        with Image.open(folder / name) as image:
            assert torch.equal(batch["rgb"][0], as_tensor(image))
        assert batch["gray"].shape == (1, 1, *SIZES[name][::-1])


def test_photos_that_are_too_small_are_left_out_unless_they_may_be_enlarged(photos):
    without, with_them = photos(), photos(enlarge=True)
    assert without.names == [name for name in sorted(SIZES) if name != "c/d.png"]
    assert (without.num_too_small, with_them.num_too_small) == (1, 0)
    assert with_them.names == sorted(SIZES)
    assert with_them.rgb(range(6)).shape == (6, 3, 32, 32)


def test_first_takes_the_first_by_file_name_that_are_large_enough(photos, library, folder):
    (folder / "0").mkdir(exist_ok=True)
    (folder / "f.png").rename(folder / "0" / "z.png")  # first by path, last by name, as photos in folders of classes
    try:
        assert photos(first=5).names == ["a.png", "b.png", "c/e.png", "g.png", "0/z.png"]
        split = library(validation_share=0.5)
        held_out = PhotoSet(split, Protocol(image_size=20, gray_rule="luma601", first=2), {}, [split.split])
        assert held_out.indices == list(split.splits["val"][:2])  # the panel of validation in training
    finally:
        (folder / "0" / "z.png").rename(folder / "f.png")
    assert photos(first=3).names == ["a.png", "b.png", "c/e.png"]
    assert photos(first=3, enlarge=True).names == ["a.png", "b.png", "c/d.png"]
    assert photos(first=100, enlarge=True).names == sorted(SIZES)


def test_a_size_that_no_photo_has_is_refused(photos):
    with pytest.raises(ValueError, match=r"none of 6 photos has 64 px; ask for a smaller protocol\.image_size"):
        photos(image_size=64)


def test_val_takes_the_photos_that_are_never_trained_on_and_all_takes_all(library):
    split = library(validation_share=0.5)
    protocol = {"image_size": 20, "gray_rule": "luma601"}
    val, everything = (
        PhotoSet(split, Protocol(photos=choice, **protocol), {}, [split.split]) for choice in ("val", "all")
    )
    assert val.indices == list(split.splits["val"])
    assert len(val) == 3
    assert not set(val.indices) & set(split.splits["train"])
    assert everything.names == sorted(SIZES)


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


def test_batches_hold_all_photos_in_order_with_their_gray_and_position(photos):
    for rule in ("luma601", "lightness"):
        made = photos(gray_rule=rule)
        batches = list(made.loader())
        rgb = torch.cat([batch["rgb"] for batch in batches])
        assert torch.equal(rgb, made.rgb(range(5)))
        assert torch.equal(torch.cat([batch["position"] for batch in batches]), torch.arange(5))
        torch.testing.assert_close(torch.cat([batch["gray"] for batch in batches]), rgb_to_gray(rgb, rule))


def test_batches_of_large_pictures_are_small(photos):
    sizes = [len(batch["rgb"]) for batch in photos(image_size=1024, enlarge=True).loader()]
    assert sizes == [2, 2, 2]  # 2^21 pixels


def test_the_hash_of_the_photos_is_that_of_their_content_in_order(folder, photos):
    def content(name):
        with Image.open(folder / name) as image:
            return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()

    made = photos(first=2)
    assert made.sha256 == hashlib.sha256((content("a.png") + content("b.png")).encode()).hexdigest()
    assert photos(first=3).sha256 != made.sha256


def paler(rgb, factor=0.5, brighter=0.1):
    """Less chroma, more light."""
    gray = rgb_to_gray(rgb)
    return gray + factor * (rgb - gray) + brighter


def lab(rgb):
    return rgb2lab(rgb.movedim(1, -1).double().numpy())


def test_pictures_of_the_generator_are_measured_as_they_come(pictures):
    picture = paler(pictures)
    assert Protocol().finish(picture, pictures) is picture


def test_lab_fusion_takes_lightness_of_the_photo_and_a_and_b_of_the_picture(pictures):
    picture = paler(pictures)
    fused = Protocol(recombination="lab").finish(picture, pictures)
    inside = ((fused > 0.001) & (fused < 0.999)).all(dim=1).numpy()
    assert inside.mean() > 0.9
    np.testing.assert_allclose(lab(fused)[..., 0][inside], lab(pictures)[..., 0][inside], atol=0.02)  # of 0..100
    np.testing.assert_allclose(lab(fused)[..., 1:][inside], lab(picture)[..., 1:][inside], atol=0.05)


def test_yuv_fusion_is_deoldifys_8_bit_merge(pictures):
    picture = paler(pictures)
    fused = Protocol(recombination="yuv").finish(picture, pictures)
    levels = [(255 * image).round().byte().movedim(1, -1).numpy() for image in (pictures, picture)]
    for got, photo, other in zip(fused, *levels, strict=True):
        expected = torch.from_numpy(merge_yuv(photo, other)).permute(2, 0, 1).float() / 255
        torch.testing.assert_close(got, expected)
    assert (rgb_to_gray(fused) - rgb_to_gray(pictures)).abs().max() < 2 / 255


def test_lab_fusion_clips_what_leaves_the_gamut():
    blue, white = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    blue[:, 2] = 1
    fused = Protocol(recombination="lab").finish(blue, white)
    assert fused.min() >= 0
    assert fused.max() == 1
    assert fused[0, :, 0, 0].tolist() != [1, 1, 1]


def test_jpeg_is_that_of_pil_at_quality_95_and_costs_chroma(pictures):
    saved = Protocol(file_format="jpeg").finish(pictures, pictures)
    for picture, got in zip(pictures, saved, strict=True):
        buffer = io.BytesIO()
        levels = np.rint(255 * picture.permute(1, 2, 0).numpy()).astype(np.uint8)
        Image.fromarray(levels).save(buffer, "JPEG", quality=95)
        assert torch.equal(got, as_tensor(Image.open(buffer)))
    assert 0.5 / 255 < (saved - pictures).abs().mean() < 4 / 255


def test_fusion_comes_before_saving(pictures):
    picture = paler(pictures)
    fused = Protocol(recombination="lab").finish(picture, pictures)
    both = Protocol(recombination="lab", file_format="jpeg").finish(picture, pictures)
    assert torch.equal(both, Protocol(file_format="jpeg").finish(fused, pictures))


class Tint(nn.Module):
    """Adds the same chroma to every gray; keeps the sizes it has seen."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, gray):
        self.seen.append(tuple(gray.shape[-2:]))
        chroma = torch.tensor([-0.05, 0.1]).view(1, 2, 1, 1).expand(len(gray), 2, *gray.shape[2:])
        return chroma_to_rgb(gray, chroma)


@pytest.mark.parametrize("rule", ["luma601", "lightness"])
def test_a_smaller_network_size_gives_its_chroma_to_the_gray_of_the_picture(rule, pictures):
    gray, generator = rgb_to_gray(pictures, rule), Tint()
    colorized = Protocol(network_size=16, gray_rule=rule).colorize(generator, gray)
    assert generator.seen == [(16, 16)]
    torch.testing.assert_close(rgb_to_gray(colorized, rule), gray, rtol=0, atol=1e-3 if rule == "lightness" else 1e-6)
    if rule == "luma601":  # the chroma is the same everywhere, so its resize changes nothing
        torch.testing.assert_close(colorized, Tint()(gray), rtol=0, atol=1e-5)


def test_without_a_network_size_the_generator_sees_the_picture_itself(pictures):
    gray, generator = rgb_to_gray(pictures), Tint()
    assert torch.equal(Protocol().colorize(generator, gray), generator(gray))
    assert generator.seen[0] == (32, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"photos": "train"}, r"photos='train' is unknown; allowed: val, all \(protocol\.photos\)"),
        ({"geometry": "crop"}, r"geometry='crop' is unknown; allowed: center_square, stretch, native"),
        ({"resample": "nearest"}, r"resample='nearest' is unknown; allowed: bilinear, bicubic, lanczos"),
        ({"gray_rule": "mean"}, r"gray_rule='mean' is unknown; allowed: null, luma601, lightness"),
        ({"recombination": "hsv"}, r"recombination='hsv' is unknown; allowed: generator, lab, yuv"),
        ({"file_format": "webp"}, r"file_format='webp' is unknown; allowed: png, jpeg \(protocol\.file_format\)"),
        ({"first": 0}, r"first must be at least 1 or null, got 0 \(protocol\.first\)"),
        ({"image_size": -8}, r"image_size must be at least 1 or null, got -8"),
        ({"network_size": 0}, r"network_size must be at least 1 or null, got 0"),
    ],
)
def test_wrong_choices_are_refused_with_those_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**options)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 64},
        {"geometry": "stretch"},
        {"resample": "bicubic"},
        {"network_size": 16},
        {"gray_rule": "lightness"},
        {"recombination": "lab"},
        {"file_format": "jpeg"},
    ],
    ids=str,
)
def test_whatever_changes_pictures_is_part_of_the_record(change):
    assert Protocol(**change).describe() != Protocol().describe()


def test_the_record_of_native_photos_names_no_size_and_no_filter():
    described = Protocol(geometry="native", image_size=64).describe()
    assert described == Protocol(geometry="native", image_size=32, resample="lanczos").describe()
    assert not {"image_size", "resample"} & set(described)


def test_what_a_protocol_leaves_open_comes_from_the_checkpoints():
    headers = [{"image_size": 64, "gray_rule": "luma601"}, {"image_size": 96, "gray_rule": "luma601"}]
    resolved = resolve_protocol(Protocol(), headers)
    assert (resolved.image_size, resolved.gray_rule) == (96, "luma601")
    fixed = resolve_protocol(Protocol(image_size=32, gray_rule="lightness"), headers)
    assert (fixed.image_size, fixed.gray_rule) == (32, "lightness")


def test_checkpoints_of_two_gray_rules_share_no_table_unless_one_rule_is_set():
    headers = [{"image_size": 64, "gray_rule": rule} for rule in ("luma601", "lightness")]
    with pytest.raises(ValueError, match=r"differ in gray_rule \(lightness, luma601\) and cannot share a table"):
        resolve_protocol(Protocol(), headers)
    assert resolve_protocol(Protocol(gray_rule="luma601"), headers).gray_rule == "luma601"
