"""Feature losses: sums of map distances, frozen networks, weights from files."""

import pytest
import torch
from backbones import ALEX_LAYERS, TinyPyramid
from torch import nn
from torchvision import models

from colorgan.config import build
from colorgan.losses import (
    FeatureLoss,
    FeatureMatchingLoss,
    LPIPSLoss,
    NormalizedL1Loss,
)
from colorgan.networks import TimmPyramid

MEAN, STD = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


def pictures(seed, size=16, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def alex(alex_file):
    return LPIPSLoss("alex", weights=str(alex_file))


def test_feature_loss_is_zero_for_equal_pictures_and_positive_for_others():
    loss = FeatureLoss(TinyPyramid(), [1.0, 2.0])
    a, b = pictures(0), pictures(1)
    assert loss(a, a.clone()).item() == pytest.approx(0, abs=1e-7)
    assert loss(a, b).item() > 1e-3
    assert loss(a, b).shape == ()


def test_feature_loss_is_the_weighted_sum_of_map_distances():
    network = TinyPyramid().eval()
    a, b = pictures(0), pictures(1)
    with torch.no_grad():
        maps = list(zip(network(a), network(b), strict=True))
        expected = sum(w * (x - y).abs().mean() for w, (x, y) in zip((20, 0.5), maps, strict=True))
    torch.testing.assert_close(FeatureLoss(network, [20, 0.5])(a, b), expected, rtol=1e-5, atol=1e-6)


def test_feature_loss_is_symmetric():
    loss, a, b = FeatureLoss(TinyPyramid(), [1.0, 2.0]), pictures(0), pictures(1)
    torch.testing.assert_close(loss(a, b), loss(b, a))


def test_feature_loss_of_real_features_prefers_the_right_colours():
    loss = FeatureLoss(TimmPyramid("tf_efficientnet_lite0", weights="package", layers=[1, 2]), [1.0, 1.0])
    rgb = pictures(0, size=32)
    assert 0 < loss((rgb + 0.02).clamp(0, 1), rgb) < loss(rgb.flip(1), rgb)


@pytest.mark.parametrize("make", [lambda: FeatureLoss(TinyPyramid(), [1.0, 2.0]), None], ids=["feature", "lpips"])
def test_feature_networks_are_frozen_and_stay_in_eval_mode(make, alex):
    loss = make() if make else alex
    loss.train()
    assert not any(module.training for module in loss.modules())
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    before = {key: tensor.clone() for key, tensor in loss.state_dict().items()}
    fake, real = pictures(0, size=64).requires_grad_(), pictures(1, size=64).requires_grad_()
    loss(fake, real).backward()
    assert fake.grad.abs().sum() > 0
    assert all(torch.equal(tensor, before[key]) for key, tensor in loss.state_dict().items())


def test_feature_loss_gives_the_photo_no_gradient():
    fake, real = pictures(0).requires_grad_(), pictures(1).requires_grad_()
    FeatureLoss(TinyPyramid(), [1.0, 2.0])(fake, real).backward()
    assert real.grad is None


def test_feature_loss_needs_a_weight_for_each_map():
    with pytest.raises(ValueError, match=r"weights needs 2 numbers, got 3 \(loss\.feature\.weights\)"):
        FeatureLoss(TinyPyramid(), [1, 2, 3])


def test_lpips_of_equal_pictures_is_zero(alex):
    a, b = pictures(0, size=64), pictures(1, size=64)
    assert alex(a, a).item() == 0
    assert alex(a, b).item() > 0


def test_lpips_is_the_authors_package_on_minus_one_to_one(alex, alex_file):
    import lpips

    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()  # its linear heads come with it
    state = torch.load(alex_file, weights_only=True)
    for layer, place in ALEX_LAYERS.items():
        module = reference.net.get_submodule(place)
        module.weight, module.bias = (nn.Parameter(state[f"features.{layer}.{kind}"]) for kind in ("weight", "bias"))
    a, b = pictures(0, size=64), pictures(1, size=64)
    torch.testing.assert_close(alex(a, b), reference(b, a, normalize=True).mean())
    assert sum(p.abs().sum() for p in alex.lpips.lin0.parameters()) > 0


def test_lpips_names_the_networks_it_has():
    with pytest.raises(ValueError, match=r"network='resnet' is unknown; allowed: alex, vgg \(loss\.lpips"):
        LPIPSLoss("resnet", weights="hub")


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return models.vgg16_bn(weights=None).eval()


@pytest.fixture
def feature(compose, vgg, tmp_path):
    """The loss of the yaml, its weights from a file as torchvision publishes them."""
    torch.save(vgg.state_dict(), tmp_path / "vgg16_bn.pth")
    config = compose("loss/feature=vgg16_bn", f"loss.feature.network.weights={tmp_path}/vgg16_bn.pth")
    return build(config.loss.feature)


def test_the_taps_are_the_relus_before_the_last_three_poolings(vgg):
    assert all(isinstance(vgg.features[i], nn.ReLU) for i in (22, 32, 42))
    assert all(isinstance(vgg.features[i + 1], nn.MaxPool2d) for i in (22, 32, 42))


def test_feature_loss_is_20_70_10_times_the_taps_beyond_the_gamut_too(vgg, feature):
    torch.manual_seed(1)
    fake, rgb = 1.5 * torch.rand(2, 3, 64, 64) - 0.25, torch.rand(2, 3, 64, 64)
    assert sum(p.requires_grad for p in feature.parameters()) == 0
    expected, a, b = torch.zeros(()), (fake - MEAN) / STD, (rgb - MEAN) / STD
    pixel = (a - b).abs().mean()
    with torch.no_grad():
        for index, layer in enumerate(vgg.features):
            a, b = layer(a), layer(b)
            weight = {22: 20, 32: 70, 42: 10}.get(index, 0)
            expected = expected + weight * (a - b).abs().mean()
        assert torch.allclose(feature(fake, rgb), expected, rtol=1e-4)
        assert torch.allclose(NormalizedL1Loss()(fake, rgb), pixel, rtol=1e-6)
        assert feature(rgb, rgb) == NormalizedL1Loss()(rgb, rgb) == 0
        assert torch.allclose(feature(fake, rgb), feature(rgb, fake), rtol=1e-5)


def test_vgg_has_14_723_136_frozen_parameters(vgg):
    assert sum(p.numel() for p in vgg.features.parameters()) == 14_723_136


def test_feature_matching_is_the_mean_over_maps_of_their_mean_distance():
    maps = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 8, 2, 2)]
    others = [torch.full_like(maps[0], 0.5), torch.full_like(maps[1], -2.0)]
    assert FeatureMatchingLoss()(maps, others).item() == pytest.approx((0.5 + 2) / 2)
    assert FeatureMatchingLoss()(maps, maps).item() == 0
