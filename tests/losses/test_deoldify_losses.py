"""DeOldify's FeatureLoss and adversarial losses, on the real VGG16-BN with random weights in torchvision's layout."""

import math

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torchvision import models

from colorgan.losses import BCEDiscriminatorLoss, BCEGeneratorLoss, NormalizedL1Loss

MEAN, STD = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return models.vgg16_bn(weights=None).eval()


@pytest.fixture
def feature(compose, vgg, tmp_path):
    """The loss of the yaml, its weights from a file as torchvision publishes them."""
    torch.save(vgg.state_dict(), tmp_path / "vgg16_bn.pth")
    config = compose("loss/feature=vgg16_bn", f"loss.feature.network.weights={tmp_path}/vgg16_bn.pth")
    return instantiate(config.loss.feature, _convert_="all")


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


def test_random_normal_images_are_2_over_root_pi_apart_in_normalized_space():
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 3, 128, 128)
    assert abs(NormalizedL1Loss()(a * STD + MEAN, b * STD + MEAN) - 2 / math.sqrt(math.pi)) < 0.01


def test_adversarial_losses_are_ln_2_at_logits_0():
    logits = torch.zeros(2, 1, 9, 9)
    assert BCEDiscriminatorLoss()(logits, logits).item() == pytest.approx(0.693147, abs=1e-6)
    assert BCEGeneratorLoss()(logits).item() == pytest.approx(0.693147, abs=1e-6)


def test_the_critic_s_loss_is_half_the_sum_of_both_cross_entropies():
    real, fake = torch.randn(3, 25), torch.randn(3, 25)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    expected = (cross_entropy(real, torch.ones(3, 25)) + cross_entropy(fake, torch.zeros(3, 25))) / 2
    assert torch.allclose(BCEDiscriminatorLoss()(real, fake), expected)
