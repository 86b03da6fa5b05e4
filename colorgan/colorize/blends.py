"""Make checkpoints of checkpoints: blends of two, and averages of any length of those that a stage kept."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from colorgan.checkpoint import (
    AVERAGES,
    CheckpointError,
    find_checkpoint,
    load_generator,
    read_header,
    save_checkpoint,
    without_weights,
)
from colorgan.color import rgb_to_gray
from colorgan.colorize.engines import cache_folder
from colorgan.config import differences
from colorgan.data.folder import FolderSource
from colorgan.data.sources import SamplesSource
from colorgan.data.transforms import random_view
from colorgan.files import file_hash
from colorgan.media.photo import UnreadablePhotoError
from colorgan.networks.averages import LENGTHS, solve
from colorgan.networks.mixtures import mix

STRENGTHS = (0.0, 1.5)
_VIEWS, _AT_ONCE = 128, 16  # on which the statistics of batch norm are measured
_OWN = ("format", "networks", "content", "versions", "gray_rule", "metrics", "average")  # not of what is made of it


def check_strength(strength: float) -> None:
    """Refuse a strength outside the range."""
    if not STRENGTHS[0] <= strength <= STRENGTHS[1]:
        raise ValueError(f"--strength must be {STRENGTHS[0]:g} to {STRENGTHS[1]:g}, got {strength:g}")


def blend(first: Path, second: Path, strength: float, out: Path, *, photos: str | None = None) -> None:
    """Write a checkpoint between two, or beyond the second.

    Args:
        first: the checkpoint at strength 0.
        second: the checkpoint at strength 1, of the same architecture.
        strength: 0 to 1.5.
        out: the `.safetensors` file.
        photos: folder on which statistics are measured; None for the built-in photos.

    Raises:
        CheckpointError: the two have generators of different architectures.
        ValueError: the strength is outside its range, or no photo can be used.
    """
    check_strength(strength)
    _write_mixture([first, second], [1 - strength, strength], out, photos, {"strength": strength})


def average(run: Path, length: float, out: Path, *, step: int | None = None, photos: str | None = None) -> str:
    """Write the average of a length that was not kept, from those that a stage kept; says how near it is.

    Args:
        run: a run folder, whose last stage with averages counts, or the folder of a stage.
        length: as a share of the generator's steps so far, .02 to .25.
        step: of the stage at which the average ends; None for the last.
        out: the `.safetensors` file.
        photos: see `blend`.

    Raises:
        FileNotFoundError: no averages were kept.
        ValueError: the length is outside its range, or none was kept at that step.
    """
    if not LENGTHS[0] <= length <= LENGTHS[1]:
        raise ValueError(f"--length must be {LENGTHS[0]:g} to {LENGTHS[1]:g}, got {length:g}")
    headers = _kept_averages(run)
    ends = {header["step"]: int(header["average"]["generator_steps"]) for header in headers.values()}
    step = max(ends) if step is None else step
    if step not in ends:
        allowed = ", ".join(map(str, sorted(ends)))
        raise ValueError(f"{run} kept no averages at step {step}; allowed: {allowed} (--step)")
    # Later ones hold networks that the wanted average has not seen. Those of the step come last: they lend the header.
    files = sorted((f for f in headers if headers[f]["step"] <= step), key=lambda file: headers[file]["step"] == step)
    kept = [(headers[f]["average"]["generator_steps"], headers[f]["average"]["length"]) for f in files]
    shares, error = solve(kept, (ends[step], length))
    facts = {"length": length, "generator_steps": ends[step], "profile_error": error}
    _write_mixture(files, shares.tolist(), out, photos, {"average": facts})
    return f"of {len(files)} kept averages; its profile is {100 * error:.2g} % off that of one kept all along"


def strengthened(checkpoint: str, strength: float | None, other: str | None = None) -> str | Path:
    """Find or make the blend of a checkpoint with the one before its GAN; kept in the cache of the engines.

    Args:
        checkpoint: as the user named it.
        strength: None for the checkpoint itself.
        other: the checkpoint of strength 0; None for that of the run in which the checkpoint lies.

    Raises:
        FileNotFoundError: the run has none, or the checkpoint lies in no run.
        ValueError: see `blend`.
    """
    if strength is None:
        if other is not None:
            raise ValueError("--blend-with needs --strength")
        return checkpoint
    check_strength(strength)
    second = find_checkpoint(checkpoint)
    first = find_checkpoint(other) if other is not None else _before_gan(second)
    if strength == 1:
        return checkpoint
    name = hashlib.sha256(json.dumps([file_hash(first), file_hash(second), strength]).encode()).hexdigest()
    out = cache_folder().parent / "blends" / name[:32] / f"{second.stem}-strength-{strength:g}.safetensors"
    if not out.exists():
        blend(first, second, strength, out)
    return out


def _before_gan(checkpoint: Path) -> Path:
    """Find the hand-over of a run's last stage before its discriminator was first trained."""
    for run in checkpoint.resolve().parents[:3]:
        stages = sorted(run.glob("[0-9][0-9]-*/done.json"))
        trained = [json.loads(stage.read_text()).get("discriminator_steps", 0) > 0 for stage in stages]
        if True in trained and not trained[0]:
            return stages[trained.index(True) - 1].with_name("handover.safetensors")
    raise FileNotFoundError(
        f"{checkpoint} lies in no run with a stage before its GAN; --blend-with names the checkpoint of strength 0"
    )


