"""The discriminator alone: it learns, and nothing else moves."""

import torch
from stage_fixture import LOSSES, adam, batches, fit, networks
from torch.utils.data import DataLoader

from colorgan.stages import CriticPretrainStage


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(before, module):
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_critic_pretrain_leaves_the_generator_untouched_and_learns():
    stage = CriticPretrainStage(
        **networks(), losses=LOSSES, loss_weights={"discriminator": 1.0}, optimizer=adam, num_steps=30
    )
    before = weights(stage.generator)
    fit(stage, batches(1) * 30)
    assert unchanged(before, stage.generator)
    stage.eval()
    with torch.no_grad():
        step = stage._judge(batches(1)[0])
    assert step["real_logits"].mean() > step["fake_logits"].mean() + 0.1


def test_held_out_photos_are_judged_in_full_precision():
    seen = []

    class Watched(CriticPretrainStage):
        def loss_value(self, name, step):
            seen.append((self.trainer.validating or self.trainer.sanity_checking, step["real_logits"].dtype))
            return super().loss_value(name, step)

    stage = Watched(**networks(), losses=LOSSES, loss_weights={"discriminator": 1.0}, optimizer=adam, num_steps=1)
    trainer = fit(stage, batches(1), precision="bf16-mixed").trainer
    trainer.validate(stage, DataLoader(batches(1), batch_size=None), verbose=False)
    assert seen == [(False, torch.bfloat16), (True, torch.float32)]
