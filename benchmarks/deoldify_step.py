"""Seconds of one training step of DeOldify's Deep: as DeOldify ran it against our defaults for it, and their ratio.

python benchmarks/deoldify_step.py [--steps 5] [--batch 8] [--size 64] [--critic-width 256] [--device cuda]

*As DeOldify*: float32, contiguous layout, torch's spectral norm, and in the GAN's generator turn gradients of the
frozen encoder are computed and thrown away, as its trainer does. *Ours*: bf16-mixed and channels_last, spectral norm
with its gradient in closed form (`colorgan/networks/spectral.py`), frozen parts get no gradient. Both train the same
networks on the same random batch with VGG16-BN features (random weights, which cost the same). A step is what the
stage does: loss, gradients, optimizer. The pretraining step trains everything (stage G2); the GAN pair is one turn
of the critic and one of the generator, with frozen encoder convolutions. Shown are medians of `--steps`; the two
alternate. On a machine shared with others, CPU seconds with `--threads 1` say more than seconds on the clock.
"""

import argparse

import torch
from steps import Step, bare_steps, seconds
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as torch_spectral_norm

from colorgan.losses import BCEDiscriminatorLoss, BCEGeneratorLoss, FeatureLoss, NormalizedL1Loss
from colorgan.networks import DeOldifyCritic, TorchvisionPyramid, deoldify, spectral
from colorgan.networks.deoldify_weights import build, network_config
from colorgan.stages import FixedTurns, GANStage, GeneratorPretrainStage
from colorgan.stages.base import Stage


def losses() -> dict[str, nn.Module]:
    layers = ["features.22", "features.32", "features.42"]
    vgg = TorchvisionPyramid("vgg16_bn", layers=layers, weights=None)
    return {
        "pixel": NormalizedL1Loss(),
        "feature": FeatureLoss(vgg, [20, 70, 10]),
        "adversarial": BCEGeneratorLoss(),
        "discriminator": BCEDiscriminatorLoss(),
    }


def adamw(parameters: list) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-6, betas=(0.95, 0.99), weight_decay=1e-3, fused=True)


def one_of_each(stage: Stage, batch: dict[str, torch.Tensor], *, ours: bool) -> Step:
    device = batch["rgb"].device
    stage.to(device).to(memory_format=stage.memory_format)
    for loss in stage._losses.values():
        loss.to(device).to(memory_format=stage.memory_format)
    steps = bare_steps(stage, batch, bf16=ours, freeze_leak=not ours)

    def step() -> None:
        for turn in steps.values():
            turn()

    return step


def pretraining(batch: dict[str, torch.Tensor], *, ours: bool) -> Step:
    stage = GeneratorPretrainStage(
        generator=build(network_config("deep")),
        discriminator=None,
        losses=losses(),
        loss_weights={"pixel": 1.0, "feature": 1.0},
        optimizer=adamw,
        num_steps=1,
        channels_last=ours,
    )
    return one_of_each(stage, batch, ours=ours)


def gan(batch: dict[str, torch.Tensor], *, ours: bool, critic_width: int) -> Step:
    stage = GANStage(
        generator=build(network_config("deep")),
        discriminator=DeOldifyCritic(width=critic_width),
        losses=losses(),
        loss_weights={"pixel": 2.0, "feature": 2.0, "adversarial": 1.0, "discriminator": 1.0},
        optimizer_generator=adamw,
        optimizer_discriminator=adamw,
        turns=FixedTurns(),
        freeze_encoder="convolutions",
        num_steps=1,
        channels_last=ours,
    )
    return one_of_each(stage, batch, ours=ours)


def measure(device: str, *, batch: int, size: int, critic_width: int, repeats: int) -> dict[str, dict[str, tuple]]:
    """Time both stages both ways: seconds on the clock and of the process, by stage and side."""
    torch.manual_seed(0)
    rgb = torch.rand(batch, 3, size, size, device=device)
    images = {"rgb": rgb, "gray": rgb.mean(dim=1, keepdim=True)}
    makers = {
        "pretraining": pretraining,
        "GAN, a turn of each": lambda images, ours: gan(images, ours=ours, critic_width=critic_width),
    }
    found = {}
    for name, make in makers.items():
        steps = {}
        for side, norm in (("as DeOldify", torch_spectral_norm), ("ours", spectral.spectral_norm)):
            deoldify.spectral_norm = norm
            steps[side] = make(images, ours=side == "ours")
        found[name] = seconds(steps, device, repeats=repeats)
    return found


def main() -> None:
    """Measure both stages both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("steps", 5), ("batch", 8), ("size", 64), ("critic-width", 256), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    where = f"{arguments.device}, {arguments.threads} threads"
    print(f"Deep, {arguments.size} px, batch {arguments.batch}, {where}, seconds a step")
    print(f"{'':22}{'as DeOldify':>12}{'ours':>8}{'ratio':>7}{'CPU: as DeOldify':>20}{'ours':>8}{'ratio':>7}")
    found = measure(
        arguments.device,
        batch=arguments.batch,
        size=arguments.size,
        critic_width=arguments.critic_width,
        repeats=arguments.steps,
    )
    for name, row in found.items():
        (theirs, theirs_cpu), (ours, ours_cpu) = row["as DeOldify"], row["ours"]
        print(f"{name:22}{theirs:12.3f}{ours:8.3f}{theirs / ours:7.2f}", end="")
        print(f"{theirs_cpu:20.3f}{ours_cpu:8.3f}{theirs_cpu / ours_cpu:7.2f}", flush=True)


if __name__ == "__main__":
    main()
