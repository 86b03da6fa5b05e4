import itertools
import math

import pytest
import torch

from colorgan.networks import DeOldifyCritic, PatchDiscriminator


def discriminator(**options):
    torch.manual_seed(0)
    return PatchDiscriminator(**{"width": 8, **options}).eval()


def pictures(*size):
    return torch.rand(*size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (33, 70), (7, 33), (1, 1)])
@pytest.mark.parametrize("num_blocks", [1, 3])
def test_logits_are_one_a_patch(size, num_blocks):
    network = discriminator(num_blocks=num_blocks)
    logits = network(pictures(2, 3, *size))
    assert network.stride == 2 ** (num_blocks + 1)
    assert logits.shape == (2, 1, *(math.ceil(side / network.stride) for side in size))


def test_logits_are_not_squashed():
    network = discriminator(norm="none")
    with torch.no_grad():
        network.layers[-1].bias.fill_(7.0)
        logits = network(pictures(1, 3, 32, 32))
    assert logits.min() > 1


def test_patch_sees_only_its_neighbourhood():
    network, rgb = discriminator(num_blocks=1), pictures(1, 3, 64, 64)
    changed = rgb.clone()
    changed[..., 56:] = 0
    with torch.no_grad():
        difference = (network(rgb) - network(changed)).abs()[0, 0]
    assert difference[:, -1].min() > 0
    assert difference[:, :8].max() == 0


def test_unconditional_discriminator_ignores_the_gray():
    network, rgb = discriminator(), pictures(2, 3, 32, 32)
    assert torch.equal(network(rgb), network(rgb, pictures(2, 1, 32, 32)))


def test_conditional_discriminator_looks_at_the_gray():
    network, rgb = discriminator(conditional=True), pictures(2, 3, 32, 32)
    assert not torch.allclose(network(rgb, torch.zeros(2, 1, 32, 32)), network(rgb, torch.ones(2, 1, 32, 32)))


def test_conditional_discriminator_asks_for_the_gray():
    with pytest.raises(ValueError, match=r"needs the gray picture too \(discriminator\.conditional\)"):
        discriminator(conditional=True)(pictures(1, 3, 32, 32))


@pytest.mark.parametrize("options", [{"attention": True}, {"norm": "weight"}, {"norm": "none"}, {"conditional": True}])
def test_every_parameter_learns(options):
    network = discriminator(**options).train()
    if options.get("attention"):
        torch.nn.init.ones_(next(p for name, p in network.named_parameters() if name.endswith("gamma")))
    network(pictures(2, 3, 32, 32), pictures(2, 1, 32, 32)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_dropout_only_acts_in_training():
    network, rgb = discriminator(dropout=0.5), pictures(1, 3, 32, 32)
    assert torch.equal(network(rgb), network(rgb))
    network.train()
    assert not torch.equal(network(rgb), network(rgb))


def test_unknown_norm_names_the_config_key():
    with pytest.raises(ValueError, match=r"norm='batch'.*discriminator\.norm"):
        discriminator(norm="batch")


@pytest.mark.parametrize(
    "network", [lambda: PatchDiscriminator(width=8, conditional=True), lambda: DeOldifyCritic(width=8)]
)
def test_maps_end_in_the_logits(network):
    torch.manual_seed(0)
    network, rgb, gray = network().eval(), pictures(2, 3, 64, 64), pictures(2, 1, 64, 64)
    *maps, logits = network.maps(rgb, gray)
    assert torch.equal(logits, network(rgb, gray))
    assert len(maps) >= 6
    assert all(a.shape[-1] >= b.shape[-1] and a.requires_grad for a, b in itertools.pairwise(maps))
