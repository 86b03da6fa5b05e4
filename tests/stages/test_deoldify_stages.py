"""DeOldify's training rules on its own Deep generator, small steps."""

import copy
import itertools

import pytest
import torch
from stage_fixture import batches, fit
from torch import nn

from colorgan.losses import BCEDiscriminatorLoss, BCEGeneratorLoss, NormalizedL1Loss
from colorgan.networks import DeOldifyCritic
from colorgan.networks.deoldify_weights import build, network_config
from colorgan.stages import AdaptiveTurns, CriticPretrainStage, GANStage, GeneratorPretrainStage, OneCycle

LOSSES = {"pixel": NormalizedL1Loss(), "adversarial": BCEGeneratorLoss(), "discriminator": BCEDiscriminatorLoss()}


def adamw(parameters, lr=1e-3, betas=(0.95, 0.99)):
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=1e-3)


@pytest.fixture(scope="module")
def fresh_deep():
    """To draw 64 million weights and find their singular vectors takes seconds, a copy none."""
    torch.manual_seed(0)
    return build(network_config("deep"))


@pytest.fixture
def deep(fresh_deep):
    return copy.deepcopy(fresh_deep)


def frozen_pretrain(generator, steps):
    return GeneratorPretrainStage(
        generator=generator,
        discriminator=None,
        losses=LOSSES,
        loss_weights={"pixel": 1.0},
        optimizer=adamw,
        lr_slice=[1e-3],
        lr_scheduler=lambda optimizer: OneCycle(optimizer, total_steps=steps, pct_start=0.8),
        freeze_encoder="convolutions",
        num_steps=steps,
    )


@pytest.mark.parametrize(("kind", "number"), [("deep", 42_379_233), ("wide", 175_827_381)])
def test_frozen_stages_train_deoldifys_number_of_parameters(kind, number):
    with torch.device("meta"):
        generator = build(network_config(kind))
        stage = frozen_pretrain(generator, 1)
    assert sum(p.numel() for p in stage.generator.parameters() if p.requires_grad) == number
    groups = stage.configure_optimizers()["optimizer"].param_groups
    assert sum(p.numel() for group in groups for p in group["params"]) == number
    assert [group["initial_lr"] for group in groups] == pytest.approx([1e-4, 1e-4, 1e-3])
    assert {group["weight_decay"] for group in groups} == {1e-3}
    assert [group["lr"] for group in groups] == pytest.approx([1e-4 / 25, 1e-4 / 25, 1e-3 / 25])


def test_frozen_convolutions_stay_while_batch_norm_trains_and_its_statistics_move(deep, fresh_deep):
    before = fresh_deep.state_dict()
    fit(frozen_pretrain(deep, 3), batches(3, size=2))
    convolutions = {f"{n}.weight" for n, m in deep.encoder.named_modules() if isinstance(m, nn.Conv2d)}
    assert len(convolutions) == 36
    for name, tensor in deep.encoder.state_dict().items():
        same = torch.equal(tensor, before[f"encoder.{name}"])
        assert same == (name in convolutions), name


@pytest.fixture
def gan(deep):
    torch.manual_seed(0)
    return GANStage(
        generator=deep,
        discriminator=DeOldifyCritic(width=8),
        losses=LOSSES,
        loss_weights={"pixel": 1.5, "adversarial": 1.0, "discriminator": 1.0},
        optimizer_generator=lambda p: adamw(p, lr=1e-5, betas=(0.0, 0.9)),
        optimizer_discriminator=lambda p: adamw(p, lr=5e-5, betas=(0.0, 0.9)),
        turns=AdaptiveTurns(threshold=0.65, max_wait=None),
        freeze_encoder="convolutions",
        num_steps=6,
    )


def test_a_generator_turn_leaks_no_gradient_into_frozen_convolutions(gan, fresh_deep):
    """DeOldify computes these gradients and throws them away."""
    gan.turns = AdaptiveTurns(threshold=100.0, max_wait=None)
    batch = batches(1, size=2)[0]
    large = {key: nn.functional.interpolate(value, size=64) for key, value in batch.items()}
    grads = {}
    take_step = gan.take_step

    def watched(optimizer, batch, loss_of):
        loss = take_step(optimizer, batch, loss_of)
        grads[gan.turns.player] = {
            name: p.grad is not None and bool(p.grad.abs().sum() > 0) for name, p in gan.named_parameters()
        }
        gan.zero_grad(set_to_none=True)
        return loss

    gan.take_step = watched
    before = fresh_deep.encoder.state_dict()
    fit(gan, [large] * 4)
    convolutions = [n for n, m in gan.named_modules() if isinstance(m, nn.Conv2d) and ".encoder." in f".{n}"]
    assert len(convolutions) == 36
    assert not any(grads["generator"][f"{name}.weight"] for name in convolutions)
    assert grads["generator"]["generator.to_rgb.0.bias"]
    assert not any(has for name, has in grads["generator"].items() if name.startswith("discriminator."))
    assert not any(has for name, has in grads["discriminator"].items() if name.startswith("generator."))
    assert all(
        torch.equal(t, before[n])
        for n, t in gan.generator.encoder.state_dict().items()
        if f"generator.encoder.{n}"[:-7] in convolutions
    )


