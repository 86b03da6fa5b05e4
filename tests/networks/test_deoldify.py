"""DeOldify's networks as published: counts, shapes, and the answers of the originals."""

import deoldify_fixture as fixture
import pytest
import torch
from torch import nn

from colorgan.networks import DeOldifyCritic, DeOldifyGenerator, TorchvisionPyramid, deoldify
from colorgan.networks.deoldify import DeOldifyAttention, FilledConv2d, block_sizes
from colorgan.networks.deoldify_weights import build, from_deoldify, network_config, to_deoldify
from colorgan.networks.spectral import spectral_norm


def on_meta(kind, width=None):
    with torch.device("meta"):
        return build(network_config(kind, width=width))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def deep():
    """The Deep generator with the fixture's weights."""
    return from_deoldify(fixture.state_dict("deep")).network


@pytest.fixture(scope="module")
def fresh_deep():
    torch.manual_seed(0)
    return build(network_config("deep"))


def test_deep_answers_as_deoldify_does(deep):
    expected = fixture.outputs("deep")
    with torch.no_grad():
        y, rgb = deep.normalized(expected["gray"]), deep(expected["gray"])
    assert (y[..., ::2, ::2] - expected["y"]).abs().max() < 1e-5  # asked: 1e-4
    assert (rgb[..., ::4, ::4] - expected["rgb"]).abs().max() < 1e-5


def test_the_critic_answers_as_deoldify_does():
    critic = from_deoldify(fixture.state_dict("critic_nf64")).network
    expected = fixture.outputs("critic_nf64")
    with torch.no_grad():
        logits = critic(expected["x"] * critic.std + critic.mean)
    assert logits.shape == (1, 1, 2, 3)
    assert (logits.flatten(1) - expected["y"]).abs().max() < 1e-6  # the logits are about 0.02


@pytest.mark.parametrize(("inputs", "outputs"), [(300, 300), (303, 303), (400, 300), (300, 1200)])
def test_channels_filled_up_for_a_gpu_change_no_result(monkeypatch, inputs, outputs):
    features = torch.rand(1, inputs, 4, 4, dtype=torch.float64, requires_grad=True)
    results = []
    for devices in ((), ("cpu",)):
        monkeypatch.setattr(deoldify, "_FILLED_ON", devices)
        torch.manual_seed(0)
        layer = spectral_norm(FilledConv2d(inputs, outputs, 3, padding=1)).double()
        features.grad = None
        picture = layer(features).relu()
        picture.square().sum().backward()
        assert picture.shape[1] == outputs
        results.append((picture, features.grad, *(parameter.grad for parameter in layer.parameters())))
    for plain, filled in zip(*results, strict=True):
        torch.testing.assert_close(filled, plain, rtol=1e-9, atol=1e-9)


ROWS = {  # deoldify.md, 1.3
    "deep": {
        "": 63_646_881,
        "encoder": 21_284_672,
        "bottleneck": 1_024,
        "middle": 9_440_256,
        "blocks.0": 9_377_280,
        "blocks.1": 10_770_689,
        "blocks.2": 7_959_296,
        "blocks.3": 2_797_184,
        "blocks.1.convs.1.3": 737_281,
        "upsample": 362_400,
        "refine": 1_653_168,
        "to_rgb": 912,
    },
    "wide": {
        "": 218_222_197,
        "encoder": 42_500_160,
        "bottleneck": 4_096,
        "middle": 151_007_232,
        "blocks.0": 11_279_360,
        "blocks.1": 6_100_993,
        "blocks.2": 4_593_152,
        "blocks.3": 1_264_256,
        "blocks.1.convs.0.3": 327_681,
        "upsample": 264_192,
        "refine": 1_207_976,
        "to_rgb": 780,
    },
}
WHOLE = {  # layer groups, encoder batch norm, parameter tensors, batch norms, spectral norms, buffers, entries
    "deep": ((1_347_904, 19_936_768, 42_362_209), 17_024, 173, 55, 20, 120_697, 378),
    "wide": ((1_444_928, 41_055_232, 175_722_037), 105_344, 365, 119, 16, 257_913, 754),
}


@pytest.mark.parametrize("kind", ["deep", "wide"])
def test_every_part_has_deoldifys_number_of_parameters(kind):
    generator = on_meta(kind)
    assert {name: count(generator.get_submodule(name)) for name in ROWS[kind]} == ROWS[kind]


