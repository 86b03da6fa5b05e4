import pytest
import torch
import torch.nn.functional as F
from torch import nn

from colorgan.networks.layers import PixelShuffleUpsample, SelfAttention, conv_block, icnr_, normalized


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_icnr_makes_the_four_filters_of_an_output_channel_equal():
    weight = icnr_(torch.empty(12, 5, 1, 1))
    groups = weight.view(3, 4, 5)
    assert torch.equal(groups, groups[:, :1].expand_as(groups))
    assert not torch.equal(groups[0], groups[1])


@pytest.mark.parametrize("norm", ["spectral", "weight", "none"])
def test_upsampling_starts_as_nearest_neighbour(norm):
    layer = PixelShuffleUpsample(6, 3, norm=norm, blur=False).eval()
    features = torch.randn(2, 6, 4, 5)
    small = F.relu(layer.conv(features))[:, ::4]
    torch.testing.assert_close(layer(features), F.interpolate(small, scale_factor=2, mode="nearest"))


def test_blur_averages_two_by_two_pixels():
    sharp, blurred = (PixelShuffleUpsample(6, 3, norm="none", blur=blur) for blur in (False, True))
    blurred.load_state_dict(sharp.state_dict())
    features = torch.randn(1, 6, 4, 5)
    upsampled, result = sharp(features), blurred(features)
    assert result.shape == (1, 3, 8, 10)
    window = upsampled[..., 2:4, 5:7].mean(dim=(2, 3))
    torch.testing.assert_close(result[..., 3, 6], window)
    torch.testing.assert_close(result[..., 0, 0], upsampled[..., 0, 0])  # the border is repeated


def test_attention_starts_as_the_identity():
    features = torch.randn(2, 16, 5, 3)
    assert torch.equal(SelfAttention(16)(features), features)


def test_attention_is_the_published_formula():
    layer = SelfAttention(16).eval()
    nn.init.constant_(layer.gamma, 0.7)
    features = torch.randn(2, 16, 5, 3)
    flat = features.flatten(2)
    weights = (layer.query(flat).transpose(1, 2) @ layer.key(flat)).softmax(dim=2)  # (N, position, attended)
    expected = 0.7 * (layer.value(flat) @ weights.transpose(1, 2)).view_as(features) + features
    torch.testing.assert_close(layer(features), expected, atol=1e-5, rtol=1e-4)


def test_attention_sees_the_whole_map():
    layer = SelfAttention(8).eval()
    nn.init.ones_(layer.gamma)
    features = torch.randn(1, 8, 4, 4, requires_grad=True)
    layer(features)[..., 0, 0].sum().backward()
    assert (features.grad.abs().sum(dim=1) > 0).all()


def test_attention_needs_eight_channels():
    with pytest.raises(ValueError, match="at least 8 channels, got 7"):
        SelfAttention(7)


def test_spectral_norm_brings_the_largest_singular_value_to_one():
    conv = nn.Conv2d(8, 24, 3)
    nn.init.normal_(conv.weight, std=3)
    layer = normalized(conv, "spectral").train()
    with torch.no_grad():
        for _ in range(30):  # one power iteration each
            weight = layer.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-2)


def test_weight_norm_starts_with_the_weights_as_they_are():
    conv = nn.Conv2d(4, 6, 3)
    weight = conv.weight.detach().clone()
    layer = normalized(conv, "weight")
    torch.testing.assert_close(layer.weight, weight)
    assert "parametrizations.weight.original0" in layer.state_dict()


def test_norm_none_leaves_the_layer_alone():
    conv = nn.Conv2d(4, 6, 3)
    assert normalized(conv, "none") is conv
    assert set(conv.state_dict()) == {"weight", "bias"}


def test_unknown_norm_names_the_config_key():
    with pytest.raises(ValueError, match=r"norm='batch'.*spectral, weight, none.*generator\.norm, discriminator\.norm"):
        normalized(nn.Conv2d(1, 1, 1), "batch")


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_conv_block_keeps_the_size_and_normalizes_behind_the_relu(kernel_size):
    block = conv_block(4, 6, norm="none", kernel_size=kernel_size).train()
    features = block(torch.randn(8, 4, 7, 9))
    assert features.shape == (8, 6, 7, 9)
    torch.testing.assert_close(features.mean(dim=(0, 2, 3)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.var(dim=(0, 2, 3), correction=0), torch.ones(6), atol=1e-3, rtol=0)
