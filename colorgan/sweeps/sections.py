"""Compare runs: what their configs differ in, their metrics over seeds, and which is best under one protocol."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import get_class

from colorgan.console import make_console
from colorgan.files import atomic
from colorgan.sweeps.runs import PHOTOS, Measurement, Run


@dataclass(frozen=True)
class Group:
    """Finished runs whose configs differ in nothing but the seed, each with one measurement."""

    runs: list[Run]
    measured: list[Measurement]

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Tabulate the metrics, a row a run; NaN where a run lacks it."""
        return pd.DataFrame([measurement.metrics for measurement in self.measured], dtype=float)

    def mean(self, metric: str) -> float:
        """Average a metric over the runs that have it; NaN if none has."""
        return float(self.metrics[metric].mean()) if metric in self.metrics else float("nan")


@dataclass(frozen=True)
class Section:
    """Groups that can be compared: measured under one protocol on the same photos, or on the same set under each seed.

    Attributes:
        groups: in the order of their folders.
    """

    groups: list[Group]

    @cached_property
    def measured(self) -> list[Measurement]:
        """List the measurements of all runs."""
        return [measurement for group in self.groups for measurement in group.measured]

    def metrics(self) -> list[str]:
        """List the metrics that all runs measured in the same way, as far as they did."""
        names = dict.fromkeys(metric for measurement in self.measured for metric in measurement.metrics)
        ways = {name: {m.how.get(name) for m in self.measured if name in m.metrics} for name in names}
        return [name for name, found in ways.items() if len(found) == 1]

    def left_out(self) -> list[str]:
        """List the metrics whose values mean different things."""
        comparable = self.metrics()
        names = dict.fromkeys(metric for measurement in self.measured for metric in measurement.metrics)
        return [name for name in names if name not in comparable]

    def title(self) -> str:
        """Say on which photos, and at which size."""
        first = self.measured[0]
        sets = sorted({m.photos for m in self.measured}, key=str)
        counts = [
            f"{photos} photos in {'uncounted' if groups is None else groups} groups" for _, photos, groups in sets
        ]
        text = counts[0] if len(sets) == 1 else f"{len(sets)} sets of photos, by seed: {'; '.join(counts)}"
        size, place = first.setting.get("image_size"), first.data.get("path") or first.data.get("kind")
        return ", ".join([text, *([f"{size} px"] if size else []), *([f"of {place}"] if place else [])])


def sections_of(runs: Sequence[Run]) -> list[Section]:
    """Put finished runs together that differ in the seed alone, and these groups where they can be compared.

    A run that was measured at two sizes is in two sections.
    """
    sections: dict[str, list[Group]] = {}
    for members in _same_configs(runs):
        settings: dict[str, dict[int, Measurement]] = {}
        for number, run in enumerate(members):
            for measurement in run.measurements:
                settings.setdefault(json.dumps(measurement.setting, sort_keys=True), {})[number] = measurement
        for setting, by_run in settings.items():
            for group in _alike([members[number] for number in by_run], list(by_run.values())):
                photos = sorted({str(measurement.photos) for measurement in group.measured})
                sections.setdefault(json.dumps([setting, photos]), []).append(group)
    return [Section(groups) for groups in sections.values()]


def _alike(runs: list[Run], measured: list[Measurement]) -> list[Group]:
    """Make a group of runs of one config, or several if photos have changed under a seed."""
    table = pd.DataFrame({"seed": [run.config.get("seed") for run in runs], "photos": [m.photos for m in measured]})
    if table.drop_duplicates()["seed"].is_unique:
        return [Group(runs, measured)]
    parts = table.groupby(table["photos"].map(str), sort=False).indices.values()
    return [Group([runs[i] for i in part], [measured[i] for i in part]) for part in parts]


