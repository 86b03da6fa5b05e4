import math

import pytest
import torch
from torch import nn
from torchvision import models

from colorgan.losses import (
    BCEDiscriminatorLoss,
    BCEGeneratorLoss,
    CharbonnierLoss,
    ColorfulnessLoss,
    FeatureLoss,
    HingeDiscriminatorLoss,
    HingeGeneratorLoss,
    L1Loss,
    LeastSquaresDiscriminatorLoss,
    LeastSquaresGeneratorLoss,
    LPIPSLoss,
)
from colorgan.networks import TimmPyramid
from colorgan.networks.encoders import Pyramid

ALEX_LAYERS = {"0": "slice1.0", "3": "slice2.3", "6": "slice3.6", "8": "slice4.8", "10": "slice5.10"}


class TinyPyramid(Pyramid):
    """Two convolutions with a batch norm and dropout, so that modes matter."""

    def __init__(self):
        super().__init__((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.channels, self.strides = [4, 5], [2, 4]
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.second = nn.Conv2d(4, 5, 3, 2, 1)

    def features(self, normalized_rgb):
        first = self.first(normalized_rgb)
        return [first, self.second(first)]


def pictures(seed, size=16, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def backbone(name, seed=0):
    torch.manual_seed(seed)
    return models.get_model(name, weights=None)


@pytest.fixture(scope="module")
def alex_file(tmp_path_factory):
    """Torchvision's AlexNet with random weights, without its large classifier."""
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    state = {k: v for k, v in backbone("alexnet").state_dict().items() if k.startswith("features.")}
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def alex(alex_file):
    return LPIPSLoss("alex", weights=str(alex_file))


@pytest.mark.parametrize(
    "loss", [L1Loss(), CharbonnierLoss(), FeatureLoss(TinyPyramid(), [1.0, 2.0])], ids=["l1", "charbonnier", "feature"]
)
def test_losses_are_zero_for_equal_pictures_and_positive_for_others(loss):
    a, b = pictures(0), pictures(1)
    assert loss(a, a.clone()).item() == pytest.approx(0, abs=1e-7)
    assert loss(a, b).item() > 1e-3
    assert loss(a, b).shape == ()


def test_l1_is_the_mean_difference():
    assert L1Loss()(torch.full((2, 3, 4, 4), 0.75), torch.full((2, 3, 4, 4), 0.5)).item() == 0.25


def test_charbonnier_is_its_formula_and_close_to_l1_far_from_zero():
    zeros = torch.zeros(1, 3, 4, 4)
    assert CharbonnierLoss(0.3)(zeros + 0.4, zeros).item() == pytest.approx(0.5 - 0.3, abs=1e-6)
    assert CharbonnierLoss()(zeros + 0.5, zeros).item() == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize(
    ("loss", "logits", "expected"),
    [
        (BCEDiscriminatorLoss(), (0, 0), math.log(2)),
        (BCEDiscriminatorLoss(), (2, -1), (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2),
        (BCEDiscriminatorLoss(), (-200, 200), 200),  # stays finite and linear where sigmoid saturates
        (BCEGeneratorLoss(), (0,), math.log(2)),
        (BCEGeneratorLoss(), (3,), math.log(1 + math.exp(-3))),
        (HingeDiscriminatorLoss(), (0, 0), 1),
        (HingeDiscriminatorLoss(), (2, -3), 0),
        (HingeDiscriminatorLoss(), (-1, 0.5), (2 + 1.5) / 2),
        (HingeGeneratorLoss(), (0.7,), -0.7),
        (LeastSquaresDiscriminatorLoss(), (0.5, 0.5), 0.25),
        (LeastSquaresDiscriminatorLoss(), (1, 0), 0),
        (LeastSquaresDiscriminatorLoss(), (3, -1), (4 + 1) / 2),
        (LeastSquaresGeneratorLoss(), (-1,), 4),
    ],
)
def test_adversarial_losses_at_constant_logits(loss, logits, expected):
    maps = [torch.full((2, 1, 3, 5), float(value)) for value in logits]
    assert loss(*maps).item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("loss", [BCEDiscriminatorLoss(), HingeDiscriminatorLoss(), LeastSquaresDiscriminatorLoss()])
def test_discriminator_wants_real_up_and_fake_down(loss):
    real, fake = (torch.zeros(1, 1, 2, 2, requires_grad=True) for _ in range(2))
    (loss(real, fake + 0.5) if isinstance(loss, LeastSquaresDiscriminatorLoss) else loss(real, fake)).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()


@pytest.mark.parametrize("loss", [BCEGeneratorLoss(), HingeGeneratorLoss(), LeastSquaresGeneratorLoss()])
def test_generator_wants_its_fakes_up(loss):
    fake = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss(fake).backward()
    assert (fake.grad < 0).all()


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


def test_lpips_takes_its_backbone_from_the_file(alex, alex_file):
    state, own = torch.load(alex_file, weights_only=True), alex.lpips.net.state_dict()
    for layer, place in ALEX_LAYERS.items():
        for kind in ("weight", "bias"):
            assert torch.equal(own[f"{place}.{kind}"], state[f"features.{layer}.{kind}"])
    assert len(own) == 2 * len(ALEX_LAYERS)


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


def test_lpips_refuses_the_file_of_another_network(tmp_path, alex_file):
    with pytest.raises(ValueError, match="is not torchvision's vgg: it lacks"):
        LPIPSLoss("vgg", weights=str(alex_file))
    state = torch.load(alex_file, weights_only=True)
    torch.save({**state, "features.3.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"slice2\.3\.weight is \(1,\), expected \(192, 64, 5, 5\)"):
        LPIPSLoss("alex", weights=str(tmp_path / "other.pth"))
    with pytest.raises(FileNotFoundError, match=r"no weights file .*missing\.pth"):
        LPIPSLoss("alex", weights=str(tmp_path / "missing.pth"))


def test_lpips_names_the_networks_it_has():
    with pytest.raises(ValueError, match=r"network='resnet' is unknown; allowed: alex, vgg \(loss\.lpips"):
        LPIPSLoss("resnet", weights="hub")


def test_colorfulness_loss_falls_as_saturation_grows():
    rgb = pictures(0)
    gray = rgb.mean(dim=1, keepdim=True)
    values = [ColorfulnessLoss()(gray + s * (rgb - gray), rgb).item() for s in (0, 0.25, 0.5, 1)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values[0] - values[3] > 0.3


def test_colorfulness_loss_is_one_hundredth_of_the_metric():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    # flat red: M3 = 0.3 sqrt(255^2 + 127.5^2)
    assert ColorfulnessLoss()(red, red).item() == pytest.approx(1 - 0.003 * math.hypot(255, 127.5), abs=1e-6)
