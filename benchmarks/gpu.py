"""Measure a GPU, in one command; what docs/speed.md says of it was measured when the default generator was the U-Net.

    python benchmarks/gpu.py [--photos FOLDER] [--small]

Printed are the measured bound of convolutions, the loop of `train.py` beside its bare step (stage 1 and GAN, the
default generator, 128 px, batch 32), the step of 64 px and batch 16 compiled, and with CUDA graphs, beside eager,
DeOldify's Deep as DeOldify ran it beside ours (192 px, batch 8), whether two runs with `trainer.deterministic=true`
end in equal bits, and the speed and colours of what `colorgan colorize` runs on a GPU. All sides of each ratio are
measured in this one call; on a slow host the last ones, which are compiled, come after six minutes. `--small` is the
same on whatever is here, a CPU too, in sizes that only show that it runs.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
import torch._inductor.config
from deoldify_step import measure as measure_deep
from steps import bare_steps, seconds
from torch import nn
from training_speed import in_its_own_process

from colorgan.checkpoint import SMALL, find_checkpoint, load_generator, read_tensors
from colorgan.colorize.engines import TorchEngine
from colorgan.colorize.parity import check_pictures, compare
from colorgan.config import compose
from colorgan.stages.base import Stage
from colorgan.training.build import build_stage
from colorgan.training.plan import plan_stages
from colorgan.training.schedule import Schedule

STAGES = ("generator_pretrain", "gan")


def convolution_peak(device: str, size: int) -> float:
    """Measure TFLOP/s of a 3x3 convolution, 256 to 256 channels, bfloat16, channels last."""
    conv = nn.Conv2d(256, 256, 3, padding=1, device=device, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    images = torch.randn(8, 256, size, size, device=device, dtype=torch.bfloat16)
    images = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        taken, _ = seconds({"conv": lambda: conv(images)}, device, repeats=20, warmup=5)["conv"]
    return 2 * 8 * size**2 * 256 * 256 * 9 / taken / 1e12


def small_step(device: str, way: str, *, repeats: int) -> None:
    """Time and print the bare steps of the GAN stage at laptop scale, bf16.

    Args:
        device: `cuda` or `cpu`.
        way: `eager`, `compiled`, or `graphs`, which is compiled with CUDA graphs.
        repeats: how many steps of each network are timed.
    """
    torch.compiler.reset()
    torch._inductor.config.triton.cudagraphs = way == "graphs"
    config = compose(
        "train", "experiment=nogan_image", "schedule.first=[]", "schedule.repeat=[gan]", "schedule.times=1"
    )
    [planned] = plan_stages(config.schedule, Path("unused"), num_photos=1)
    stage: Stage = build_stage(config, planned, None).to(device)
    stage.to(memory_format=stage.memory_format)
    for loss in stage._losses.values():
        loss.to(device)
    if way != "eager":
        stage.compile_steps()
    rgb = torch.rand(16, 3, 64, 64, device=device)
    steps = bare_steps(stage, {"rgb": rgb, "gray": rgb.mean(dim=1, keepdim=True)}, bf16=device == "cuda")
    started = time.monotonic()
    for step in steps.values():
        step()
    first = time.monotonic() - started
    found = seconds(steps, device, repeats=repeats, warmup=5)
    taken = ", ".join(f"{player} {1000 * own:.1f} ms" for player, (own, _) in found.items())
    print(f"64 px, batch 16, {way}: {taken}; the first of each {first:.1f} s", flush=True)


def inference(checkpoint: Path, device: str, *, repeats: int) -> None:
    """Time a generator as loaded, and as `colorgan colorize` runs it; say how far its colours are from float32."""
    engines = {
        "as loaded": load_generator(checkpoint).to(device),
        "fp32": TorchEngine(load_generator(checkpoint), device),
        "fp16": TorchEngine(load_generator(checkpoint), device, torch.float16),
    }
    exact = TorchEngine(load_generator(checkpoint), "cpu")
    for batch in (1, 8):
        gray = torch.rand(batch, 1, 256, 256, device=device)
        with torch.inference_mode():
            found = seconds(
                {name: partial(engine, gray) for name, engine in engines.items()}, device, repeats=repeats, warmup=5
            )
        speeds = (f"{name} {batch / taken:.0f}" for name, (taken, _) in found.items())
        print(f"inference, 256 px, batch {batch}, images/s: {', '.join(speeds)}", flush=True)
    for name, engine in list(engines.items())[1:]:
        found = compare(lambda gray, e=engine: e(gray.to(device)), exact, check_pictures(128))
        print(f"inference, {name} against float32 on the CPU, in levels: {found.describe()}", flush=True)


def equal_bits(folder: Path) -> bool:
    """Train twice with `trainer.deterministic=true`, and tell whether equal networks come out."""
    ends = []
    for name in ("first", "second"):
        words = (
            "experiment=smoke",
            "trainer.enable_progress_bar=false",
            "trainer.deterministic=true",
            f"runs_dir={folder}",
            f"name={name}",
        )
        ends.append(read_tensors(Schedule(compose("train", *words)).run(), "generator"))
    return all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def show_deep(found: Mapping[str, Mapping[str, tuple[float, float]]]) -> None:
    """Print milliseconds of DeOldify's steps, and how many times as fast as DeOldify they are."""
    for name, sides in found.items():
        theirs = sides["as DeOldify"][0]
        taken = ", ".join(f"{side} {1000 * own:.1f} ms ({theirs / own:.2f})" for side, (own, _) in sides.items())
        print(f"Deep, {name}: {taken}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder to train on; by default the built-in photos")
    parser.add_argument("--small", action="store_true", help="tiny sizes, on whatever device there is")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not arguments.small:
        sys.exit("error: there is no GPU here; --small shows that the script runs")
    small, started = arguments.small, time.monotonic()
    print(f"{torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}, torch {torch.__version__}", flush=True)
    print(f"convolution, bf16: {convolution_peak(device, 16 if small else 64):.1f} TFLOP/s", flush=True)
    pixels, batch, steps = (32, 4, 4) if small else (128, 32, 300)
    data = ["data=folder", f"data.path={arguments.photos}"] if arguments.photos else []
    workers = 0 if small else 8
    for stage in STAGES:
        sizes = [f"schedule.stages.{stage}.image_size={pixels}", f"schedule.stages.{stage}.batch_size={batch}"]
        options = ["trainer.precision=bf16-mixed", f"data.num_workers={workers}", "save_every=500", *data, *sizes]
        row = in_its_own_process(stage, steps, options)
        speed = f"loop {row['images/s']:.0f} images/s, bare step {row['bare']:.0f}"
        share = f"share {row['images/s'] / row['bare']:.2f}, waiting {row['waiting %']:.1f} %"
        print(f"{stage}, {pixels} px, batch {batch}: {speed}, {share}, {row['peak MiB']:.0f} MiB", flush=True)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        equal = apart.submit(equal_bits, Path(folder)).result()  # a process that was deterministic stays so, and slow
        print(f"equal bits with trainer.deterministic=true: {equal}", flush=True)
    inference(find_checkpoint(SMALL), device, repeats=3 if small else 50)
    small_step(device, "eager", repeats=2 if small else 30)
    deep = partial(
        measure_deep,
        device,
        batch=2 if small else 8,
        size=64 if small else 192,
        critic_width=16 if small else 256,
        repeats=1 if small else 10,
    )
    show_deep(deep())
    if not small:  # to compile takes minutes: what is quick has been printed
        small_step(device, "compiled", repeats=30)
        show_deep(deep(compiled=True))
        small_step(device, "graphs", repeats=30)
    print(f"{time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