def _same_configs(runs: Sequence[Run]) -> list[list[Run]]:
    finished = pd.Series([run for run in runs if run.state == "finished"], dtype=object)
    if finished.empty:
        return []
    same = _config_texts(list(finished)).agg("\n".join, axis=1)
    return [list(members) for _, members in finished.groupby(same, sort=False)]


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Find the keys, besides the seed, in which configs differ; of those that differ together, one that is no class."""
    texts = _config_texts(runs)
    differing = texts.columns[texts.nunique() > 1].to_series()
    patterns = [tuple(pd.factorize(texts[key])[0]) for key in differing]
    together = differing.groupby(pd.Series(patterns, differing.index, dtype=object), sort=False)
    return [min(keys, key=lambda key: key.endswith("_target_")) for _, keys in together]


def _config_texts(runs: Sequence[Run]) -> pd.DataFrame:
    """Tabulate configs without their seeds, a row a run: each value as JSON, nothing where a config lacks the key."""
    rows = [{key: json.dumps(value, default=str) for key, value in run.values.items()} for run in runs]
    return pd.DataFrame(rows).drop(columns="seed", errors="ignore").fillna("")


def higher_is_better(config: Mapping[str, Any], metric: str) -> bool | None:
    """Find the better direction of a metric of a config; None if there is none, or the metric is not ours."""
    target = config["metrics"].get(metric, {}).get("_target_", "")
    found = get_class(target) if target.startswith("colorgan.metrics.") else None  # nothing of a stranger's is imported
    return getattr(found, "higher_is_better", None)


def best_group(section: Section) -> Group | None:
    """Choose the group whose mean is best by the objective.

    Returns:
        None if objectives differ or rank nothing, if the objective was not measured in the same way everywhere, or if
        there is nothing to compare with.
    """
    objectives = {str(group.runs[0].config.get("objective")) for group in section.groups}
    if len(objectives) != 1 or len(section.groups) < 2:
        return None
    objective = objectives.pop()
    ranked = [group for group in section.groups if pd.notna(group.mean(objective))]
    higher = higher_is_better(section.groups[0].runs[0].config, objective)
    if higher is None or not ranked or objective not in section.metrics():
        return None
    return min(ranked, key=lambda group: (-1 if higher else 1) * group.mean(objective))


def print_runs(runs: Sequence[Run]) -> None:
    """Print a table for each protocol, with a row a config; unfinished runs below."""
    console, sections = make_console(), sections_of(runs)
    keys = differing_keys([run for run in runs if run.state == "finished"])
    for section in sections:
        _print_section(section, keys)
    for run in runs:
        if run.state != "finished":
            console.print(f"{run.path}: {run.state}", highlight=False, soft_wrap=True)
    if len(sections) > 1:
        console.print(
            f"{len(sections)} tables: on other photos or at another size, numbers cannot be compared", highlight=False
        )


def _print_section(section: Section, keys: Sequence[str]) -> None:
    """Print what differs, number of seeds, metrics as mean and spread, path; and which is best."""
    from rich.table import Table

    metrics, best = section.metrics(), best_group(section)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in (*_short(keys), "n", *(metric.replace("_", "\n") for metric in metrics)):
        table.add_column(head, justify="right", overflow="fold")
    table.add_column("path", overflow="fold")
    for group in section.groups:
        first = group.runs[0]
        values = [str(first.values.get(key, "-")) for key in keys]
        numbers = [_mean_and_spread(group, metric) for metric in metrics]
        mark = " (best)" if group is best else ""
        row = [*values, str(len(group.runs)), *numbers, f"{first.path}{mark}"]
        table.add_row(*row, style="bold" if mark else None)
    console = make_console()
    wide = max(console.width, console.measure(table, options=console.options.update(max_width=1000)).maximum)
    console.print(section.title(), style="bold", highlight=False, soft_wrap=True)
    make_console(width=wide).print(table)
    if left_out := section.left_out():
        console.print(f"not comparable, measured in different ways: {', '.join(left_out)}", highlight=False)
    if best is not None:
        console.print(f"best by the mean of {best.runs[0].config['objective']}; ±: standard deviation over seeds")
    elif len(section.groups) > 1:
        console.print(
            "none is marked as best: the objectives differ, or these photos cannot carry them", highlight=False
        )


def _short(keys: Sequence[str]) -> list[str]:
    """Cut dotted keys to as many last parts as tell them apart."""
    ends = {n: [".".join(key.split(".")[-n:]) for key in keys] for n in range(1, 20)}
    return [next(e[i] for e in ends.values() if e.count(e[i]) == 1) for i in range(len(keys))]


def _mean_and_spread(group: Group, metric: str) -> str:
    mean = group.mean(metric)
    if pd.isna(mean):
        return "-"
    spread = group.metrics[metric].std()  # NaN of a single run
    return f"{mean:.4g}" + (f" ±{spread:.2g}" if pd.notna(spread) else "")


def write_runs(runs: Sequence[Run], path: Path) -> None:
    """Write a CSV with a row a run and protocol: path, state, seed, what differs, photos, size, metrics."""
    keys, protocol_keys = ["seed", *differing_keys(runs)], [*PHOTOS, "image_size"]
    rows = []
    for run in runs:
        facts = {"path": run.path, "state": run.state, **{key: run.values.get(key) for key in keys}}
        measured = [{**{key: m.protocol.get(key) for key in protocol_keys}, **m.metrics} for m in run.measurements] or [
            {}
        ]
        rows += [{**facts, **values} for values in measured]
    metrics = dict.fromkeys(metric for run in runs for m in run.measurements for metric in m.metrics)
    with atomic(path) as temporary:  # objects: whole numbers stay whole beside cells that are empty
        frame = pd.DataFrame(rows, columns=["path", "state", *keys, *protocol_keys, *metrics], dtype=object)
        frame.to_csv(temporary, index=False)
