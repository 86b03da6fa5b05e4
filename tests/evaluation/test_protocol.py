"""How photos and clips are prepared, and how a generator's answer becomes the picture that is measured."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import nn

from colorgan.color import chroma_to_rgb, recombine, rgb_to_gray
from colorgan.colorize.deoldify import merge_yuv
from colorgan.evaluation.protocol import ClipProtocol, Protocol


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


def test_jpeg_is_that_of_pil_at_quality_95_and_costs_chroma(pictures, as_tensor):
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

    def __init__(self, gray_rule="luma601"):
        super().__init__()
        self.seen, self.gray_rule = [], gray_rule

    def forward(self, gray):
        self.seen.append(tuple(gray.shape[-2:]))
        chroma = torch.tensor([-0.05, 0.1]).view(1, 2, 1, 1).expand(len(gray), 2, *gray.shape[2:])
        return chroma_to_rgb(gray, chroma)


@pytest.mark.parametrize("rule", ["luma601", "lightness"])
def test_a_smaller_network_size_gives_its_chroma_to_the_gray_of_the_picture(rule, pictures):
    gray, generator = rgb_to_gray(pictures, rule), Tint(rule)
    colorized = Protocol(network_size=16).colorize(generator, gray)
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
    resolved = Protocol().resolved(headers)
    assert (resolved.image_size, resolved.gray_rule) == (96, "luma601")
    fixed = Protocol(image_size=32, gray_rule="lightness").resolved(headers)
    assert (fixed.image_size, fixed.gray_rule) == (32, "lightness")


def test_checkpoints_of_two_gray_rules_share_no_table_unless_one_rule_is_set():
    headers = [{"image_size": 64, "gray_rule": rule} for rule in ("luma601", "lightness")]
    with pytest.raises(ValueError, match=r"differ in gray_rule \(lightness, luma601\) and cannot share a table"):
        Protocol().resolved(headers)
    assert Protocol(gray_rule="luma601").resolved(headers).gray_rule == "luma601"


def test_clips_leave_twice_the_training_size_to_the_network():
    headers = [{"image_size": size, "gray_rule": "luma601"} for size in (64, 96)]
    resolved = ClipProtocol().resolved(headers)
    assert (resolved.network_size, resolved.gray_rule, resolved.image_size) == (192, "luma601", 256)
    assert ClipProtocol(network_size=32).resolved(headers).network_size == 32
    with pytest.raises(ValueError, match=r"cannot share a table; .* \(clip_protocol\.gray_rule\)"):
        ClipProtocol().resolved([*headers, {"image_size": 64, "gray_rule": "lightness"}])


@pytest.mark.parametrize(("image_size", "shape"), [(20, (20, 30, 3)), (256, (40, 60, 3)), (None, (40, 60, 3))])
def test_frames_keep_their_aspect_and_are_not_enlarged(image_size, shape):
    assert ClipProtocol(image_size=image_size).view(np.zeros((40, 60, 3), np.uint8)).shape == shape


def test_frames_are_colorized_at_the_network_size_and_keep_their_gray(pictures):
    gray, generator = rgb_to_gray(pictures), Tint()
    colorized = ClipProtocol(network_size=16).colorize(generator, gray)
    assert generator.seen == [(16, 16)]
    torch.testing.assert_close(rgb_to_gray(colorized), gray, rtol=0, atol=1e-6)


def test_smoothing_is_part_of_the_record_and_moves_colours(pictures):
    gray = rgb_to_gray(pictures)
    plain, smooth = ClipProtocol(network_size=16), ClipProtocol(network_size=16, smooth=0.9)
    assert plain.describe() != smooth.describe()
    assert ClipProtocol(flow="raft").describe() != ClipProtocol().describe()

    class Noise(Tint):
        def forward(self, gray):
            return (super().forward(gray) + 0.1 * torch.rand(len(gray), 3, 1, 1)).clamp(0, 1)

    def spread(protocol):
        torch.manual_seed(0)
        same = gray[:1].expand(6, -1, -1, -1)
        return protocol.colorize(Noise(), same).mean(dim=(2, 3)).std(dim=0).sum()

    assert spread(smooth) < spread(plain) / 2


class Obedient(Tint):
    """A network that takes hints, flickers and does as it is told."""

    takes_hints = True

    def forward(self, gray, hints=None):
        own = (super().forward(gray) + 0.1 * torch.rand(len(gray), 3, 1, 1)).clamp(0, 1)
        if hints is not None:
            own = own + hints[:, 2:] * (recombine(gray, chroma_to_rgb(gray, hints[:, :2])) - own)
        return recombine(gray, own)


def test_steady_clips_after_a_true_frame_are_near_the_truth_and_keep_their_gray(pictures):
    rgb = pictures[:1].expand(7, -1, -1, -1)
    gray = rgb_to_gray(rgb)

    def error(**keys):
        torch.manual_seed(0)
        made = ClipProtocol(network_size=32, **keys).colorize(Obedient(), gray, rgb)
        torch.testing.assert_close(rgb_to_gray(made), gray, rtol=0, atol=1e-5)
        return float((made - rgb).abs().mean())

    assert error(steady="both", references=1) < 0.3 * error() < error(steady="both")
    assert error(references=1) < 0.3 * error()


def test_what_is_told_is_part_of_the_record_where_something_is():
    assert "steady" not in ClipProtocol().describe()
    assert ClipProtocol(steady="both", references=3).describe()["references"] == 3
    with pytest.raises(ValueError, match=r"take hints, and one .* clip_protocol\.smooth"):
        ClipProtocol(steady="both").resolved(
            [{"image_size": 64, "gray_rule": "luma601", "networks": {"generator": {}}}]
        )
    with pytest.raises(ValueError, match=r"clip_protocol\.smooth"):
        ClipProtocol(steady="both", smooth=0.5)
    with pytest.raises(ValueError, match=r"allowed: null, forward, both \(clip_protocol\.steady\)"):
        ClipProtocol(steady=True)


@pytest.mark.parametrize(
    ("protocol", "label"),
    [
        (Protocol(image_size=64), "64 px"),
        (Protocol(image_size=64, geometry="native"), "native size"),
        (ClipProtocol(), "256 px"),
        (ClipProtocol(image_size=None), "native size"),
    ],
)
def test_titles_say_the_size(protocol, label):
    assert protocol.size_label == label