def test_the_critic_learns_five_times_as_fast_at_betas_0_and_09(compose):
    """In all three recipes, as their yaml says."""
    rates = {}
    for experiment in ("stable", "artistic", "video"):
        module = compose(f"experiment=deoldify_{experiment}").schedule.stages.gan.module
        generator, critic = module.optimizer_generator, module.optimizer_discriminator
        assert critic.lr == pytest.approx(5 * generator.lr)
        assert list(generator.betas) == list(critic.betas) == [0.0, 0.9]
        assert generator.weight_decay == critic.weight_decay == 1e-3
        rates[experiment] = generator.lr
    assert rates == {"stable": 2e-5, "artistic": 1e-5, "video": 5e-6}


def test_weight_decay_is_decoupled_and_reaches_everything():
    parameter = nn.Parameter(torch.ones(3))
    optimizer = adamw([parameter], lr=0.1)
    parameter.grad = torch.zeros(3)
    optimizer.step()
    assert torch.allclose(parameter, torch.full((3,), 1 - 0.1 * 1e-3))


def test_the_generator_steps_only_behind_a_critic_loss_below_065_and_never_twice():
    turns = AdaptiveTurns(threshold=0.65, max_wait=None)
    losses = [0.7, 0.69, 0.66, 0.6499, 0.64, 0.7, 0.65, 0.3, *[0.69] * 1000, 0.1]
    players, position = [], 0
    while position < len(losses):
        players.append(turns.player)
        if turns.player == "generator":
            turns.advance(None)
        else:
            turns.advance(losses[position])
            position += 1
    players.append(turns.player)
    assert players[0] == "discriminator"
    assert ("generator", "generator") not in set(itertools.pairwise(players))
    assert players.count("generator") == sum(loss < 0.65 for loss in losses) == 4
    waits = "".join(p[0] for p in players).split("g")
    assert [len(wait) for wait in waits] == [4, 1, 3, 1001, 0]


def test_losses_and_critic_see_beyond_the_gamut_in_both_turns(gan):
    seen = []
    gan.discriminator.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0].detach()))
    gan.generator.to_rgb[0].bias.data += 20
    batch = {"gray": torch.rand(2, 1, 64, 64), "rgb": torch.rand(2, 3, 64, 64)}
    for loss in gan.step_losses().values():
        gan.set_modes(())
        gan.log = lambda *a, **k: None
        loss(batch)
    fakes = [s for s in seen if not torch.equal(s, batch["rgb"])]
    assert len(fakes) == 2
    assert all(f.max() > 1 for f in fakes)


def test_critic_pretraining_sees_pictures_as_people_do(deep):
    stage = CriticPretrainStage(
        generator=deep, discriminator=DeOldifyCritic(width=8), losses=LOSSES, loss_weights={"discriminator": 1.0},
        optimizer=adamw, num_steps=1,
    )  # fmt: skip
    stage.log = lambda *a, **k: None
    seen = []
    stage.discriminator.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    stage.generator.to_rgb[0].bias.data += 20
    stage.set_modes(("discriminator",))
    stage.step_losses()["discriminator"]({"gray": torch.rand(2, 1, 64, 64), "rgb": torch.rand(2, 3, 64, 64)})
    assert all(s.min() >= 0 and s.max() <= 1 for s in seen)


def test_unknown_ways_to_freeze_and_generators_without_groups_are_refused():
    from stage_fixture import pretrain

    with pytest.raises(ValueError, match="freeze_encoder='all' is unknown; allowed: true, false, convolutions"):
        pretrain(num_steps=1, freeze_encoder="all")
    with pytest.raises(ValueError, match="lr_slice needs a generator with layer_groups, got UNetGenerator"):
        pretrain(num_steps=1, lr_slice=[1e-3]).configure_optimizers()
