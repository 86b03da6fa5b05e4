"""Plan the stages of a run from its config: order, steps, folders."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import DictConfig

from colorgan.config import class_of
from colorgan.evaluation.inflection import Choice, Series, choose
from colorgan.metrics.judges import AS_CRITIC
from colorgan.ranges import Count, Natural, Positive, PositiveShare, ProperShare
from colorgan.stages.base import Stage

INFLECTION = "inflection"  # as `handover`


@dataclass(frozen=True)
class InflectionOptions:
    """How `handover: inflection` chooses.

    Attributes:
        rule: of `evaluation.inflection`.
        end_early: end the stage at the validation at which the rule has seen enough.
    """

    rule: Literal["held_out_critic", "fresh_critic", "artefact_area", "one_standard_error", "chroma_law"]
    end_early: bool = False


@dataclass(frozen=True)
class StageEntry:
    """The yaml of one stage of the schedule.

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
        snapshots: keep the networks of so many validations, evenly spaced, and beside them those of the best one by
            `handover` and of the last; 0 for none.
        power_averages: beside the evenly spaced ones and the last keep two averages of the generator, from which
            `colorgan average` makes one of any other length.
        handover: `last`; the validation metric by which the best snapshot is handed on; or `inflection`: the stage is
            observed at each validation, keeps all snapshots until it ends, and a rule chooses.
        inflection: that rule.
    """

    module: Annotated[DictConfig, Stage]
    steps: Annotated[int, Count | None]
    batch_size: Count
    image_size: Count
    validate_every: Count
    epochs: Positive | None = None
    share: PositiveShare = 1.0
    degrade: bool = True
    ema_decay: ProperShare | None = None
    snapshots: Natural = 0
    power_averages: bool = False
    handover: str = "last"
    inflection: InflectionOptions | None = None


@dataclass(frozen=True)
class PlannedStage:
    """A stage with its place in the run."""

    index: int
    name: str
    entry: StageEntry
    first_step: int
    folder: Path

    @property
    def validation_steps(self) -> list[int]:
        """List the steps at which it is measured."""
        every, last = self.entry.validate_every, self.entry.steps
        return [*range(every, last, every), last]

    @property
    def snapshot_steps(self) -> list[int]:
        """List the steps whose snapshots stay, whatever is measured of them."""
        if not self.entry.snapshots:
            return []
        *earlier, last = self.validation_steps
        spacing = -(-(len(earlier) + 1) // self.entry.snapshots)
        return [*earlier[spacing - 1 :: spacing], last]

    @property
    def rule(self) -> str | None:
        """Name the rule that chooses its snapshot; None if none does."""
        by_rule = self.entry.handover == INFLECTION and self.entry.inflection is not None
        return self.entry.inflection.rule if by_rule and self.entry.inflection else None

    def choice(self, series: Series) -> Choice | None:
        """Let its rule choose from what the stage observed; None without a rule, or where it saw nothing."""
        return choose(self.rule, series) if self.rule else None

    def is_over(self, series: Series) -> bool:
        """Tell whether its rule ends the stage here."""
        choice = self.choice(series)
        return choice is not None and choice.over and bool(self.entry.inflection and self.entry.inflection.end_early)


def plan_stages(schedule: DictConfig, folder: Path, *, num_photos: int | None = None) -> list[PlannedStage]:
    """List the stages in order: those of `first`, then those of `repeat` as often as `times` says.

    Args:
        schedule: config of the schedule.
        folder: of the run.
        num_photos: training photos, from which `epochs` become steps; None if they are not known yet.

    Raises:
        ValueError: a name without a stage, or nothing to do.
    """
    names = [*schedule.first, *(name for _ in range(schedule.times) for name in schedule.repeat)]
    if not names:
        raise ValueError("the schedule is empty (schedule.first, schedule.repeat, schedule.times)")
    planned: list[PlannedStage] = []
    for index, name in enumerate(names, start=1):
        if name not in schedule.stages:
            raise ValueError(f"the schedule names stage {name!r}; schedule.stages has {', '.join(schedule.stages)}")
        options = copy.deepcopy(schedule.stages[name])  # its learning-rate schedule may interpolate `steps`
        options.steps = _count_steps(name, options, num_photos)
        first = planned[-1].first_step + planned[-1].entry.steps if planned else 0
        planned.append(PlannedStage(index, name, StageEntry(**dict(options)), first, folder / f"{index:02d}-{name}"))
    return planned


def _count_steps(name: str, options: DictConfig, num_photos: int | None) -> int:
    steps, epochs, share = options.get("steps"), options.get("epochs"), options.get("share", 1.0)
    if steps is not None:
        return int(steps)
    if epochs is None:
        raise ValueError(f"schedule.stages.{name}.steps=null needs schedule.stages.{name}.epochs, or give steps")
    if num_photos is None:
        return 0
    return max(1, int(epochs * (max(1, int(num_photos * share)) // options.batch_size)))


def trained_through(config: DictConfig) -> list[str]:
    """List the pretrained networks that a run trains through, one inside a discriminator as `<name> as critic`.

    None of them should judge its result, and for a critic none of its kin (`metrics.judges.partial_judges`).
    """
    weights = [entry.module.get("loss_weights") or {} for entry in config.schedule.stages.values()]
    used = {name for stage in weights for name, weight in stage.items() if weight}
    nodes = [config.generator.get("encoder"), *(config.loss[name] for name in used if name in config.loss)]
    names = {_network_name(node) for node in nodes if node}
    backbone = config.discriminator.get("backbone")
    order = [*config.schedule.first, *(config.schedule.repeat if config.schedule.times else ())]
    trained = [class_of(config.schedule.stages[name].module).trains for name in order]
    if backbone and any({"generator", "discriminator"} <= {*both} for both in trained):
        names.add(f"{_network_name(backbone)}{AS_CRITIC}")
    return sorted(name for name in names if name)


def _network_name(node: DictConfig) -> str | None:
    """Name the pretrained network in the config of an encoder or of a loss."""
    inner = node.get("network", node)
    if isinstance(inner, str):
        return f"lpips_{inner}"
    return str(inner.name).removeprefix("tf_") if "name" in inner else None
