"""Fixtures of all tests: no network, caches and runs in temporary folders, the smoke experiment."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"

ROOT = Path(__file__).parent.parent


@pytest.fixture
def compose() -> Callable[..., object]:
    """Compose a config as `train.py` does, from overrides."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.hydra_config import HydraConfig

    def composed(*overrides: str, config_name: str = "train") -> object:
        with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
            config = hydra_compose(config_name, overrides=list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # `name` reads the chosen experiment from it
        from omegaconf import open_dict

        with open_dict(config):
            del config["hydra"]
        return config

    return composed


@pytest.fixture
def smoke(compose: Callable[..., object], tmp_path: Path) -> Callable[..., object]:
    """The smoke experiment in a temporary folder."""

    def composed(*overrides: str, name: str = "run") -> object:
        folders = [f"runs_dir={tmp_path}/runs", f"name={name}", f"data.cache_dir={tmp_path}/cache"]
        return compose("experiment=smoke", *folders, "trainer.enable_progress_bar=false", *overrides)

    return composed
