"""Turns of the two networks."""

import pytorch_lightning as pl
import torch
from stage_fixture import batches, gan
from torch.utils.data import DataLoader

from colorgan.stages import FixedTurns


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
