"""The generator alone: it learns, and nothing else moves."""

import torch
from stage_fixture import batches, fit, pretrain

from colorgan.losses import L1Loss


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


def test_generator_pretrain_leaves_the_discriminator_untouched():
    stage = pretrain(num_steps=3)
    before = weights(stage.discriminator)
    fit(stage, batches(3))
    assert unchanged(before, stage.discriminator)
