"""Blends and averages are checkpoints like others, and at the ends of their range what they are made of."""

import pytest
import tiny_checkpoint
import torch

from colorgan.checkpoint import CheckpointError, load_generator, read_header, save_checkpoint
from colorgan.colorize import blends
from colorgan.networks.averages import exponent, profile
from colorgan.networks.spectral import renew_spectral_norms
from colorgan.stages.base import Stage
from colorgan.training.schedule import Schedule


@pytest.fixture(autouse=True)
def few_views(monkeypatch):
    monkeypatch.setattr(blends, "_VIEWS", 32)


@pytest.fixture
def pair(tmp_path):
    """Two checkpoints of one architecture and other weights."""
    first, second = (tiny_checkpoint.write(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    header, generator = read_header(second), load_generator(second)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    renew_spectral_norms(generator)
    facts = {"stage": "gan", "step": 9, "metrics": {"psnr": 1.0}, "image_size": 32, "splits": [{"seed": 1}]}
    configs = {"generator": header["networks"]["generator"]}
    save_checkpoint(second, {"generator": generator}, configs=configs, facts=facts)
    return first, second


@torch.no_grad()
def picture(file):
    return load_generator(file)(torch.rand(2, 1, 40, 48, generator=torch.Generator().manual_seed(0)))


def test_the_ends_are_the_checkpoints_and_a_blend_with_itself_stays(pair, tmp_path):
    out = tmp_path / "out.safetensors"
    for files, strength, expected in ((pair, 0, pair[0]), (pair, 1, pair[1]), ((pair[1], pair[1]), 0.4, pair[1])):
        blends.blend(*files, strength, out)
        torch.testing.assert_close(picture(out), picture(expected), atol=1e-3, rtol=0)


def test_strength_moves_the_picture_and_the_header_says_of_what(pair, tmp_path):
    away = []
    for strength in (0.3, 0.7, 1.0, 1.4):
        out = tmp_path / f"{strength}.safetensors"
        blends.blend(*pair, strength, out)
        away.append((picture(out) - picture(pair[0])).abs().mean().item())
    assert away == sorted(away)
    header = read_header(out)
    assert [(part["file"], round(part["share"], 6)) for part in header["made_of"]] == [
        ("first.safetensors", -0.4),
        ("second.safetensors", 1.4),
    ]
    assert (header["strength"], header["metrics"], header["splits"]) == (1.4, {}, [{"seed": 1}])


def test_other_architectures_and_strengths_are_refused(pair, tmp_path):
    other = tiny_checkpoint.write(tmp_path / "other.safetensors", widths=[24, 8, 8])
    with pytest.raises(CheckpointError, match=r"cannot be blended, for their generators differ in widths"):
        blends.blend(pair[0], other, 0.5, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"--strength must be 0 to 1\.5, got 2"):
        blends.blend(*pair, 2, tmp_path / "x.safetensors")
    with pytest.raises(FileNotFoundError, match=r"lies in no run .*--blend-with"):
        blends.strengthened(str(pair[0]), 0.5)
    with pytest.raises(FileNotFoundError, match="holds no averages"):
        blends.average(tmp_path, 0.1, tmp_path / "x.safetensors")


@pytest.mark.slow
def test_an_average_is_near_the_one_truly_kept_and_a_run_knows_its_twin(smoke, tmp_path, monkeypatch):
    """The weights of each step of the generator are watched, and averaged with the profile of the wanted length."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    seen = []
    after_step = Stage.on_train_batch_end

    def watch(self, *args):
        if self.discriminator is not None and self.generator_steps > len(seen):
            seen.append(self.generator.to_color.weight.detach().clone())
        after_step(self, *args)

    monkeypatch.setattr(Stage, "on_train_batch_end", watch)
    gan = "schedule.stages.gan"
    turns = [f"{gan}.module.turns._target_=colorgan.stages.FixedTurns"]
    turns += [f"~{gan}.module.turns.{key}" for key in ("threshold", "max_wait")]
    schedule = Schedule(smoke(f"{gan}.power_averages=true", f"{gan}.steps=48", f"{gan}.validate_every=6", *turns))
    final = schedule.run()
    run, out = final.parent, tmp_path / "average.safetensors"
    blends.average(run, 0.15, out)
    steps = len(seen)
    shares = torch.tensor(profile(steps, exponent(0.15), steps))
    truly = sum(share * weight for share, weight in zip(shares, seen, strict=True)).float()
    got = load_generator(out).to_color.weight
    assert (got - truly).abs().max() < 0.05 * (seen[-1] - truly).abs().max()
    assert read_header(out)["average"]["generator_steps"] == steps
    kept = sorted({part["step"] for part in read_header(out)["made_of"]})
    assert len(kept) > 2
    blends.average(run, 0.15, tmp_path / "earlier.safetensors", step=kept[1])
    parts = read_header(tmp_path / "earlier.safetensors")["made_of"]
    assert {part["step"] for part in parts} == set(kept[:2]), "later networks are no part of an earlier average"

    made = blends.strengthened(str(run), 0.5)
    assert [part["stage"] for part in read_header(made)["made_of"]] == ["01-generator_pretrain", "03-gan"]
    assert blends.strengthened(str(run), 1.0) == str(run)
