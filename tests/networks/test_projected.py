"""The discriminator over a frozen network: what is frozen stays and is saved; scales weigh alike."""

import pytest
import torch
from torch import nn

from colorgan.checkpoint import build_network, load_network, save_checkpoint
from colorgan.networks import MultiScalePatchDiscriminator, ProjectedDiscriminator, TimmPyramid, TransformerPyramid
from colorgan.networks.spectral import renew_spectral_norms, spectral_norms

CONFIG = {
    "_target_": "colorgan.networks.ProjectedDiscriminator",
    "backbone": {
        "_target_": "colorgan.networks.TimmPyramid",
        "name": "tf_efficientnet_lite0",
        "weights": "package",
        "layers": [0, 1, 2, 3],
    },
    "width": 8,
}


def pictures(*size):
    return torch.rand(*size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def projected():
    torch.manual_seed(0)
    backbone = TimmPyramid("tf_efficientnet_lite0", weights="package", layers=[0, 1, 2, 3])
    return ProjectedDiscriminator(backbone=backbone, width=8)


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (1, 1)])
def test_every_head_gives_a_logit_for_each_sixteen_pixels(projected, size):
    logits = projected.eval()(pictures(2, 3, *size), pictures(2, 1, *size))
    rows, columns = (-(-side // 16) for side in size)
    assert logits.shape == (2, 1, 4 * rows, columns)


def test_the_frozen_part_is_no_parameter_whatever_a_stage_asks_for(projected):
    projected.train().requires_grad_(True)
    names = {name.split(".")[0] for name, _ in projected.named_parameters()}
    assert names == {"stem", "heads"}
    assert not any(module.training for module in projected.backbone.modules())
    assert {name.split(".")[0] for name, _, _ in spectral_norms(projected)} == names
    before = {name: value.clone() for name, value in projected.backbone.state_dict().items()}
    assert len(before) > 50
    projected(pictures(2, 3, 32, 32), pictures(2, 1, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in projected.parameters())
    assert all(torch.equal(value, before[name]) for name, value in projected.backbone.state_dict().items())
    projected.zero_grad(set_to_none=True)


def test_a_checkpoint_brings_the_frozen_part_and_its_projections_back(projected, tmp_path):
    renew_spectral_norms(projected)
    save_checkpoint(
        tmp_path / "x.safetensors", {"discriminator": projected}, configs={"discriminator": CONFIG}, facts={}
    )
    torch.manual_seed(1)
    rebuilt = build_network(CONFIG)
    load_network(rebuilt, tmp_path / "x.safetensors", "discriminator")
    images = pictures(1, 3, 64, 64), pictures(1, 1, 64, 64)
    assert torch.equal(rebuilt.eval()(*images), projected.eval()(*images))


def test_gradients_reach_the_picture_through_the_frozen_part(projected):
    rgb = pictures(1, 3, 32, 32).requires_grad_(True)
    sum(mixed.sum() for mixed in projected._mixed(rgb)).backward()
    assert rgb.grad.any()


def test_the_gray_is_asked_for_and_strides_must_fit(projected):
    with pytest.raises(ValueError, match="needs the gray picture too"):
        projected(pictures(1, 3, 32, 32))
    backbone = TimmPyramid("tf_efficientnet_lite0", weights=None, layers=[0])
    backbone.strides = [14]
    with pytest.raises(ValueError, match=r"powers of two, finest first, got \[14\] \(discriminator"):
        ProjectedDiscriminator(backbone=backbone)


def test_a_transformer_from_a_file_gives_maps_of_its_patches(tmp_path):
    import timm

    name = "vit_tiny_patch16_224"
    torch.manual_seed(0)
    torch.save(timm.create_model(name).state_dict(), tmp_path / "vit.pth")
    given, again = (TransformerPyramid(name, weights=str(tmp_path / "vit.pth"), layers=[2, 5]) for _ in range(2))
    maps = [network.eval()(pictures(1, 3, 64, 48)) for network in (given, again)]
    assert given.strides == [16, 16]
    assert [m.shape for m in maps[0]] == [(1, 192, 4, 3)] * 2
    assert all(torch.equal(a, b) for a, b in zip(*maps, strict=True))
    critic = ProjectedDiscriminator(backbone=given, width=8)
    assert critic(pictures(1, 3, 64, 48), pictures(1, 1, 64, 48)).shape == (1, 1, 8, 3)
    with pytest.raises(FileNotFoundError, match="no weights file"):
        TransformerPyramid(name, weights=str(tmp_path / "missing.pth"), layers=[2])
    with pytest.raises(ValueError, match=r"cannot make maps of 'vit_of_nobody'.*discriminator\.backbone"):
        TransformerPyramid("vit_of_nobody", weights=None, layers=[2])


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (7, 33)])
def test_all_scales_weigh_the_same_in_a_mean(size):
    torch.manual_seed(0)
    network = MultiScalePatchDiscriminator(num_scales=2, width=8, num_blocks=1, conditional=True).eval()
    rgb, gray = pictures(2, 3, *size), pictures(2, 1, *size)
    logits = network(rgb, gray)
    fine, coarse = logits.chunk(2, dim=2)
    assert fine.shape == coarse.shape == (2, 1, *(2 * -(-side // 8) for side in size))
    if size == (64, 64):
        halves = [nn.functional.avg_pool2d(image, 2) for image in (rgb, gray)]
        assert torch.allclose(coarse.mean(), network.scales[1](*halves).mean(), atol=1e-6)
        assert torch.equal(fine, network.scales[0](rgb, gray))
