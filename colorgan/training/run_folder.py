"""Read and write a run folder: its lock and config, its checkpoints, which of its stages are done."""

import copy
import errno
import fcntl
import json
import logging
import os
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig
from torch import nn
from torchmetrics import MetricCollection

from colorgan.callbacks import observed
from colorgan.checkpoint import AVERAGES, save_checkpoint
from colorgan.config import differences, plain
from colorgan.files import Writer, copy_file, file_hash, write_text
from colorgan.stages.base import Stage
from colorgan.training.checks import check_picture, check_saved
from colorgan.training.plan import INFLECTION, PlannedStage

logger = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, *, instead: str = "give this run its own folder with name=...") -> Iterator[None]:
    """Keep other processes out of a folder; the kernel gives the lock back, however this process ends.

    A lock of the process (`lockf`), not of the open file: a data worker that outlives a kill does not keep it.

    Args:
        folder: of a run, for one.
        instead: what else one can do, for the error.

    Raises:
        ValueError: another process is at work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                logger.warning("%s cannot be locked (%s): do not start this run twice", folder, error.strerror)
            else:
                file.seek(0)
                raise ValueError(
                    f"another process is at work in {folder} ({file.read().strip() or 'unknown'}); "
                    f"wait for it, stop it, or {instead}"
                ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def claim_folder(folder: Path, config: dict[str, Any]) -> None:
    """Begin a run folder, or check that the one that is there belongs to this config.

    A folder without a manifest and without a stage holds no run yet: its photos were refused, and the error's advice is
    to change the config.

    Raises:
        ValueError: it holds a run with another config.
    """
    path = folder / "config.yaml"
    if path.exists() and ((folder / "manifest.csv").exists() or any(folder.glob("[0-9][0-9]-*"))):
        before = _read_config(path)
        if changed := differences(before, config):
            raise ValueError(
                f"{folder} holds a run with another config ({'; '.join(changed)}); "
                "give this run its own folder with name=..., or the old values to go on"
            )
        return
    write_text(path, yaml.safe_dump(config, sort_keys=False))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict):
        raise ValueError(f"{path} is damaged; delete it if you are sure that the command is the one the run began with")
    return config


def is_done(stage: PlannedStage) -> bool:
    """Tell whether a stage has ended and its hand-over file is whole."""
    done, handover = stage.folder / "done.json", stage.folder / "handover.safetensors"
    if not done.exists():
        return False
    try:
        expected = json.loads(done.read_text())["handover"]
    except (ValueError, KeyError, TypeError):
        logger.warning("%s is damaged; its stage runs again", done)
        return False
    if not handover.exists() or expected != file_hash(handover):
        logger.warning("%s is missing or damaged; its stage runs again", handover)
        return False
    return True


def resume_file(folder: Path) -> Path | None:
    """Find the newest whole file to resume a stage from, `last.ckpt` or the one before; None to begin the stage."""
    names = ("last.ckpt", "previous.ckpt")
    for path in (folder / name for name in names):
        if not path.exists():
            continue
        if _is_whole(path):
            return path
        logger.warning("%s is damaged; the save before it counts", path)
    return None


def _is_whole(path: Path) -> bool:
    """Tell whether the content fits the checksums that torch writes into the file, which is a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile stumbles over damage in many ways
        return False


def remove_resume_files(folder: Path) -> None:
    """Remove the files that an unfinished stage would resume from."""
    for name in ("previous.ckpt", "last.ckpt"):
        (folder / name).unlink(missing_ok=True)


