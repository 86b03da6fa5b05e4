"""Seconds of one training step of DeOldify's Deep: as DeOldify ran it against our defaults for it, and their ratio.

python benchmarks/deoldify_step.py [--steps 5] [--batch 8] [--size 64] [--critic-width 256] [--device cuda] [--compiled]

*As DeOldify*: float32, contiguous layout, torch's spectral norm, and in the GAN's generator turn gradients of the
frozen encoder are computed and thrown away, as its trainer does. *Ours*: bf16-mixed and channels_last, spectral norm
with its gradient in closed form (`colorgan/networks/spectral.py`), frozen parts get no gradient; `--compiled` adds
ours as `compile: true` runs it. All train the same networks on the same random batch with VGG16-BN features (random
weights, which cost the same). A step is what the stage does: loss, gradients, optimizer. The pretraining step trains
everything (stage G2); the GAN pair is one turn of the critic and one of the generator, with frozen encoder
convolutions. Shown are medians of `--steps`; the sides alternate. On a machine shared with others, CPU seconds with
`--threads 1` say more than seconds on the clock.
"""

import argparse
from functools import partial

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


def one_of_each(stage: Stage, batch: dict[str, torch.Tensor], *, ours: bool, compiled: bool) -> Step:
    device = batch["rgb"].device
    stage.to(device).to(memory_format=stage.memory_format)
    for loss in stage._losses.values():
        loss.to(device).to(memory_format=stage.memory_format)
    if compiled:
        stage.compile_steps()
    steps = bare_steps(stage, batch, bf16=ours, freeze_leak=not ours)

    def step() -> None:
        for turn in steps.values():
            turn()

    return step


def pretraining(batch: dict[str, torch.Tensor], *, ours: bool, compiled: bool) -> Step:
    stage = GeneratorPretrainStage(
        generator=build(network_config("deep")),
        discriminator=None,
        losses=losses(),
        loss_weights={"pixel": 1.0, "feature": 1.0},
        optimizer=adamw,
        num_steps=1,
        channels_last=ours,
    )
    return one_of_each(stage, batch, ours=ours, compiled=compiled)


def gan(batch: dict[str, torch.Tensor], *, ours: bool, compiled: bool, critic_width: int) -> Step:
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
    return one_of_each(stage, batch, ours=ours, compiled=compiled)


def measure(
    device: str, *, batch: int, size: int, critic_width: int, repeats: int, compiled: bool = False
) -> dict[str, dict[str, tuple]]:
    """Time both stages each way: seconds on the clock and of the process, by stage and side."""
    torch.manual_seed(0)
    rgb = torch.rand(batch, 3, size, size, device=device)
    images = {"rgb": rgb, "gray": rgb.mean(dim=1, keepdim=True)}
    makers = {
        "pretraining": pretraining,
        "GAN, a turn of each": partial(gan, critic_width=critic_width),
    }
    sides = {"as DeOldify": torch_spectral_norm, "ours": spectral.spectral_norm}
    if compiled:
        sides["ours, compiled"] = spectral.spectral_norm
    found = {}
    for name, make in makers.items():
        steps = {}
        for side, norm in sides.items():
            deoldify.spectral_norm = norm
            steps[side] = make(images, ours=side != "as DeOldify", compiled=side == "ours, compiled")
        found[name] = seconds(steps, device, repeats=repeats)
    return found


def main() -> None:
    """Measure both stages both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("steps", 5), ("batch", 8), ("size", 64), ("critic-width", 256), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compiled", action="store_true", help="ours compiled too, which first takes a minute or two")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    where = f"{arguments.device}, {arguments.threads} threads"
    print(f"Deep, {arguments.size} px, batch {arguments.batch}, {where}, seconds a step")
    found = measure(
        arguments.device,
        batch=arguments.batch,
        size=arguments.size,
        critic_width=arguments.critic_width,
        repeats=arguments.steps,
        compiled=arguments.compiled,
    )
    print(f"{'':22}{'side':16}{'seconds':>9}{'ratio':>7}{'CPU seconds':>13}{'ratio':>7}")
    for name, row in found.items():
        clock, cpu = row["as DeOldify"]
        for side, (own_clock, own_cpu) in row.items():
            print(f"{name:22}{side:16}{own_clock:9.3f}{clock / own_clock:7.2f}{own_cpu:13.3f}{cpu / own_cpu:7.2f}")


if __name__ == "__main__":
    main()
