"""Time the parts of the evaluation of one checkpoint, and the share that is no forward pass of a network.

python benchmarks/evaluation_speed.py CHECKPOINT PHOTOS [--photos 500] [--size 256] [--random-weights]
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from judging import all_metrics, first_photos
from rich.console import Console
from rich.table import Table
from torch import nn

from colorgan.checkpoint import find_checkpoint, load_generator
from colorgan.config import build_available_metrics
from colorgan.evaluation import measure as measuring
from colorgan.evaluation.results import Results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("folder", help="photos whose shorter side is at least --size")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--random-weights", action="store_true", help="also time FID, KID and LPIPS, on random weights")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row, networks, total = measure(options, Path(folder))
    table = Table(title=f"one checkpoint, {options.photos} photos, {options.size} px")
    for heading in ("part", "seconds", "in networks", "share of all"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for part, seconds in row.items():
        inside = networks[part]
        table.add_row(part, f"{seconds:.1f}", f"{inside:.1f}" if inside else "", f"{seconds / total:.1%}")
    outside = 1 - sum(networks.values()) / total
    table.add_row("all", f"{total:.1f}", f"{sum(networks.values()):.1f}", f"{outside:.1%} is not a network")
    Console().print(table)


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, float], dict[str, float], float]:
    """Time the parts of the checkpoint's row; returns seconds, those inside of networks, and their sum."""
    photos = first_photos(options.folder, count=options.photos, size=options.size, cache_dir=str(folder / "cache"))
    config = all_metrics()
    if options.random_weights:
        give_random_weights(config, folder)
    metrics, _ = build_available_metrics(config)
    inside: dict[tuple[str, str], float] = defaultdict(float)
    current = {"row": "", "part": ""}
    for name, metric in metrics.items():
        for network in (getattr(metric, "features", None), getattr(metric, "lpips", None)):
            if network is not None:
                count_time(getattr(network, "network", network), inside, current, name)
    measuring.load_generator = lambda path: count_time(load_generator(path), inside, current, "picture")

    def track(batches: Iterable[Any], name: str) -> Iterable[Any]:
        current["row"] = name
        return batches

    checkpoints = {"checkpoint": find_checkpoint(options.checkpoint)}
    results = Results(folder / "results")
    records = measuring.evaluate_checkpoints(checkpoints, photos, metrics, results, track=track)
    seconds: dict[str, float] = next(record["seconds"] for record in records if "checkpoint" in record)
    networks = defaultdict(float, {part: spent for (row, part), spent in inside.items() if row == "checkpoint"})
    return seconds, networks, sum(seconds.values())


def count_time(
    network: nn.Module, inside: dict[tuple[str, str], float], current: dict[str, str], part: str
) -> nn.Module:
    """Add the time of each forward pass of a network to its part of the current row; a shared one counts once."""
    if getattr(network, "_is_timed", False):
        return network
    started: list[float] = []
    network.register_forward_pre_hook(lambda *_: started.append(time.monotonic()))

    def stop(*_: Any) -> None:
        inside[current["row"], part] += time.monotonic() - started.pop()

    network.register_forward_hook(stop)
    network._is_timed = True  # type: ignore[assignment]
    return network


def give_random_weights(config: Any, folder: Path) -> None:
    """Write random weights in the official layouts: numbers mean nothing then, seconds do."""
    from torchvision import models

    files = {"inception": models.inception_v3(num_classes=1008, aux_logits=False, init_weights=True)}
    files |= {"alex": models.alexnet(), "vgg": models.vgg16()}
    for name, network in files.items():
        torch.save(network.state_dict(), folder / f"{name}.pth")
    for key, name in {"fid": "inception", "kid": "inception", "lpips_alex": "alex", "lpips_vgg": "vgg"}.items():
        config[key].weights = str(folder / f"{name}.pth")


if __name__ == "__main__":
    main()