def _kept_averages(run: Path) -> dict[Path, dict[str, Any]]:
    """Find the averages that a stage kept, or the last stage of a run that kept any, with their headers."""
    for folder in [run, *sorted(run.glob("[0-9][0-9]-*"), reverse=True)]:
        headers = {file: read_header(file) for file in sorted((folder / AVERAGES).glob("*.safetensors"))}
        # Somebody may have put there what was solved from them.
        if kept := {file: h for file, h in headers.items() if "average" in h and "made_of" not in h}:
            return kept
    raise FileNotFoundError(
        f"{run} holds no averages; train with schedule.stages.gan.power_averages=true, and give the run folder"
    )


def _write_mixture(
    files: Sequence[Path], shares: Sequence[float], out: Path, photos: str | None, facts: dict[str, Any]
) -> None:
    headers = [read_header(file) for file in files]
    _check_alike(files, headers)
    last = headers[-1]
    grays = _grays(photos, int(last["image_size"]), str(last["gray_rule"]))
    parts: list[Callable[[], torch.nn.Module]] = [partial(load_generator, file) for file in files]
    mixture = mix(parts, shares, grays)
    made_of = [
        {"file": file.name, "sha256": file_hash(file), "share": share, "stage": h.get("stage"), "step": h.get("step")}
        for file, share, h in zip(files, shares, headers, strict=True)
    ]
    save_checkpoint(
        out,
        {"generator": mixture},
        configs={"generator": last["networks"]["generator"]},
        facts={
            **{key: value for key, value in last.items() if key not in _OWN},
            **facts,
            "metrics": {},
            "made_of": made_of,
            "statistics": {"photos": photos or "built in", "views": _VIEWS},
            "splits": _joined(header.get("splits", []) for header in reversed(headers)),
            "trained_through": sorted(_joined(header.get("trained_through", []) for header in headers)),
        },
    )


def _check_alike(files: Sequence[Path], headers: Sequence[dict[str, Any]]) -> None:
    configs = [header["networks"].get("generator") for header in headers]
    for file, config in zip(files, configs, strict=True):
        if config is None:
            raise CheckpointError(f"{file} holds no generator")
        if changed := differences(without_weights(configs[0]), without_weights(config)):
            raise CheckpointError(
                f"{files[0]} and {file} cannot be blended, for their generators differ in {'; '.join(changed)}"
            )


def _joined(lists: Any) -> list[Any]:
    joined: list[Any] = []
    for values in lists:
        joined += [value for value in values if value not in joined]
    return joined


def _grays(photos: str | None, size: int, gray_rule: str) -> list[Tensor]:
    """Draw views of photos, the same ones each time, as batches of gray."""
    source = SamplesSource() if photos is None else FolderSource(photos)
    listing = source.listing()
    rng = np.random.default_rng(0)
    views: list[Tensor] = []
    usable = list(rng.permutation(len(listing)))
    while len(views) < _VIEWS and usable:
        for row in list(usable):
            try:
                pixels = np.asarray(source.open(listing[int(row)]).convert("RGB"))
            except UnreadablePhotoError:
                pixels = np.empty((0, 0, 3), np.uint8)
            if min(pixels.shape[:2]) < size:
                usable.remove(row)
                continue
            view = np.array(random_view(pixels, size, rng, min_crop=0.5))  # a copy that torch may take
            views.append(torch.from_numpy(view).permute(2, 0, 1)[None].float() / 255)
            if len(views) == _VIEWS:
                break
    if not views:
        where = f"photos in {photos}" if photos else "built-in photos"
        raise ValueError(
            f"none of {len(listing)} {where} has {size} pixels on its shorter side, as pictures in training had; "
            "give larger ones (--photos of colorgan blend and average)"
        )
    return list(torch.split(rgb_to_gray(torch.cat(views), gray_rule), _AT_ONCE))