@pytest.mark.parametrize("kind", ["deep", "wide"])
def test_groups_norms_and_buffers_are_deoldifys(kind):
    generator = on_meta(kind)
    groups, encoder_norms, tensors, norms, spectral, buffers, entries = WHOLE[kind]
    assert tuple(sum(p.numel() for p in group) for group in generator.layer_groups()) == groups
    batch_norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(count(m) for m in generator.encoder.modules() if isinstance(m, nn.BatchNorm2d)) == encoder_norms
    assert (len(list(generator.parameters())), len(batch_norms)) == (tensors, norms)
    names = [key for key in generator.state_dict() if key.endswith("._u")]
    assert len(names) == spectral
    assert sum(key.endswith("original1") for key in generator.state_dict()) == 1  # weight norm, once
    state = generator.state_dict()
    assert sum(t.numel() for t in state.values()) - count(generator) == buffers
    assert len(state) == entries


@pytest.mark.parametrize(("width", "parameters", "buffers"), [(256, 94_555_649, 105_905), (64, 5_919_617, None)])
def test_the_critic_has_deoldifys_number_of_parameters(width, parameters, buffers):
    critic = on_meta("critic", width)
    assert count(critic) == parameters
    if buffers:
        assert sum(t.numel() for t in critic.state_dict().values()) - parameters == buffers
        rows = [12_544, 590_080, 2_425_345, 2_359_808, 8_389_632, 9_438_208, 33_556_480, 37_750_784, 32_768]
        assert [count(layer) for layer in critic.layers if count(layer)] == rows


def test_channels_are_those_of_the_tables():
    deep = block_sizes("deep", [64, 64, 128, 256, 512])
    wide = block_sizes("wide", [64, 256, 512, 1024, 2048])
    assert [(s.inputs, s.shuffled, s.skip, s.width) for s in deep] == [
        (512, 256, 256, 768),
        (768, 384, 128, 768),
        (768, 384, 64, 672),
        (672, 336, 64, 300),
    ]
    assert [(s.inputs, s.shuffled, s.skip, s.width) for s in wide] == [
        (2048, 512, 1024, 512),
        (512, 512, 512, 512),
        (512, 512, 256, 512),
        (512, 256, 64, 256),
    ]
    with pytest.raises(ValueError, match=r"variant='tall' is unknown; allowed: deep, wide"):
        block_sizes("tall", [1, 2])


