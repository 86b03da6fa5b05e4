"""Turns of the two networks."""

import pytest
import pytorch_lightning as pl
import torch
from stage_fixture import LOSSES, batches, fit, gan
from torch.utils.data import DataLoader

from colorgan.losses import (
    BCEGeneratorLoss,
    FeatureMatchingLoss,
    HingeDiscriminatorLoss,
    R1Penalty,
    R2Penalty,
    RelativisticGeneratorLoss,
)
from colorgan.networks import PatchDiscriminator
from colorgan.stages import AdaptiveTurns, FixedTurns, GANStage


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_each_turn_changes_its_player_alone_and_the_idle_network_gets_no_gradient():
    stage = gan(num_steps=2, turns=FixedTurns())
    snapshots = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            gradients = [all(p.grad is None or not p.grad.any() for p in n.parameters()) for n in both(pl_module)]
            snapshots.append(([weights(n) for n in both(pl_module)], gradients))

    def both(module):
        return module.generator, module.discriminator

    start = [weights(n) for n in both(stage)]
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Watch()],
    )  # fmt: skip
    trainer.fit(stage, DataLoader(batches(2), batch_size=None))
    (first, first_idle), (second, _) = snapshots
    same = lambda a, b: all(torch.equal(a[k], b[k]) for k in a)  # noqa: E731
    assert same(start[0], first[0])  # the discriminator's turn: generator as it was, statistics too
    assert not same(start[1], first[1])
    assert first_idle[0]
    assert not same(first[0], second[0])
    assert same(first[1], second[1])
    assert stage.counts() == {"steps": 2, "generator_steps": 1, "discriminator_steps": 1}


def test_losses_of_any_scale_take_the_turns_of_cross_entropy():
    """A threshold of 0.65 is 94 % of chance: 0.94 in a hinge loss, where 0.9 is below it and 0.95 is not."""

    class Constant(HingeDiscriminatorLoss):
        value = 0.0

        def forward(self, real_logits, fake_logits):
            return super().forward(real_logits, fake_logits) * 0 + self.value

    for value, steps in ((0.9, 2), (0.95, 1)):
        stage = gan(num_steps=4, turns=AdaptiveTurns(max_wait=3))
        stage._losses["discriminator"] = loss = Constant()
        stage.chance, loss.value = loss.chance, value
        fit(stage, batches(4))
        assert stage.generator_steps == steps
        assert abs(stage.step_values.get("discriminator", torch.tensor(value)).item() - value) < 1e-6


def test_a_penalty_is_taken_every_few_steps_moves_no_turn_and_is_logged_without_its_factor():
    losses = {**LOSSES, "r1": R1Penalty(every=3)}
    weights = {"discriminator": 1.0, "adversarial": 1.0, "r1": 50.0}
    stage = gan(num_steps=8, losses=losses, loss_weights=weights, turns=FixedTurns(discriminator=8))
    totals = []
    take_step = stage.take_step
    stage.take_step = lambda *a: totals.append((take_step(*a), dict(stage.step_values)))
    fit(stage, batches(8))
    assert [("r1" in values) for _, values in totals] == [step % 3 == 0 for step in range(8)]
    total, values = totals[3]
    assert torch.allclose(total, values["discriminator"] + 50 * 3 * values["r1"])
    assert stage.discriminator_loss == values_of(totals[-1])["discriminator"]
    assert torch.equal(stage._noted["train/loss_r1"], totals[6][1]["r1"])


def values_of(step):
    return {name: value.item() for name, value in step[1].items()}


def test_logits_of_photos_are_computed_in_the_generator_s_step_only_where_a_loss_asks():
    counts = []
    for loss in (BCEGeneratorLoss(), RelativisticGeneratorLoss()):
        stage = gan(num_steps=1, losses={**LOSSES, "adversarial": loss}, turns=FixedTurns(generator=1))
        stage.turns.position = 1
        calls = []
        stage.discriminator.register_forward_pre_hook(lambda *a, calls=calls: calls.append(torch.is_grad_enabled()))
        fit(stage, batches(1))
        assert stage.generator_steps == 1
        counts.append(calls)
    assert counts == [[True], [True, False]]


def test_accumulated_parts_give_the_penalties_of_the_whole_batch():
    gradients = []
    for parts in (1, 2):
        weights = {"discriminator": 1.0, "adversarial": 1.0, "r1": 100.0, "r2": 100.0}
        stage = gan(
            num_steps=1, accumulate=parts, losses={**LOSSES, "r1": R1Penalty(), "r2": R2Penalty()}, loss_weights=weights
        )
        stage.discriminator = PatchDiscriminator(width=8, num_blocks=1, dropout=0, norm="none")
        torch.manual_seed(0)
        stage.discriminator.load_state_dict(
            {k: torch.randn_like(v) / 8 for k, v in stage.discriminator.state_dict().items()}
        )
        fit(stage, batches(1))
        gradients.append(torch.cat([p.grad.flatten() for p in stage.discriminator.parameters()]))
        penalties = stage.step_values["r1"], stage.step_values["r2"]
        assert all(value > 0 for value in penalties)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


def test_feature_matching_pulls_pictures_toward_photos_and_needs_a_discriminator_with_maps():
    losses = {**LOSSES, "matching": FeatureMatchingLoss()}
    weights = {"discriminator": 1.0, "matching": 1.0}
    stage = gan(num_steps=1, losses=losses, loss_weights=weights, turns=FixedTurns())
    batch = batches(1)[0]
    loss = stage.step_losses()["generator"](batch)
    assert loss > 0
    assert torch.autograd.grad(loss, next(stage.generator.parameters()))[0].any()
    stage.discriminator.eval()
    perfect = stage.generator_inputs(batch, batch["rgb"])
    assert losses["matching"](perfect["fake_maps"], perfect["real_maps"]).item() == 0

    class Blind(torch.nn.Module):
        pass

    with pytest.raises(
        ValueError, match=r"loss\.matching compares maps inside the discriminator; Blind has no method maps"
    ):
        GANStage(
            generator=stage.generator,
            discriminator=Blind(),
            losses=losses,
            loss_weights=weights,
            optimizer_generator=None,
            optimizer_discriminator=None,
            turns=FixedTurns(),
            num_steps=1,
        )
