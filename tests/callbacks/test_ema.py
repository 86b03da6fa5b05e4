"""What is averaged, and that what is handed on fits the averaged weights."""

import pytest
import torch
from safetensors.torch import load_file
from stage_fixture import batches, gan, pretrain
from torch import nn
from torch.utils.data import DataLoader

from colorgan.callbacks import GeneratorEMA
from colorgan.callbacks.ema import Average
from colorgan.checkpoint import load_generator
from colorgan.networks.spectral import spectral_norms
from colorgan.stages.base import Stage
from colorgan.training.schedule import Schedule


def amplification(network):
    """By layer, how much larger than 1 the largest singular value of a normalized weight is, by SVD."""
    found = {}
    for name, norm, weight in spectral_norms(network):
        found[name] = (torch.linalg.matrix_norm(weight.flatten(1), 2) / norm.sigma(weight)).item()
    return found


def fit(stage, data, **options):
    import pytorch_lightning as pl

    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, num_sanity_val_steps=0, **quiet, **options)
    trainer.fit(stage, DataLoader(data, batch_size=None), DataLoader(data[:1], batch_size=None))


def test_the_average_has_the_sigma_of_its_own_weights():
    stage = gan(num_steps=60)
    fit(stage, batches(60), callbacks=[GeneratorEMA(0.9)])
    for network in (getattr(stage, name) for name in stage.trains):
        assert amplification(network)
        for layer, factor in amplification(network).items():
            assert factor == pytest.approx(1, abs=0.01), layer


def test_weights_and_statistics_are_averaged_and_counts_copied():
    seen = []
    stage = pretrain(num_steps=6)
    after_step = Stage.on_train_batch_end

    def watch(self, *args):
        seen.append({name: tensor.clone() for name, tensor in self.generator.state_dict().items()})
        after_step(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "on_train_batch_end", watch)
        fit(stage, batches(6), callbacks=[GeneratorEMA(0.5)])
    for name, tensor in stage.generator.state_dict().items():
        if name.endswith(("._u", "._v")):
            continue
        average = seen[0][name]  # the first update copies
        for state in seen[1:]:
            average = 0.5 * average + 0.5 * state[name] if tensor.is_floating_point() else state[name]
        torch.testing.assert_close(tensor, average, rtol=1e-5, atol=1e-7, msg=name)


def test_measuring_changes_no_training():
    results = []
    for every in (2, 1000):
        stage = gan(num_steps=6)
        fit(stage, batches(6), val_check_interval=min(every, 6), callbacks=[GeneratorEMA(0.9)])
        results.append({**stage.generator.state_dict(), **stage.discriminator.state_dict()})
    for name, tensor in results[0].items():
        if not name.endswith(("._u", "._v")):  # found anew from other starts
            assert torch.equal(tensor, results[1][name]), name


def test_every_file_of_a_run_has_the_sigma_of_its_weights(smoke):
    short = [f"schedule.stages.{name}.steps=2" for name in ("generator_pretrain", "critic_pretrain")]
    final = Schedule(smoke("schedule.stages.gan.module.optimizer_generator.lr=1e-2", *short)).run()
    files = sorted(final.parent.rglob("*.safetensors"))
    assert len(files) >= 6  # hand-overs, snapshots, final
    for file in {file.read_bytes(): file for file in files}.values():
        for layer, factor in amplification(load_generator(file)).items():
            assert factor == pytest.approx(1, abs=0.01), f"{file.name} {layer}"


def test_the_generator_handed_on_is_the_moving_average(smoke):
    raw = []
    stage = "schedule.stages.generator_pretrain"
    schedule = Schedule(smoke("schedule.times=0", f"{stage}.ema_decay=0.5", f"{stage}.steps=3"))
    after_step = Stage.on_train_batch_end

    def watch(self, *args):
        raw.append(self.generator.to_color.weight.detach().clone())
        after_step(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "on_train_batch_end", watch)
        final = schedule.run()
    average = raw[0]
    for weight in raw[1:]:
        average = 0.5 * average + 0.5 * weight
    torch.testing.assert_close(load_file(final)["generator.to_color.weight"], average, rtol=1e-5, atol=1e-8)
    assert not torch.equal(average, raw[-1])


def test_a_decay_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="ema_decay must be between 0 and 1"):
        GeneratorEMA(1.0)


@pytest.mark.parametrize("layers", [[nn.Conv2d(1, 2, 1)], [nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)]])
def test_an_average_moves_towards_weights_and_takes_over_counts(layers):
    network = nn.Sequential(*layers)
    average = Average(network)
    before = layers[0].weight.detach().clone()
    with torch.no_grad():
        layers[0].weight += 1
    network(torch.rand(2, 1, 4, 4))
    average.update(network, decay=0.75)
    assert torch.allclose(average.network[0].weight, before + 0.25)
    counts = [b for name, b in average.network.named_buffers() if name.endswith("num_batches_tracked")]
    assert [int(count) for count in counts] == [1] * (len(layers) - 1)
