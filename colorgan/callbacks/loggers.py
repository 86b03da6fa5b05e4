"""Build loggers that need more than a constructor."""

import os
import secrets
from pathlib import Path

from pytorch_lightning.loggers import WandbLogger


def wandb_logger(*, save_dir: str, project: str = "colorgan", group: str | None = None) -> WandbLogger:
    """Log to Weights & Biases, one run a run folder; without a key offline, instead of asking for one.

    The id of the run is kept in the folder, so that a resumed run goes on in the same one.

    Args:
        save_dir: the run folder.
        project: project on the server.
        group: the sweep that the run belongs to.
    """
    id_file = Path(save_dir) / "wandb_id.txt"
    if not id_file.exists():
        id_file.write_text(secrets.token_hex(4))
    mode = os.environ.get("WANDB_MODE")
    offline = mode in ("offline", "dryrun") if mode else not _has_key()
    run_id = id_file.read_text().strip()
    name = Path(save_dir).name
    return WandbLogger(save_dir=save_dir, project=project, name=name, group=group, id=run_id, offline=offline)


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1]
    return netrc.exists() and host in netrc.read_text()
