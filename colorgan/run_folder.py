"""The files by which a run knows itself again: its config, and which of its stages are done."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import yaml

from colorgan.checkpoint import file_hash
from colorgan.plan import PlannedStage, config_differences

logger = logging.getLogger(__name__)


def claim_folder(folder: Path, config: dict[str, Any]) -> None:
    """Begin a run folder, or check that the one that is there belongs to this config.

    Raises:
        ValueError: it holds a run with another config.
    """
    path = folder / "config.yaml"
    if path.exists():
        before = yaml.safe_load(path.read_text())
        if differences := config_differences(before, config):
            raise ValueError(
                f"{folder} holds a run with another config ({'; '.join(differences)}); "
                "give this run its own folder with name=..., or the old values to go on"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(yaml.safe_dump(config, sort_keys=False))
    temporary.replace(path)


def is_done(stage: PlannedStage) -> bool:
    """Whether a stage has ended and its hand-over file is whole."""
    done, handover = stage.folder / "done.json", stage.folder / "handover.safetensors"
    if not done.exists():
        return False
    if not handover.exists() or json.loads(done.read_text())["handover"] != file_hash(handover):
        logger.warning("%s is missing or damaged; its stage runs again", handover)
        return False
    return True


def copy_file(source: Path, target: Path) -> None:
    """Copy under a temporary name, then rename."""
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)
