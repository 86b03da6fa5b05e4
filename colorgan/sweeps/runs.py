"""Read run folders: their state, what their configs differ in, their metrics over seeds."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from hydra.utils import get_class

from colorgan.config import flat_values
from colorgan.console import make_console
from colorgan.evaluation.results import Results
from colorgan.files import atomic, file_hash


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: of the folder.
        config: as the run began with it; empty if it never began.
        state: `finished`, `pruned: WHY`, `failed: WHY` or `unfinished: WHERE`.
        metrics: of the final checkpoint; empty if the run is not finished.
    """

    path: Path
    config: dict[str, Any]
    state: str
    metrics: dict[str, float | None]

    @cached_property
    def values(self) -> dict[str, Any]:
        """List values of the config by dotted key, without what changes no result."""
        return flat_values(self.config)


@dataclass(frozen=True)
class Group:
    """Finished runs whose configs differ in nothing but the seed."""

    runs: list[Run]

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Tabulate the metrics, a row a run; NaN where a run lacks it."""
        return pd.DataFrame([run.metrics for run in self.runs], dtype=float)

    def mean(self, metric: str) -> float:
        """Average a metric over the runs that have it; NaN if none has."""
        return float(self.metrics[metric].mean()) if metric in self.metrics else float("nan")


def find_runs(folder: Path) -> list[Run]:
    """Read the runs in a folder and its subfolders, or the one that it is.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a config cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; give a run folder, or one that holds some")
    runs = [_read_run(path) for path in sorted(_run_folders(folder))]
    if not runs:
        raise FileNotFoundError(f"no run in {folder}; a run folder holds config.yaml, and failed.json if it failed")
    return runs


def _run_folders(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        if "config.yaml" in files or "failed.json" in files:
            folders.clear()  # what is inside belongs to the run
            yield Path(path)


def _read_run(path: Path) -> Run:
    config = {}
    if (path / "config.yaml").exists():
        try:
            config = yaml.safe_load((path / "config.yaml").read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path / 'config.yaml'} is damaged: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{path / 'config.yaml'} is damaged: it holds {type(config).__name__}, not a config")
    metrics = _final_metrics(path)
    if metrics:
        return Run(path, config, "finished", metrics)
    return Run(path, config, _state(path), {})


def _final_metrics(path: Path) -> dict[str, float | None]:
    """Read metrics on photos, and on clips as in validation: `motion_<name>`; empty without those on photos."""
    if not (path / "final.safetensors").exists():
        return {}
    digest = file_hash(path / "final.safetensors")  # by content: in a run of one stage it was measured as its hand-over
    records = Results(path / "evaluation").records().values()
    final = [record for record in records if record.get("checkpoint", {}).get("sha256") == digest]
    photos = [record["metrics"] for record in final if "num_photos" in record["protocol"]]
    clips = [record["metrics"] for record in final if "num_clips" in record["protocol"]]
    if not photos:
        return {}
    return {**photos[-1], **{f"motion_{name}": value for values in clips[-1:] for name, value in values.items()}}


def _state(path: Path) -> str:
    if (path / "failed.json").exists():
        try:
            facts = json.loads((path / "failed.json").read_text())
            return f"{facts['state']}: {facts['error']}"
        except (ValueError, KeyError, TypeError):
            return "failed: unreadable failed.json"
    if (path / "final.safetensors").exists():
        return "unfinished: trained, not evaluated"
    stages = sorted(stage.name for stage in path.glob("[0-9][0-9]-*") if not (stage / "done.json").exists())
    return f"unfinished: stopped in or still at {stages[0]}" if stages else "unfinished: no stage begun"


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Put finished runs together that differ in the seed alone."""
    finished = pd.Series([run for run in runs if run.state == "finished"], dtype=object)
    if finished.empty:
        return []
    same = _config_texts(list(finished)).agg("\n".join, axis=1)
    return [Group(list(members)) for _, members in finished.groupby(same, sort=False)]


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


def best_group(groups: Sequence[Group]) -> Group | None:
    """Choose the group whose mean is best by the objective; None if their objectives differ, or rank nothing."""
    objectives = {str(group.runs[0].config.get("objective")) for group in groups}
    if len(objectives) != 1:
        return None
    objective = objectives.pop()
    ranked = [group for group in groups if pd.notna(group.mean(objective))]
    higher = higher_is_better(groups[0].runs[0].config, objective)
    if higher is None or not ranked:
        return None
    return min(ranked, key=lambda group: (-1 if higher else 1) * group.mean(objective))


def print_runs(runs: Sequence[Run]) -> None:
    """Print a row a config: what differs, number of seeds, metrics as mean and spread, path; unfinished runs below."""
    from rich.table import Table

    groups = group_runs(runs)
    finished = [run for group in groups for run in group.runs]
    keys, best = differing_keys(finished), best_group(groups)
    metrics = list(dict.fromkeys(metric for run in finished for metric in run.metrics))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in (*_short(keys), "n", *(metric.replace("_", "\n") for metric in metrics)):
        table.add_column(head, justify="right", overflow="fold")
    table.add_column("path", overflow="fold")
    for group in groups:
        first = group.runs[0]
        values = [str(first.values.get(key, "-")) for key in keys]
        numbers = [_mean_and_spread(group, metric) for metric in metrics]
        mark = " (best)" if group is best and len(groups) > 1 else ""
        row = [*values, str(len(group.runs)), *numbers, f"{first.path}{mark}"]
        table.add_row(*row, style="bold" if mark else None)
    console = make_console()
    if groups:
        wide = max(console.width, console.measure(table, options=console.options.update(max_width=1000)).maximum)
        make_console(width=wide).print(table)
    for run in runs:
        if run.state != "finished":
            console.print(f"{run.path}: {run.state}", highlight=False, soft_wrap=True)
    if best is not None and len(groups) > 1:
        console.print(f"best by the mean of {best.runs[0].config['objective']}; ±: standard deviation over seeds")


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
    """Write a CSV with a row a run, finished or not: path, state, seed, what differs, metrics."""
    keys = ["seed", *differing_keys(runs)]
    rows = [
        {"path": run.path, "state": run.state, **{key: run.values.get(key) for key in keys}, **run.metrics}
        for run in runs
    ]
    metrics = dict.fromkeys(metric for run in runs for metric in run.metrics)
    with atomic(path) as temporary:  # objects: whole numbers stay whole beside cells that are empty
        frame = pd.DataFrame(rows, columns=["path", "state", *keys, *metrics], dtype=object)
        frame.to_csv(temporary, index=False)
