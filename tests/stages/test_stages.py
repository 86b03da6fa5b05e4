"""Stages in a bare Lightning loop over real small networks."""

import pytest
import pytorch_lightning as pl
import torch
from stage_fixture import LOSSES, adam, batches, fit, gan, networks, pretrain
from torch.utils.data import DataLoader

from colorgan.losses import L1Loss
from colorgan.stages import CriticPretrainStage, FixedTurns


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(before, module):
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_generator_pretrain_overfits_a_few_images_and_counts_its_steps():
    data = batches(1)
    stage = pretrain(num_steps=40)
    losses = []
    stage._losses = {"pixel": L1Loss()}
    stage._losses["pixel"].register_forward_hook(lambda m, i, out: losses.append(out.item()))
    fit(stage, data * 40)
    assert stage.counts() == {"steps": 40, "generator_steps": 40, "discriminator_steps": 0}
    assert losses[-1] < 0.7 * losses[0]


def test_training_stops_at_num_steps_though_data_goes_on():
    assert fit(pretrain(num_steps=3), batches(1) * 10).steps == 3


def test_generator_pretrain_leaves_the_discriminator_untouched():
    stage = pretrain(num_steps=3)
    before = weights(stage.discriminator)
    fit(stage, batches(3))
    assert unchanged(before, stage.discriminator)


def test_critic_pretrain_leaves_the_generator_untouched_and_learns():
    stage = CriticPretrainStage(
        **networks(), losses=LOSSES, loss_weights={"discriminator": 1.0}, optimizer=adam, num_steps=30
    )
    before = weights(stage.generator)
    fit(stage, batches(1) * 30)
    assert unchanged(before, stage.generator)
    stage.eval()
    with torch.no_grad():
        real, fake = stage._judge(batches(1)[0])
    assert real.mean() > fake.mean() + 0.1


def test_frozen_encoder_stays_bit_identical_with_its_statistics_while_the_decoder_learns():
    stage = gan(num_steps=6, freeze_encoder=True)
    encoder, decoder = weights(stage.generator.encoder), weights(stage.generator.blocks)
    fit(stage, batches(6))
    assert unchanged(encoder, stage.generator.encoder)
    assert not unchanged(decoder, stage.generator.blocks)


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
