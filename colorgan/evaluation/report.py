"""Print an evaluation as a table, and write it as CSV and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from colorgan.console import make_console
from colorgan.evaluation.protocol import BaseProtocol
from colorgan.evaluation.results import Record, Results, paired_difference
from colorgan.files import atomic
from colorgan.metrics.base import LEAST_FOR_INTERVALS, MissingMetric, PictureMetric


@dataclass(frozen=True)
class Table:
    """Rows measured on the same photos under the same protocol.

    Attributes:
        title: what the photos are.
        records: rows in order: baselines, checkpoints, truth.
        metrics: by name, in the order of the columns.
        missing: metrics that cannot be measured here.
        objective: the metric that ranks checkpoints; None if it was not measured.
        protocol: with the rows of others that stand beside ours.
        left_out: how many photos of the data set were not measured, by reason.
        results: where resampled sets are stored.
        unit: what a row is a mean over: `photos` or `clips`.
        too_few: metrics left out because there are too few groups of photos.
    """

    title: str
    records: list[Record]
    metrics: Mapping[str, PictureMetric]
    missing: Mapping[str, MissingMetric]
    objective: str | None
    protocol: BaseProtocol
    left_out: Mapping[str, int]
    results: Results
    unit: str = "photos"
    too_few: Mapping[str, PictureMetric] = field(default_factory=dict)

    def columns(self) -> dict[str, "Metric"]:
        """List the metrics that were measured, and of the others those that were published."""
        published = {name for row in self.published() for name in row}
        others: dict[str, Metric] = {**self.too_few, **{name: metric.kind for name, metric in self.missing.items()}}
        return {**self.metrics, **{name: metric for name, metric in others.items() if name in published}}

    def published(self) -> Sequence[Mapping[str, Any]]:
        """List rows of others; none without truth, as all they measure needs it."""
        return self.protocol.published if self.records[0]["protocol"]["with_truth"] else ()

    def checkpoints(self) -> list[Record]:
        """List the rows that are checkpoints."""
        return [record for record in self.records if "checkpoint" in record]

    def best(self) -> Record | None:
        """Choose the checkpoint that the objective ranks first; None if it ranks none."""
        if self.objective is None:
            return None
        name, sign = self.objective, -1 if self.metrics[self.objective].higher_is_better else 1
        ranked = [record for record in self.checkpoints() if record["metrics"][name] is not None]
        return min(ranked, key=lambda record: sign * record["metrics"][name], default=None)

    def against_best(self) -> dict[str, dict[str, dict[str, float]]]:
        """Compare each checkpoint with the best one, by metric (see `paired_difference`)."""
        best = self.best()
        if best is None:
            return {}
        reference = self.results.arrays(best["key"])
        tests: dict[str, dict[str, dict[str, float]]] = {}
        for record in self.checkpoints():
            if record["key"] == best["key"]:
                continue
            arrays = self.results.arrays(record["key"])
            found = {
                name: paired_difference(reference, arrays, name, higher_is_better=metric.higher_is_better)
                for name, metric in self.metrics.items()
            }
            tests[record["name"]] = {name: test for name, test in found.items() if test is not None}
        return tests

    def frame(self) -> pd.DataFrame:
        """Make a DataFrame for notebooks: values with half the width of their 95 % intervals."""
        rows = {
            record["name"]: {
                heading(name, metric): _cell(record, name, metric).replace("\n", " ")
                for name, metric in self.columns().items()
            }
            for record in self.records
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def paired_tests(self, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """Make a DataFrame of `against_best` for notebooks: a row a checkpoint and metric.

        Args:
            metrics: which; None for all.
        """
        rows = [
            {"checkpoint": row, "metric": name, **test}
            for row, tests in self.against_best().items()
            for name, test in tests.items()
            if metrics is None or name in metrics
        ]
        frame = pd.DataFrame(rows, columns=["checkpoint", "metric", "difference", "low", "high", "confidence"])
        return frame.set_index(["checkpoint", "metric"]).round(4)

    def count(self) -> int:
        """Count the photos or clips."""
        count: int = self.records[0]["protocol"][f"num_{self.unit}"]
        return count

    def num_groups(self) -> int:
        """Count the independent groups of photos or clips."""
        count: int = self.records[0]["protocol"]["num_groups"]
        return count

    def trained_on(self) -> dict[str, str]:
        """Say of the rows whose checkpoints trained on photos measured here on how many."""
        return {record["name"]: record["trained_on"] for record in self.records if record.get("trained_on")}

    def notes(self) -> list[str]:
        """List what a reader must know of the numbers."""
        needs = dict.fromkeys(metric.needs for metric in self.missing.values())
        lines = [
            f"{', '.join(m for m, metric in self.missing.items() if metric.needs == need)}: {need}" for need in needs
        ]
        few = [name for name, metric in self.metrics.items() if self.count() < metric.least_photos]
        if few:
            least = max(self.metrics[name].least_photos for name in few)
            lines.append(f"{', '.join(few)}: descriptive only below {least:,} photos; here are {self.count()}")
        if self.too_few:
            least = max(metric.least_groups for metric in self.too_few.values())
            unranked = self.objective is None and len(self.checkpoints()) > 1
            lines.append(
                f"left out, for want of {least} independent groups of {self.unit} (here are {self.num_groups()}): "
                f"{', '.join(self.too_few)}{'; so no checkpoint is marked as the best' if unranked else ''}"
            )
        if self.num_groups() < LEAST_FOR_INTERVALS:
            lines.append(
                f"no intervals and no paired tests: they need {LEAST_FOR_INTERVALS} groups of {self.unit}; here are "
                f"{self.num_groups()}"
            )
        lines += [f"{_TRAINED}: {name} {note}" for name, note in self.trained_on().items()]
        if self.left_out:
            lines.append(
                f"{self.unit} left out: " + ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            )
        if self.published():
            lines.append(f"published rows: {self.protocol.source}. {self.protocol.caveat}".strip())
        if any(record.get("judged_by_its_teacher") for record in self.records):
            lines.append(
                "*: the judge, or its kin, is what the generator was trained through: not an independent number"
            )
        return lines


Metric = PictureMetric | type[PictureMetric]
_TRAINED = "†"  # marks rows whose checkpoint trained on photos measured


def heading(name: str, metric: Metric) -> str:
    """Head a column: the name and the better direction."""
    return name + {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]


def _row_name(record: Record) -> str:
    return f"{record['name']}{_TRAINED if record.get('trained_on') else ''}"


def _number(value: float | None, metric: Metric) -> str:
    return "-" if value is None else f"{value:.{metric.decimals}f}"


def _cell(record: Record, name: str, metric: Metric) -> str:
    interval = record["intervals"].get(name)
    spread = f"\n±{_number((interval[1] - interval[0]) / 2, metric)}" if interval and interval[1] > interval[0] else ""
    flag = "*" if name in record.get("judged_by_its_teacher", []) else ""
    return f"{_number(record['metrics'].get(name), metric)}{flag}{spread}"


def _published_cell(row: Mapping[str, Any], name: str, metric: Metric) -> str:
    return _number(row.get(name), metric) if name in row else ""


def print_table(table: Table) -> None:
    """Print the table with half the width of each 95 % interval, and its notes."""
    from rich import box
    from rich.measure import Measurement
    from rich.table import Table as RichTable

    shown = RichTable(box=box.SIMPLE_HEAD)
    shown.add_column("")
    for name, metric in table.columns().items():
        shown.add_column(heading(name, metric).replace("_", "\n"), justify="right")
    for record in table.records:
        cells = [_cell(record, name, metric) for name, metric in table.columns().items()]
        shown.add_row(_row_name(record), *cells, style="bold" if "checkpoint" in record else None)
    for row in table.published():
        cells = [_published_cell(row, name, metric) for name, metric in table.columns().items()]
        shown.add_row(f"{row['name']} (published)", *cells, style="dim")
    console = make_console()
    console.print(table.title, style="bold", highlight=False, soft_wrap=True)
    wanted = Measurement.get(console, console.options.update(max_width=1000), shown).maximum
    make_console(width=max(console.width, wanted)).print(shown)  # a narrow screen breaks lines, it does not cut numbers
    for note in table.notes():
        console.print(note, highlight=False, soft_wrap=True)


def write_csv(path: Path, tables: Sequence[Table]) -> None:
    """Write all rows of all tables, each metric with the bounds of its 95 % interval."""
    names = dict.fromkeys(name for table in tables for name in table.metrics)
    columns = ["data", "protocol", "num_photos", "num_clips", "num_groups", "image_size", "row", "checkpoint"]
    columns += ["stage", "step", "trained_on"]
    columns += [column for name in names for column in (name, f"{name}_low", f"{name}_high")]
    rows = [_csv_row(table, record) for table in tables for record in table.records]
    with atomic(path) as temporary:  # objects: whole numbers stay whole beside cells that are empty
        pd.DataFrame(rows, columns=columns, dtype=object).to_csv(temporary, index=False)


def _csv_row(table: Table, record: Record) -> dict[str, Any]:
    protocol, checkpoint = record["protocol"], record.get("checkpoint", {})
    row = {"data": table.title, "protocol": protocol["name"]}
    row |= {key: protocol[key] for key in ("num_photos", "num_clips", "num_groups") if key in protocol}
    row |= {"image_size": protocol.get("image_size"), "row": record["name"], "checkpoint": checkpoint.get("path")}
    row |= {"stage": checkpoint.get("stage"), "step": checkpoint.get("step"), "trained_on": record.get("trained_on")}
    for name in table.metrics:
        low, high = record["intervals"][name] or (None, None)
        row |= {name: record["metrics"][name], f"{name}_low": low, f"{name}_high": high}
    return row


def markdown(table: Table, figures: Mapping[str, str]) -> str:
    """Write one section of a report.

    Args:
        table: its rows.
        figures: picture files, relative to the report, by caption.
    """
    head = ["", *(heading(name, metric) for name, metric in table.columns().items())]
    rows = [[_row_name(r), *(_with_interval(r, name, m) for name, m in table.columns().items())] for r in table.records]
    rows += [
        [f"{row['name']} (published)", *(_published_cell(row, name, m) for name, m in table.columns().items())]
        for row in table.published()
    ]
    parts = [f"## {table.title}", _grid(head, rows)]
    if table.num_groups() >= LEAST_FOR_INTERVALS:
        parts.append(f"Brackets: 95 % bootstrap interval over {table.num_groups()} groups of {table.unit}.")
    lines = table.notes()
    parts += ["\n".join(f"- {line}" for line in lines)] if lines else []
    parts += _paired_section(table)
    parts += [f"![{caption}]({file})\n\n*{caption}*" for caption, file in figures.items()]
    protocol = table.records[0]["protocol"]
    stated = ", ".join(f"{key} {value}" for key, value in protocol.items() if value is not None)
    parts.append(f"Protocol: {stated}. Exact values, weights and versions: `metrics.jsonl`.")
    return "\n\n".join(parts) + "\n"


def _with_interval(record: Record, name: str, metric: Metric) -> str:
    interval = record["intervals"].get(name)
    flag = "*" if name in record.get("judged_by_its_teacher", []) else ""
    value = _number(record["metrics"].get(name), metric) + flag
    if interval is None or interval[0] == interval[1]:
        return value
    return f"{value} [{_number(interval[0], metric)}, {_number(interval[1], metric)}]"


def _paired_section(table: Table) -> list[str]:
    best, tests = table.best(), table.against_best()
    if best is None or not any(tests.values()):
        return []
    head = ["", *(heading(name, metric) for name, metric in table.metrics.items())]
    rows = [
        [row, *(_difference(found.get(name), metric) for name, metric in table.metrics.items())]
        for row, found in tests.items()
    ]
    text = (
        f"Difference to **{best['name']}**, the best by {table.objective}, in resampled sets of the same groups of "
        f"{table.unit}: 95 % interval, and the share of sets in which the row is better. Where checkpoints were "
        "chosen on these, measure the chosen one on others."
    )
    return ["### Paired tests", text, _grid(head, rows)]


def _difference(test: Mapping[str, float] | None, metric: PictureMetric) -> str:
    if test is None:
        return "-"
    digits = metric.decimals
    text = f"{test['difference']:+.{digits}f} [{test['low']:+.{digits}f}, {test['high']:+.{digits}f}]"
    return f"{text} {test['confidence']:.0%}" if "confidence" in test else text


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "| --- |" + " ---: |" * (len(head) - 1), *lines[1:]])
