"""What a composed config means: its stages in order, its data, its metrics, and how it differs from another."""

import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torchmetrics import Metric, MetricCollection

from colorgan.data import ColorizationDataModule
from colorgan.metrics.base import MissingMetric, PictureMetric
from colorgan.networks.weights import WeightsNotFoundError

# A run may go on with other values of these: they change where and how fast, not what comes out.
_FREE_KEYS = (
    "data.num_workers",
    "data.cache_dir",
    "logger",
    "runs_dir",
    "name",
    "plan",
    "save_every",
    "objective",
    "trial",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.plugins",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
)


@dataclass(frozen=True)
class StageEntry:
    """One stage of the schedule, as its yaml says.

    Attributes:
        module: config of the stage's LightningModule.
        steps: batches, each with one optimizer step. Where the yaml has null, they follow from `epochs`; 0 in a
            plan that does not know the number of photos.
        batch_size: photos a step, over all processes.
        image_size: height and width of training pictures.
        validate_every: steps between validations; there is one at the end in any case.
        epochs: passes over the stage's photos; the last partial batch of a pass is dropped.
        share: part of the training photos that the stage draws from, chosen at random for each stage.
        degrade: let the data's degradation, if it has one, damage the inputs of this stage.
        ema_decay: of the generator's moving average; None for none.
        snapshots: keep the networks of every validation.
        handover: `last`, or the validation metric by which the best snapshot is handed on.
    """

    module: DictConfig
    steps: int
    batch_size: int
    image_size: int
    validate_every: int
    epochs: float | None = None
    share: float = 1.0
    degrade: bool = True
    ema_decay: float | None = None
    snapshots: bool = False
    handover: str = "last"


@dataclass(frozen=True)
class PlannedStage:
    """A stage with its place in the run."""

    index: int
    name: str
    entry: StageEntry
    first_step: int
    folder: Path


def plan_stages(schedule: DictConfig, folder: Path, *, num_photos: int | None = None) -> list[PlannedStage]:
    """The stages in order: `once`, then `cycle` as often as `cycles` says.

    Args:
        schedule: config of the schedule.
        folder: of the run.
        num_photos: training photos, from which `epochs` become steps; None if they are not known yet.

    Raises:
        ValueError: a name without a stage, an unknown key, or nothing to do.
    """
    names = [*schedule.once, *(name for _ in range(schedule.cycles) for name in schedule.cycle)]
    if not names:
        raise ValueError("the schedule is empty (schedule.once, schedule.cycle, schedule.cycles)")
    planned: list[PlannedStage] = []
    for index, name in enumerate(names, start=1):
        if name not in schedule.stages:
            raise ValueError(f"the schedule names stage {name!r}; schedule.stages has {', '.join(schedule.stages)}")
        options = copy.deepcopy(schedule.stages[name])  # its learning-rate schedule may interpolate `steps`
        known = {field.name for field in fields(StageEntry)}
        if unknown := set(options) - known:
            raise ValueError(f"schedule.stages.{name} has no {sorted(unknown)}; allowed: {', '.join(sorted(known))}")
        options.steps = _count_steps(name, options, num_photos)
        first = planned[-1].first_step + planned[-1].entry.steps if planned else 0
        planned.append(PlannedStage(index, name, StageEntry(**dict(options)), first, folder / f"{index:02d}-{name}"))
    return planned


def _count_steps(name: str, options: DictConfig, num_photos: int | None) -> int:
    steps, epochs, share = options.get("steps"), options.get("epochs"), options.get("share", 1.0)
    if not 0 < share <= 1:
        raise ValueError(f"schedule.stages.{name}.share must be above 0 and at most 1, got {share}")
    if steps is not None:
        if steps < 1:
            raise ValueError(f"schedule.stages.{name}.steps must be at least 1, got {steps}")
        return int(steps)
    if epochs is None or epochs <= 0:
        raise ValueError(f"schedule.stages.{name} needs steps, or epochs above 0, got epochs={epochs}")
    if num_photos is None:
        return 0
    return max(1, int(epochs * (max(1, int(num_photos * share)) // options.batch_size)))


def plain(config: DictConfig) -> Any:
    """A config as plain containers, interpolations resolved."""
    return OmegaConf.to_container(config, resolve=True)


def gray_rule_of(config: DictConfig) -> str:
    """How gray is made from colour in a run: as its generator wants it."""
    return str(config.generator.get("gray_rule", "luma601"))


def build_datamodule(data: DictConfig, *, seed: int, gray_rule: str) -> ColorizationDataModule:
    """The data module of a config; keys that `data.source` takes by interpolation are not the module's own."""
    source = instantiate(data.source, _convert_="all")
    borrowed = {"source", *data.source} - {"_target_"}
    options = {key: value for key, value in data.items() if key not in borrowed}
    make = instantiate(options, _partial_=True, _convert_="all")
    module: ColorizationDataModule = make(source=source, gray_rule=gray_rule, seed=seed)
    return module


def build_metrics(metrics: DictConfig) -> MetricCollection:
    """The metrics of a config, under their names there.

    Raises:
        ValueError: the weights of a metric are not on this machine.
    """
    built, missing = build_available_metrics(metrics)
    if missing:
        name, metric = next(iter(missing.items()))
        raise ValueError(f"metrics.{name} {metric.needs}")
    return built


def build_available_metrics(metrics: DictConfig) -> tuple[MetricCollection, dict[str, MissingMetric]]:
    """The metrics of a config whose weights are on this machine; of the others, what they need.

    A metric whose weights are not the published file gets the beginning of their hash into its name, so that no
    number of a stand-in bears an official name.
    """
    built: dict[str, Metric] = {}
    missing: dict[str, MissingMetric] = {}
    for key, node in metrics.items():
        name = str(key)
        try:
            metric = instantiate(node, _convert_="all")
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


def _check_name(name: str, metric: Metric) -> None:
    """Refuse a name that promises another network or another distance than the metric has."""
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


def trained_through(config: DictConfig) -> list[str]:
    """Names of pretrained networks that gave gradients or features: none of them should judge the result."""
    weights = [entry.module.get("loss_weights") or {} for entry in config.schedule.stages.values()]
    used = {name for stage in weights for name, weight in stage.items() if weight}
    nodes = [config.generator.get("encoder"), *(config.loss[name] for name in used if name in config.loss)]
    names = {_network_name(node) for node in nodes if node}
    return sorted(name for name in names if name)


def _network_name(node: DictConfig) -> str | None:
    """The pretrained network in the config of an encoder or of a loss."""
    inner = node.get("network", node)
    if isinstance(inner, str):
        return f"lpips_{inner}"
    return str(inner.name).removeprefix("tf_") if "name" in inner else None


def config_differences(before: Any, after: Any, key: str = "") -> list[str]:
    """What differs between two plain configs, as `key: before -> after`, free keys left out."""
    if key in _FREE_KEYS:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        parts = (
            config_differences(before.get(k, "<absent>"), after.get(k, "<absent>"), f"{key}.{k}".lstrip("."))
            for k in keys
        )
        return [difference for part in parts for difference in part]
    return [] if before == after else [f"{key}: {before} -> {after}"]


def flat_values(config: Any, key: str = "") -> dict[str, Any]:
    """The leaves of a plain config by dotted key, free keys left out."""
    if key in _FREE_KEYS:
        return {}
    if not isinstance(config, dict) or not config:
        return {key: config}
    parts = (flat_values(value, f"{key}.{name}".lstrip(".")) for name, value in config.items())
    return {leaf: value for part in parts for leaf, value in part.items()}
