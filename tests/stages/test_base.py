"""What all stages share, in a bare Lightning loop over real small networks."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from stage_fixture import LOSSES, adam, batches, fit, gan, networks, pretrain

from colorgan.losses import BCEDiscriminatorLoss, BCEGeneratorLoss, Loss
from colorgan.stages import FixedTurns, GeneratorPretrainStage
from colorgan.stages.finite import DivergedError


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(before, module):
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_training_stops_at_num_steps_though_data_goes_on():
    assert fit(pretrain(num_steps=3), batches(1) * 10).steps == 3


def test_frozen_encoder_stays_bit_identical_with_its_statistics_while_the_decoder_learns():
    stage = gan(num_steps=6, freeze_encoder=True)
    encoder, decoder = weights(stage.generator.encoder), weights(stage.generator.blocks)
    fit(stage, batches(6))
    assert unchanged(encoder, stage.generator.encoder)
    assert not unchanged(decoder, stage.generator.blocks)


def test_a_loss_of_weight_zero_is_logged_but_gives_no_gradient():
    results = []
    for loss_weights in ({"pixel": 1.0}, {"pixel": 1.0, "colorfulness": 0.0}):
        stage = fit(pretrain(num_steps=2, loss_weights=loss_weights), batches(2))
        results.append(weights(stage.generator))
        assert ("train/loss_colorfulness" in stage.trainer.logged_metrics) == ("colorfulness" in loss_weights)
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])


def test_accumulated_parts_give_the_gradient_of_the_whole_batch():
    gradients = []
    for parts in (1, 2, 3):  # 3 does not divide 4: parts of unequal size
        # Spectral norm and batch statistics move with every forward pass, so they would differ from part to part.
        stage = pretrain(num_steps=1, accumulate=parts, norm="none")
        for module in stage.generator.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_pre_hook(lambda m, i: m.eval() and None)
        fit(stage, batches(1))
        gradients.append(torch.cat([p.grad.flatten() for p in stage.generator.parameters() if p.grad is not None]))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-4, atol=1e-6)  # float32, other order of sums


def test_clipping_bounds_the_norm_of_the_gradient():
    stage = fit(pretrain(num_steps=1, gradient_clip=1e-3), batches(1))
    norms = torch.stack([p.grad.norm() for p in stage.generator.parameters() if p.grad is not None])
    assert norms.norm() == pytest.approx(1e-3, rel=1e-3)


def fit_in_fp16(stage, data, scale):
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    precision = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    fit(stage, data, plugins=[precision])
    return scaler


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, partial(torch.optim.AdamW, fused=True)])
def test_fp16_clips_the_true_gradient_of_any_optimizer(optimizer):
    stage = pretrain(num_steps=1, gradient_clip=1e-3, optimizer=partial(optimizer, lr=1e-3))
    before = weights(stage.generator.blocks)
    fit_in_fp16(stage, batches(1), 2.0**10)
    norms = torch.stack([p.grad.norm() for p in stage.generator.parameters() if p.grad is not None])
    assert norms.norm() == pytest.approx(1e-3, rel=1e-3)
    assert not unchanged(before, stage.generator.blocks)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, partial(torch.optim.AdamW, fused=True)])
def test_an_fp16_gradient_that_overflows_skips_a_step_and_lowers_the_scale(optimizer):
    stage = pretrain(num_steps=1, gradient_clip=1.0, optimizer=partial(optimizer, lr=1e-3))
    before = [p.clone() for p in stage.generator.parameters()]
    scaler = fit_in_fp16(stage, batches(1), 2.0**100)
    assert scaler.get_scale() == 2.0**99
    assert stage.steps == 1
    assert all(torch.equal(a, b) for a, b in zip(before, stage.generator.parameters(), strict=True))


@pytest.mark.parametrize("scale", [2.0**16, 1.0])
def test_fp16_hides_neither_an_infinite_loss_nor_a_gradient_that_is_infinite_at_any_scale(scale):
    stage = pretrain(num_steps=1, optimizer=adam)
    loss_of = stage.weighted_sum
    if scale == 1:
        stage.weighted_sum = lambda *a: loss_of(*a) + (loss_of(*a) - loss_of(*a)).abs().sqrt()  # its slope at 0
    else:
        stage.weighted_sum = lambda *a: loss_of(*a) + torch.inf
    with pytest.raises(DivergedError):
        fit_in_fp16(stage, batches(1), scale)


def test_where_steps_are_not_waited_for_the_first_bad_one_is_told_before_anything_is_saved():
    stage = pretrain(num_steps=8, optimizer=adam)
    loss_of, stage.weighted_sum = stage.weighted_sum, lambda *a: loss_of(*a) + (torch.nan if stage.steps >= 3 else 0)
    checked, stage._finite.check = stage._finite.check, lambda trainer: None  # as on a GPU between two looks
    fit(stage, batches(8))
    stage._finite.check = checked
    with pytest.raises(DivergedError) as diverged:
        stage.on_save_checkpoint({})
    assert diverged.value.step == 4


@pytest.mark.slow
def test_compiled_steps_are_those_of_python(monkeypatch):
    eagerly = partial(torch.compile, backend="aot_eager")  # the same graphs, and no minutes in a C++ compiler
    monkeypatch.setattr(torch, "compile", eagerly)
    results = []
    for compiled in (False, True):
        stage = fit(gan(num_steps=4, turns=FixedTurns(), compiled=compiled), batches(4))
        assert (stage.discriminator._compiled_call_impl is not None) == compiled
        assert hasattr(stage.training_picture, "get_compiler_config") == compiled
        results.append(weights(stage))
    assert results[0].keys() == results[1].keys()
    for name, tensor in results[0].items():
        torch.testing.assert_close(results[1][name], tensor, rtol=1e-4, atol=1e-5)


def test_chance_in_a_step_depends_on_seed_and_step_alone():
    def draw(seed, step):
        stage = pretrain(num_steps=5, seed=seed)
        stage.steps = step
        stage._trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
        stage.on_train_batch_start({}, 0)
        return torch.rand(3)

    assert torch.equal(draw(1, 2), draw(1, 2))
    assert not torch.equal(draw(1, 2), draw(1, 3))
    assert not torch.equal(draw(1, 2), draw(2, 2))


def test_feature_networks_stay_out_of_the_state_dict():
    assert {key.split(".")[0] for key in gan(num_steps=1).state_dict()} == {"generator", "discriminator"}


def test_accumulate_below_one_is_refused_by_its_key():
    with pytest.raises(ValueError, match=r"accumulate.*got 0"):
        pretrain(num_steps=1, accumulate=0)


class DarkTintLoss(Loss):
    """Colour in the dark parts of the input: a loss that no stage has heard of."""

    inputs = ("gray", "fake_rgb")

    def forward(self, gray, fake_rgb):
        return ((1 - gray) * (fake_rgb - gray).abs()).mean()


def test_a_new_loss_that_wants_the_gray_trains_without_a_change_to_any_stage():
    stage = GeneratorPretrainStage(
        **networks(), losses={"dark": DarkTintLoss()}, loss_weights={"dark": 1.0}, optimizer=adam, num_steps=1
    )
    fit(stage, data := batches(1))
    stage.generator.train()
    logged = stage.trainer.logged_metrics["train/loss_dark"]
    with torch.no_grad():
        fake_rgb = networks()["generator"].train()(data[0]["gray"])
    torch.testing.assert_close(logged, DarkTintLoss()(data[0]["gray"], fake_rgb))
    assert any(p.grad.any() for p in stage.generator.parameters() if p.grad is not None)


def test_losses_get_what_they_ask_for_and_no_more():
    seen = {}

    class Curious(Loss):
        inputs = ("colorize", "rgb", "fake_logits", "gray", "fake_rgb")

        def forward(self, *values):
            seen.update(zip(self.inputs, values, strict=True))
            return values[-1].mean()

    stage = gan(num_steps=2, turns=FixedTurns())
    stage._losses = {**LOSSES, "pixel": Curious()}
    (batch,) = batches(1)
    stage.log = lambda *a, **k: None
    stage.step_losses()["generator"](batch)
    assert torch.equal(seen["gray"], batch["gray"])
    assert torch.equal(seen["rgb"], batch["rgb"])
    assert seen["fake_rgb"].shape == batch["rgb"].shape
    assert seen["fake_logits"].shape[:2] == (4, 1)
    assert seen["colorize"](batch["gray"]).shape == batch["rgb"].shape


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            type("Greedy", (Loss,), {"inputs": ("grey", "rgb")}),
            r"Greedy.inputs names grey; a step of the generator in GeneratorPretrainStage has rgb, gray, fake_rgb, col",
        ),
        (BCEGeneratorLoss, r"BCEGeneratorLoss.inputs names fake_logits"),
        (
            BCEDiscriminatorLoss,
            r"GeneratorPretrainStage does not train the discriminator, .* the loss x",
        ),
        (torch.nn.L1Loss, r"loss.x must be a colorgan.losses.Loss, got L1Loss"),
    ],
)
def test_a_loss_that_a_stage_cannot_compute_is_refused_when_it_is_built(loss, message):
    with pytest.raises(ValueError, match=message):
        GeneratorPretrainStage(**networks(), losses={"x": loss()}, loss_weights={"x": 1.0}, optimizer=adam, num_steps=1)