@pytest.mark.parametrize("kind", ["deep", "wide"])
@pytest.mark.parametrize("size", [64, 192])
def test_maps_have_the_sizes_of_the_tables(kind, size):
    generator, seen = on_meta(kind), {}
    for name in ("middle", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "upsample", "refine", "to_rgb"):
        generator.get_submodule(name).register_forward_hook(
            lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])})
        )
    attended = []
    attention = next(m for m in generator.modules() if isinstance(m, DeOldifyAttention))
    attention.register_forward_hook(lambda m, i, out: attended.append(out.shape[-1]))
    out = generator(torch.empty(1, 1, size, size, device="meta"))
    assert out.shape == (1, 3, size, size)
    widths = ROWS_WIDTHS[kind]
    for name, width, divisor in zip(seen, widths, (32, 16, 8, 4, 2, 1, 1, 1), strict=True):
        assert seen[name] == (width, size // divisor, size // divisor), name
    assert attended == [size // 8]


ROWS_WIDTHS = {"deep": (512, 768, 768, 672, 300, 300, 303, 3), "wide": (2048, 512, 512, 512, 256, 256, 259, 3)}


@pytest.mark.parametrize("size", [(48, 48), (50, 50), (80, 48), (51, 33), (1, 1), (2, 7)])
def test_pictures_of_any_size_come_back_in_their_size(deep, size):
    gray = torch.rand(1, 1, *size)
    with torch.no_grad():
        rgb = deep(gray)
        y = deep.normalized(gray)
    assert rgb.shape == (1, 3, *size)
    assert rgb.dtype == torch.float32
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    assert y.abs().max() < 3


def test_the_whole_gamut_is_within_reach():
    generator = on_meta("deep").to_empty(device="cpu")
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    low, high = mean - 3 * std, mean + 3 * std
    assert torch.allclose(low, torch.tensor((-0.202, -0.216, -0.269)), atol=1e-3)
    assert torch.allclose(high, torch.tensor((1.172, 1.128, 1.081)), atol=1e-3)
    assert torch.allclose(-mean / std, torch.tensor((-2.118, -2.036, -1.804)), atol=1e-3)
    assert torch.allclose((1 - mean) / std, torch.tensor((2.249, 2.429, 2.640)), atol=1e-3)
    for extreme, expected in ((100.0, high), (-100.0, low)):
        generator.normalized = lambda gray, v=extreme: 6 * torch.sigmoid(torch.full((1, 3, 1, 1), v)) - 3
        generator.encoder.mean, generator.encoder.std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
        assert torch.allclose(generator.unclamped(torch.zeros(1, 1, 1, 1)).flatten(), expected)


def test_losses_see_the_picture_before_the_clamp(deep):
    gray = fixture.outputs("deep")["gray"]
    with torch.no_grad():
        deep.to_rgb[0].bias += 20  # beyond the gamut
        unclamped, rgb = deep.unclamped(gray), deep(gray)
        deep.to_rgb[0].bias -= 20
    assert unclamped.max() > 1
    assert rgb.max() <= 1


def test_nothing_is_saturated_in_a_fresh_network_in_training(fresh_deep):
    """DeOldify's: one draw, mean -0.9, deviation 0.7, range -2.8..1.9; the sign of each channel's mean is chance."""
    torch.manual_seed(1)
    with torch.no_grad():
        y = fresh_deep.train().normalized(torch.rand(4, 1, 64, 64))
    assert y.mean(dim=(0, 2, 3)).abs().max() < 1.8
    assert 0.4 < y.std() < 1.4
    assert y.abs().max() < 2.99


def test_upsampling_starts_as_icnr_except_in_the_last_step(fresh_deep):
    for block in fresh_deep.blocks:
        weight = block.upsample.conv[0].weight
        for other in (1, 2, 3):
            assert torch.equal(weight[::4], weight[other::4])
    last = fresh_deep.upsample.conv[0].weight  # as published: lost there
    assert not torch.allclose(last[::4], last[1::4])


def test_gamma_starts_at_zero_so_attention_starts_as_the_identity(fresh_deep):
    attention = next(m for m in fresh_deep.modules() if isinstance(m, DeOldifyAttention))
    features = torch.rand(2, 768, 4, 6)
    assert attention.gamma.item() == 0
    with torch.no_grad():
        assert torch.equal(attention.eval()(features), features)


def test_attention_normalizes_over_the_query_index():
    torch.manual_seed(0)
    attention = DeOldifyAttention(16).eval()
    attention.gamma.data.fill_(0.7)
    features = torch.randn(2, 16, 3, 4)
    with torch.no_grad():
        flat = features.flatten(2)
        query, key, value = attention.query(flat), attention.key(flat), attention.value(flat)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=1)
        expected = (0.7 * (value @ weights)).view_as(features) + features
        assert torch.allclose(attention(features), expected, atol=1e-6)


def test_spectral_norm_brings_the_largest_singular_value_to_one():
    torch.manual_seed(0)
    critic = DeOldifyCritic(width=8).train()
    with torch.no_grad():
        for _ in range(30):
            critic(torch.rand(1, 3, 64, 64))
        for layer in (critic.layers[2], critic.layers[8]):
            largest = torch.linalg.matrix_norm(layer[0].weight.flatten(1), ord=2)
            assert abs(largest - 1) < 0.01


@pytest.mark.parametrize(("size", "logits"), [(64, 1), (128, 25), (192, 81), (224, 121), (256, 169)])
def test_the_critic_has_a_logit_for_every_patch(size, logits):
    critic, attended = on_meta("critic", 8), []
    attention = next(m for m in critic.modules() if isinstance(m, DeOldifyAttention))
    attention.register_forward_hook(lambda m, i, out: attended.append(out.shape[-1]))
    out = critic(torch.empty(2, 3, size, size, device="meta"), None)
    assert out.shape[:2] == (2, 1)
    assert out[0].numel() == logits == (size // 16 - 3) ** 2
    assert attended == [size // 4]


def test_the_critic_refuses_pictures_below_64_pixels():
    with pytest.raises(ValueError, match=r"64 px or more, got 63x64 \(schedule.stages"):
        on_meta("critic", 8)(torch.empty(1, 3, 63, 64, device="meta"))


def test_a_logit_of_the_critic_sees_154_pixels():
    torch.manual_seed(0)
    critic = DeOldifyCritic(width=8).eval()
    critic.layers[4][2].gamma.data.zero_()  # attention would see everything
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    critic(image)[0, 0, 6, 6].backward()
    columns = image.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    assert columns[-1] - columns[0] + 1 == 154


def test_a_generator_over_another_encoder_is_refused():
    with torch.device("meta"):
        encoder = TorchvisionPyramid("resnet34", layers=["layer1", "layer2"], weights=None)
        with pytest.raises(ValueError, match=r"strides \[2, 4, 8, 16, 32\], got \[4, 8\]"):
            DeOldifyGenerator(encoder)


def test_forward_costs_what_deoldifys_costs():
    from torch.utils.flop_counter import FlopCounterMode

    for kind, gflop in (("deep", 24.5), ("wide", 17.6)):
        generator = on_meta(kind)
        with FlopCounterMode(display=False) as counter:
            generator(torch.empty(1, 1, 64, 64, device="meta"))
        assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.1)


def test_saved_under_deoldifys_keys_and_read_again_every_bit_is_there(fresh_deep):
    exported = to_deoldify(fresh_deep)
    assert set(exported) == {key for key, *_ in fixture.keys("deep")}
    again = from_deoldify(exported).network.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in fresh_deep.state_dict().items())
    assert len(again) == 378
