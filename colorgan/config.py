"""Compose configs, turn them into objects, and compare them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:  # commands compose before anything heavy is imported
    from torchmetrics import Metric, MetricCollection

    from colorgan.data import ColorizationDataModule
    from colorgan.metrics.base import MissingMetric

Config = DictConfig


def _find_configs() -> Path:
    """Find the folder of yamls: a wheel carries it inside the package, a checkout has it beside the package."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir())


CONFIGS = _find_configs()

# A run may go on with other values of these: they change where and how fast, not what comes out.
_FREE_KEYS = (
    "data.num_workers",
    "data.cache_dir",
    "data.source.hash_dir",
    "logger",
    "runs_dir",
    "name",
    "plan",
    "save_every",
    "objective",
    "test_size",
    "trial",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.plugins",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
)


def compose(command: str, *overrides: str) -> Config:
    """Compose the config of a command, `train` or `evaluate`, from overrides as one types them."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose(command, list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)  # where `name` looks up what was chosen
    with open_dict(config):
        del config["hydra"]
    fix_choices(config)
    return config


def fix_choices(config: Config) -> None:
    """Put the choices that a training config looks up in Hydra into it: the next config composed has others.

    Raises:
        ValueError: a scale beside an experiment that brings its own sizes.
    """
    if "scale" not in config:
        return
    choices = HydraConfig.get().runtime.choices
    if config.scale != choices["scale"]:
        raise ValueError(
            f"experiment={choices['experiment']} brings its own sizes; leave scale={choices['scale']} out, or take "
            "another experiment"
        )
    config.scale, config.name = config.scale, config.name


def build(node: Config, **arguments: Any) -> Any:
    """Build the object that a node describes; its `_target_` is called with the node's values and `arguments`."""
    return instantiate(node, _convert_="all", **arguments)


def factory(node: Config | Mapping[Any, Any]) -> Callable[..., Any]:
    """Prepare what a node describes, to be called with the arguments that only the caller knows."""
    made: Callable[..., Any] = instantiate(node, _partial_=True, _convert_="all")
    return made


def class_of(node: Config) -> Any:
    """Find the class or function that a node's `_target_` names, without calling it."""
    return get_class(node._target_)


def check_complete(config: Config) -> None:
    """Refuse a config that lacks values.

    Raises:
        ValueError: names the key.
    """
    if missing := sorted(OmegaConf.missing_keys(config), key=len):
        raise ValueError(f"the config needs a value for {missing[0]}: give {missing[0]}=...")


def check_name(name: str) -> None:
    """Refuse a name of a run that is no folder inside `runs_dir`.

    Raises:
        ValueError: says what a name may be.
    """
    path = Path(name)
    parts = path.parts
    if not parts or path.is_absolute() or ".." in parts or any(len(part.encode()) > 255 for part in parts):
        raise ValueError(
            f"name={name!r} must be the name of a folder inside runs_dir, of at most 255 bytes; without name=... it is "
            "made of experiment, scale and data"
        )


def plain(config: Config) -> Any:
    """Turn a config into plain containers, interpolations resolved."""
    return OmegaConf.to_container(config, resolve=True)


def build_datamodule(data: Config, *, seed: int) -> "ColorizationDataModule":
    """Build the data module of a config; keys that `data.source` takes by interpolation are not the module's own."""
    source = build(data.source)
    borrowed = {"source", *data.source} - {"_target_"}
    options = {key: value for key, value in data.items() if key not in borrowed}
    module: ColorizationDataModule = factory(options)(source=source, seed=seed)
    return module


def datamodule_of_run(folder: Path) -> "ColorizationDataModule":
    """Build the data module of a run folder; of own classes alone, as a stranger may have written its config.

    Raises:
        ValueError: its config builds something else.
        FileNotFoundError: it has none.
    """
    config = OmegaConf.load(folder / "config.yaml")
    targets = {value for key, value in flat_values(plain(config.data)).items() if key.endswith("_target_")}
    if foreign := sorted(str(target) for target in targets if not str(target).startswith("colorgan.data.")):
        raise ValueError(f"{folder}/config.yaml builds {foreign[0]}; only colorgan.data.* is allowed (data)")
    return build_datamodule(config.data, seed=config.seed)


