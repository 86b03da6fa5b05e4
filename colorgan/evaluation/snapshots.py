"""Look at the snapshots of a GAN stage as the rules do: observe them, draw each rule's curve and its choice."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor, nn

from colorgan import losses
from colorgan.checkpoint import build_network, load_generator, load_network, read_header
from colorgan.color import rgb_to_gray
from colorgan.config import datamodule_of_run, values_of_run
from colorgan.data.library import numbered
from colorgan.evaluation.duality import duality_gap
from colorgan.evaluation.inflection import NEEDS, RULES, Series, choose
from colorgan.evaluation.photos import PhotoSet
from colorgan.evaluation.report import Table
from colorgan.metrics.observation import ObservedPhotos, observe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PHOTOS = 200

logger = logging.getLogger(__name__)


@torch.no_grad()
def observe_snapshots(table: Table, photos: PhotoSet) -> list[dict[str, float | list[float]]]:
    """Observe the checkpoints of a table, in its order, on up to 200 of its photos: the series that rules choose from.

    A critic that learned from differences of logits alone, as the relativistic one, is left out: what one of its logits
    says is arbitrary.

    Args:
        table: its first checkpoint is what a GAN stage began with, step 0; the others are the stage's snapshots.
        photos: that it was measured on.
    """
    files = [Path(record["checkpoint"]["path"]) for record in table.checkpoints()]
    positions = photos.drawn(min(len(photos), _MOST_PHOTOS))
    batches = [photos.batch(position) for position in positions]
    gray, rgb = (torch.cat([batch[name] for batch in batches]) for name in ("gray", "rgb"))
    groups = torch.tensor(numbered([photos.groups[position] for position in positions]))
    looked_at = ObservedPhotos(gray, rgb, _colorized(load_generator(files[0]), gray), groups)
    if (seen := trained_photos(files[-1], rgb.shape[-1])) is not None:
        seen_rgb, seen_groups = seen
        seen_gray = rgb_to_gray(seen_rgb, str(photos.protocol.gray_rule))
        looked_at = replace(looked_at, seen_gray=seen_gray, seen_rgb=seen_rgb, seen_groups=seen_groups)
    pairs = _judges_pairs(files[-1])
    series: list[dict[str, float | list[float]]] = []
    for place, file in enumerate(files):
        generator, discriminator = load_generator(file), None if pairs else _discriminator(file)
        observed = observe(_colorized(generator, gray), discriminator, looked_at)
        step = int(read_header(file)["step"]) if place else 0
        values: dict[str, float | list[float]] = {"step": step, **observed}
        if discriminator is not None:
            values["duality_gap"] = duality_gap(generator, discriminator, gray, rgb, groups)
        series.append(values)
    return series


def trained_photos(snapshot: Path, image_size: int, count: int = 100) -> tuple[Tensor, Tensor] | None:
    """Read some of the photos that a snapshot's stage draws from, and number their groups.

    None where they are not there any more.
    """
    if snapshot.parent.name != "snapshots":
        return None
    run, (index, _, name) = snapshot.parents[2], snapshot.parents[1].name.partition("-")
    try:
        data = datamodule_of_run(run)
        stage = {"stage_index": int(index), "share": values_of_run(run)["schedule"]["stages"][name].get("share", 1.0)}
        data.examine(min_size=image_size)
    except (ValueError, OSError, KeyError) as error:  # photos have moved, or the config is somebody else's
        logger.warning("the critic is not shown photos that it trained on: %s", error)
        return None
    data.begin_stage(gray_rule="luma601", image_size=image_size, batch_size=1, num_steps=1, **stage)
    if (seen := data.training_panel(count)) is None:
        return None
    batch, groups = seen
    return batch["rgb"], torch.tensor(groups)


def _judges_pairs(snapshot: Path) -> bool:
    """Tell whether the critic of a snapshot's run learned from differences alone: one of its logits means nothing."""
    try:
        loss = values_of_run(snapshot.parents[2])["loss"]["discriminator"]["_target_"]
    except (OSError, KeyError):
        return False
    return bool(getattr(getattr(losses, str(loss).rpartition(".")[2], None), "paired", False))


def rule_choices(series: Series) -> pd.DataFrame:
    """Tabulate what each rule chooses, and whether it has seen enough; empty where it has nothing to go by."""
    choices = {name: choose(name, series) for name in RULES}
    rows = {name: (choice.step, choice.over) for name, choice in choices.items() if choice is not None}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["step", "has seen enough"])


def rule_curves(series: Series) -> "Figure":
    """Draw what each rule looks at over the steps; a line at its choice, dashed if it has not seen enough."""
    from matplotlib.figure import Figure  # not pyplot: no window, nothing to close

    figure = Figure(figsize=(13.5, 6.4), layout="constrained", dpi=110)
    for axis, name in zip(figure.subplots(2, 3).flatten(), RULES, strict=True):
        axis.set(title=name, xlabel="step of the stage", ylabel=NEEDS[name].removesuffix("_replicates"))
        choice = choose(name, series)
        if choice is None:
            continue
        axis.plot(list(choice.curve), list(choice.curve.values()), marker=".")
        axis.axvline(choice.step, color="black", linestyle="-" if choice.over else "--")
        if choice.level is not None:
            axis.axhline(choice.level, color="gray", linewidth=0.8)
    return figure


def chosen_snapshots(table: Table, steps: Sequence[int]) -> Table:
    """Keep of a table's checkpoints the first one and the snapshots of some steps."""
    first = table.checkpoints()[0]
    kept = [r for r in table.checkpoints()[1:] if r["checkpoint"]["step"] in steps]
    return replace(table, records=[record for record in table.records if record in (first, *kept)])


def _colorized(generator: nn.Module, gray: Tensor) -> Tensor:
    return torch.cat([generator(part) for part in torch.split(gray, 32)])


def _discriminator(file: Path) -> nn.Module | None:
    networks = read_header(file)["networks"]
    if "discriminator" not in networks:
        return None
    discriminator = build_network(networks["discriminator"]).eval()
    load_network(discriminator, file, "discriminator")
    return discriminator
