"""Seconds of one training step of DeOldify's Deep: as DeOldify ran it against our defaults for it, and their ratio.

python benchmarks/deoldify_step.py [--steps 5] [--batch 8] [--size 64] [--critic-width 256]

*As DeOldify*: float32, contiguous layout, torch's spectral norm, and in the GAN's generator turn gradients of the
frozen encoder are computed and thrown away, as its trainer does. *Ours*: bf16-mixed and channels_last, spectral norm
with its gradient in closed form (`colorgan/networks/spectral.py`), frozen parts get no gradient. Both train the same
networks on the same random batch with VGG16-BN features (random weights, which cost the same). A step is what the
stage does: loss, gradients, optimizer. The pretraining step trains everything (stage G2); the GAN pair is one turn
of the critic and one of the generator, with frozen encoder convolutions. Shown are the best of `--steps`; the two
alternate. On a machine shared with others, CPU seconds with `--threads 1` say more than seconds on the clock.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm as torch_spectral_norm

from colorgan.losses import BCEDiscriminatorLoss, BCEGeneratorLoss, FeatureLoss, NormalizedL1Loss
from colorgan.networks import DeOldifyCritic, TorchvisionPyramid, deoldify, spectral
from colorgan.networks.deoldify_weights import build, network_config
from colorgan.stages import FixedTurns, GANStage, GeneratorPretrainStage
from colorgan.stages.base import Stage

Step = Callable[[], None]


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


def stage_step(stage: Stage, batch: dict[str, torch.Tensor], *, ours: bool) -> Step:
    """One step of each player, without a trainer around it."""
    layout = torch.channels_last if ours else torch.contiguous_format
    stage.to(memory_format=layout)
    for loss in stage._losses.values():
        loss.to(memory_format=layout)
    batch = {key: value.to(memory_format=layout) for key, value in batch.items()}
    stage.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    optimizers = stage.configure_optimizers()
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers["optimizer"]]
    by_player = dict(zip(stage.trains, optimizers, strict=True))
    convolutions = [m.weight for m in stage.generator.encoder.modules() if isinstance(m, nn.Conv2d)]

    def step() -> None:
        for player, loss_of in stage.step_losses().items():
            stage.set_modes((player,))
            for name in stage.trains:  # Lightning's toggle: the idle network gets no gradient
                for group in by_player[name].param_groups:
                    for parameter in group["params"]:
                        parameter.requires_grad_(name == player)
            if not ours and stage.freeze_encoder:
                for weight in convolutions:  # DeOldify's freeze leak
                    weight.requires_grad_(player == "generator")
            by_player[player].zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=ours):
                loss = loss_of(batch)
            loss.backward()
            by_player[player].step()
            for weight in convolutions:
                if stage.freeze_encoder:
                    weight.grad = None

    return step


def pretraining(batch: dict[str, torch.Tensor], *, ours: bool) -> Step:
    stage = GeneratorPretrainStage(
        generator=build(network_config("deep")),
        discriminator=None,
        losses=losses(),
        loss_weights={"pixel": 1.0, "feature": 1.0},
        optimizer=adamw,
        num_steps=1,
    )
    return stage_step(stage, batch, ours=ours)


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
    )
    return stage_step(stage, batch, ours=ours)


def main() -> None:
    """Measure both stages both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("steps", 5), ("batch", 8), ("size", 64), ("critic-width", 256), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rgb = torch.rand(arguments.batch, 3, arguments.size, arguments.size)
    batch = {"rgb": rgb, "gray": rgb.mean(dim=1, keepdim=True)}
    print(f"Deep, {arguments.size} px, batch {arguments.batch}, {torch.get_num_threads()} threads, seconds a step")
    print(f"{'':22}{'as DeOldify':>12}{'ours':>8}{'ratio':>7}{'CPU: as DeOldify':>20}{'ours':>8}{'ratio':>7}")
    rows = {"pretraining": pretraining, "GAN, a turn of each": lambda b, ours: gan(b, ours=ours, critic_width=width)}
    width = arguments.critic_width
    for name, make in rows.items():
        steps = {}
        for ours in (False, True):
            deoldify.spectral_norm = spectral.spectral_norm if ours else torch_spectral_norm
            steps[ours] = make(batch, ours=ours)
        taken: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for repeat in range(arguments.steps + 1):
            for ours, step in steps.items():
                started = time.perf_counter(), time.process_time()
                step()
                if repeat:  # the first one warms up
                    taken[ours].append((time.perf_counter() - started[0], time.process_time() - started[1]))
        clock, cpu = ([min(t[i] for t in taken[ours]) for ours in (False, True)] for i in (0, 1))
        print(f"{name:22}{clock[0]:12.2f}{clock[1]:8.2f}{clock[0] / clock[1]:7.2f}", end="")
        print(f"{cpu[0]:20.2f}{cpu[1]:8.2f}{cpu[0] / cpu[1]:7.2f}", flush=True)


if __name__ == "__main__":
    main()