def values_of_run(folder: Path) -> dict[str, Any]:
    """Read the config of a run folder as plain values; nothing that it names is built.

    Raises:
        FileNotFoundError: it has none.
    """
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    values: dict[str, Any] = plain(config)
    return values


def build_metrics(metrics: Config) -> "MetricCollection":
    """Build the metrics of a config, under their names there.

    Raises:
        ValueError: the weights of a metric are not on this machine.
    """
    built, missing = build_available_metrics(metrics)
    if missing:
        name, metric = next(iter(missing.items()))
        raise ValueError(f"metrics.{name} {metric.needs}")
    return built


def build_available_metrics(metrics: Config) -> "tuple[MetricCollection, dict[str, MissingMetric]]":
    """Build the metrics whose weights are on this machine; of the others, say what they need.

    A metric whose weights are not the published file gets the beginning of their hash into its name, so that no
    number of a stand-in bears an official name.
    """
    from torchmetrics import MetricCollection

    from colorgan.metrics.base import MissingMetric
    from colorgan.networks.weights import WeightsNotFoundError

    built: dict[str, Metric] = {}
    missing: dict[str, MissingMetric] = {}
    for key, node in metrics.items():
        name = str(key)
        try:
            metric = build(node)
        except InstantiationException as error:
            if not isinstance(error.__cause__, WeightsNotFoundError):
                raise
            missing[name] = MissingMetric(get_class(node._target_), str(error.__cause__))
            continue
        _check_name(name, metric)
        weights = getattr(metric, "weights", None)
        stand_in = "" if weights is None or weights.official else f"@{weights.sha256[:8]}"
        built[f"{name}{stand_in}"] = metric
    # Compute groups would let metrics whose states happen to be equal after one batch share them for good.
    return MetricCollection(built, compute_groups=False), missing  # type: ignore[arg-type]


def _check_name(name: str, metric: "Metric") -> None:
    """Refuse a name that promises another network or another distance than the metric has."""
    from colorgan.metrics.base import PictureMetric

    if not isinstance(metric, PictureMetric):
        raise ValueError(f"metrics.{name} must be a colorgan.metrics.PictureMetric, got {type(metric).__name__}")
    judge, facts = metric.judge(), metric.describe()
    official: dict[str, dict[str, Any]] = {
        "fid": {"class": "FrechetDistance", "feature_network": "inception"},
        "kid": {"class": "KernelDistance", "feature_network": "inception", "paired": False},
    }
    wanted: dict[str, Any] = official.get(name, {})
    if wrong := {key: facts.get(key) for key, value in wanted.items() if facts.get(key) != value}:
        raise ValueError(f"metrics.{name} must have {wanted}, got {wrong}; give this metric another name")
    if judge is not None and not wanted and not name.endswith(judge):
        raise ValueError(f"metrics.{name} is judged by {judge}: its name must end so, for example x_{judge}")


def differences(before: Any, after: Any, key: str = "") -> list[str]:
    """List what differs between two plain configs, as `key: before -> after`, free keys left out."""
    if key in _FREE_KEYS:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        parts = (
            differences(before.get(k, "<absent>"), after.get(k, "<absent>"), f"{key}.{k}".lstrip(".")) for k in keys
        )
        return [difference for part in parts for difference in part]
    return [] if before == after else [f"{key}: {before} -> {after}"]


def flat_values(config: Any, key: str = "") -> dict[str, Any]:
    """Flatten a plain config into its values by dotted key, free keys left out."""
    if key in _FREE_KEYS:
        return {}
    if not isinstance(config, dict) or not config:
        return {key: config}
    parts = (flat_values(value, f"{key}.{name}".lstrip(".")) for name, value in config.items())
    return {leaf: value for part in parts for leaf, value in part.items()}