def save_networks(
    path: Path,
    stage: PlannedStage,
    module: Stage,
    metrics: Mapping[str, float],
    *,
    config: DictConfig,
    provenance: Mapping[str, Any],
    writer: Writer,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Write a checkpoint of a stage's networks, with step, metrics, provenance and config in its header; check it.

    Training need not wait for the file, but for its first one: that the header rebuilds the network draws numbers, as
    steps do, and takes seconds for a large one. It is so for all of a stage.

    Args:
        path: the file.
        stage: the planned stage.
        module: holds the networks, after `module.steps` steps; they are copied.
        metrics: last values measured of them.
        config: of the run.
        provenance: what this run, and those it started from, hold out and trained through (`Provenance.with_own`).
        writer: writes it.
        then: what to do behind it.
    """
    first = not any((stage.folder / "snapshots").glob("*.safetensors"))
    both = {"generator": module.generator, "discriminator": module.discriminator}
    networks = {name: copy.deepcopy(network).cpu() for name, network in both.items() if network is not None}
    configs = {name: plain(config[name]) for name in networks}
    facts = {**_facts(stage, module), "metrics": dict(metrics), **provenance}

    def write() -> None:
        save_checkpoint(path, networks, configs=configs, facts=facts)
        check_saved(path, networks, trained=module.trains)
        then()

    writer.submit(write)
    if first:
        writer.wait()
        check_picture(path, module.generator)


def save_average(
    stage: PlannedStage,
    module: Stage,
    average: nn.Module,
    kept: Mapping[str, float],
    *,
    config: DictConfig,
    provenance: Mapping[str, Any],
) -> None:
    """Write a power average of the generator beside the snapshots; check it.

    Args:
        stage: the planned stage.
        module: of which it is the average.
        average: the network.
        kept: its length, and the generator's steps behind it.
        config: of the run.
        provenance: see `save_networks`.
    """
    name = f"step={module.steps:06d}-length={kept['length']:.2f}.safetensors"
    path = stage.folder / AVERAGES / name
    facts = {**_facts(stage, module), "metrics": {}, "average": dict(kept), **provenance}
    save_checkpoint(path, {"generator": average}, configs={"generator": plain(config.generator)}, facts=facts)
    check_saved(path, {"generator": average}, trained=("generator",))


def _facts(stage: PlannedStage, module: Stage) -> dict[str, Any]:
    return {
        "stage": stage.folder.name,
        "step": module.steps,
        "total_step": stage.first_step + module.steps,
        **module.counts(),
        "image_size": stage.entry.image_size,
    }


def snapshot_file(stage: PlannedStage, step: int) -> Path:
    """Name the file that keeps the networks of a validation."""
    return stage.folder / "snapshots" / f"step={step:06d}.safetensors"


def drop_snapshots(stage: PlannedStage, measured: list[dict[str, Any]], metrics: MetricCollection) -> None:
    """Delete the snapshots that a stage does not keep: all but those of its plan, the best and the newest.

    Args:
        stage: the planned stage.
        measured: its records, in order, the last one of a snapshot that is whole.
        metrics: which know what is better.
    """
    best = _best(stage, measured, metrics)
    kept = {*stage.snapshot_steps, measured[-1]["step"], *([best["step"]] if best else [])}
    for record in measured:
        if record["step"] not in kept:
            snapshot_file(stage, record["step"]).unlink(missing_ok=True)


def _best(stage: PlannedStage, measured: list[dict[str, Any]], metrics: MetricCollection) -> dict[str, Any] | None:
    """Choose the best record that has a snapshot; None without any, or where the last networks are handed on."""
    name = stage.entry.handover
    if name == "last":
        return None
    if name == INFLECTION:
        return _by_rule(stage, measured)
    sign = -1 if metrics[name].higher_is_better else 1
    known = [r for r in measured if r["metrics"][name] == r["metrics"][name]]  # no NaN
    kept = [record for record in known if snapshot_file(stage, record["step"]).exists()]
    return min(kept, key=lambda record: sign * record["metrics"][name], default=None)


def _by_rule(stage: PlannedStage, measured: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Choose the record that the stage's rule names."""
    choice = stage.choice(observed(measured))
    if choice is None or not snapshot_file(stage, choice.step).exists():
        return None
    return next((record for record in measured if record["step"] == choice.step), None)


def hand_over(
    stage: PlannedStage,
    measured: list[dict[str, Any]],
    metrics: MetricCollection,
    save: Callable[[Path, Mapping[str, float]], None],
) -> Path:
    """Write the hand-over file of a finished stage; returns its path.

    Args:
        stage: the planned stage.
        measured: its records, in order.
        metrics: which know what is better.
        save: writes the networks as they are now, with the values measured of them.
    """
    path, name = stage.folder / "handover.safetensors", stage.entry.handover
    best = _best(stage, measured, metrics)
    if best is not None:
        by = f"the rule {stage.rule}" if name == INFLECTION else name
        logger.info("handing on step %d of %s, best by %s", best["step"], stage.folder.name, by)
        copy_file(snapshot_file(stage, best["step"]), path)
    else:
        if name != "last":
            logger.warning(
                "%s: no snapshot can be chosen by %s; the last networks are handed on", stage.folder.name, name
            )
        save(path, measured[-1]["metrics"] if measured else {})
    if name == INFLECTION and measured:  # until now its rule might have chosen any
        drop_snapshots(stage, measured, metrics)
    return path
