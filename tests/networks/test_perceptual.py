"""LPIPS networks: their backbones come from files, their heads from the package."""

import pytest
import torch
from backbones import ALEX_LAYERS

from colorgan.networks.perceptual import lpips_network


def test_lpips_takes_its_backbone_from_the_file(alex_file):
    alex = lpips_network("alex", str(alex_file))
    state, own = torch.load(alex_file, weights_only=True), alex.net.state_dict()
    for layer, place in ALEX_LAYERS.items():
        for kind in ("weight", "bias"):
            assert torch.equal(own[f"{place}.{kind}"], state[f"features.{layer}.{kind}"])
    assert len(own) == 2 * len(ALEX_LAYERS)


def test_lpips_refuses_the_file_of_another_network(tmp_path, alex_file):
    with pytest.raises(ValueError, match="is not torchvision's vgg: it lacks"):
        lpips_network("vgg", str(alex_file))
    state = torch.load(alex_file, weights_only=True)
    torch.save({**state, "features.3.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"slice2\.3\.weight is \(1,\), expected \(192, 64, 5, 5\)"):
        lpips_network("alex", str(tmp_path / "other.pth"))
    with pytest.raises(FileNotFoundError, match=r"no weights file .*missing\.pth"):
        lpips_network("alex", str(tmp_path / "missing.pth"))


def test_lpips_is_frozen_and_its_heads_come_with_the_package():
    first, second = lpips_network("alex", None), lpips_network("alex", None)
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
    assert torch.equal(first.lin0.model[1].weight, second.lin0.model[1].weight)
    assert not torch.equal(first.net.slice1[0].weight, second.net.slice1[0].weight)  # random, as asked for
