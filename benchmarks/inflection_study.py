"""Compare stopping rules on GAN runs: python benchmarks/inflection_study.py --runs RUNS --out TABLES.

First `python benchmarks/inflection_runs.py --photos FOLDER --runs RUNS` trains the runs. Then every second snapshot is
measured (benchmarks/snapshot_measures.py says what the rules see and what judges them), each rule chooses one, and

- the *oracle* of a run is its snapshot with the best mean rank over the three judges, on 200 photos that no rule saw;
- the *regret* of a choice is how much worse it is than the oracle's: the mean over the judges of value / oracle's
  value - 1. A choice is *within 5 %* if its regret is at most .05.

Beside the rules stand the last snapshot, the best by kernel distance and by chroma distance on the panel, DeOldify's
2.2 % of the data, and one drawn at random (the mean over all). The rule with the smallest mean regret on one half of
the runs is reported on the other half, both ways. Stopped, it goes on; runs that are not finished are left out.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
import torch
from inflection_runs import EVERY, GAN_STEPS, RUNS, GANRun
from snapshot_measures import JUDGES, colorized, measure, photos_of

from colorgan.checkpoint import load_generator
from colorgan.color import rgb_to_gray
from colorgan.evaluation.inflection import RULES, choose
from colorgan.files import write_text
from colorgan.media.photo import save_photo
from colorgan.media.sheet import picture_sheet, to_image

NEAR = 0.05
DEOLDIFY_SHARE, PHOTOS, BATCH = 0.022, 1110, 16

Series = Sequence[dict[str, Any]]
Chooser = Callable[[Series], int | None]  # the step that it chooses; None where it has nothing to go by


@dataclass(frozen=True)
class Measured:
    """A run with what was measured of it, from step 0 on."""

    run: GANRun
    folder: Path
    start: Path
    series: list[dict[str, Any]]

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        """List what can be chosen."""
        return [values for values in self.series if values["step"]]

    def at(self, step: int) -> dict[str, Any]:
        """Find the snapshot of a step, or the one behind it."""
        return next(values for values in self.snapshots if values["step"] >= step)

    def oracle(self) -> dict[str, Any]:
        """Find the snapshot with the best mean rank over the judges."""
        ranks = pd.DataFrame(self.snapshots)[[f"unseen_{judge}" for judge in JUDGES]].rank()
        return self.snapshots[int(ranks.mean(axis=1).argmin())]

    def regret(self, values: dict[str, Any]) -> float:
        """Compute how much worse than the oracle's a snapshot is, in the mean over the judges."""
        oracle = self.oracle()
        return mean(values[f"unseen_{judge}"] / oracle[f"unseen_{judge}"] - 1 for judge in JUDGES)


def _by_rule(name: str) -> Chooser:
    def chooser(series: Series) -> int | None:
        choice = choose(name, series)
        return None if choice is None else choice.step

    return chooser


def _least(name: str) -> Chooser:
    return lambda series: int(min((v for v in series if v["step"]), key=lambda v: v[name])["step"])


CHOOSERS: dict[str, Chooser] = {name: _by_rule(name) for name in RULES}
OTHERS: dict[str, Chooser] = {
    "last": lambda series: int(series[-1]["step"]),
    "best kernel distance on the panel": _least("panel_kernel"),
    "best chroma distance on the panel": _least("chroma_distance"),
    "2.2 % of the data": lambda series: max(1, round(DEOLDIFY_SHARE * PHOTOS / BATCH)),
}


def measured(runs: Path, every: int) -> list[Measured]:
    """Measure the finished runs, the snapshots of every so many steps."""
    found = []
    for run in RUNS:
        folder, start = runs / run.name, runs / run.start / "final.safetensors"
        if not (folder / "01-gan" / "done.json").exists():
            continue
        files = {0: start}
        files |= {step: folder / f"01-gan/snapshots/step={step:06d}.safetensors" for step in _steps(every)}
        series = []
        for step, file in files.items():
            series.append(measure(folder, start, file, runs / "measures" / run.name / f"{step:06d}.json"))
        print(f"measured {run.name}", flush=True)
        found.append(Measured(run, folder, start, series))
    return found


def _steps(every: int) -> range:
    return range(every, GAN_STEPS + 1, every)


def regrets(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate what each way to choose chooses in each run, and its regret."""
    rows = []
    for one in found:
        oracle = one.oracle()
        for name, chooser in {**CHOOSERS, **OTHERS}.items():
            step = chooser(one.series)
            if step is not None:
                values = one.at(step)
                ranks = _ranks_behind(one, values)
                rows.append([name, one.run.name, int(values["step"]), one.regret(values), ranks, _colorful(values)])
        rows.append(["oracle", one.run.name, int(oracle["step"]), 0.0, 0.0, _colorful(oracle)])
        random = [one.regret(values) for values in one.snapshots]
        near = mean(value <= NEAR for value in random)
        rows.append(["random", one.run.name, None, mean(random), None, None, near])
    columns = ["rule", "run", "step", "regret", "ranks_behind", "colorfulness", "near"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["near"] = frame["near"].fillna((frame["regret"] <= NEAR).astype(float))
    return frame


def _colorful(values: dict[str, Any]) -> float:
    return values["unseen_colorfulness"] / values["unseen_colorfulness_truth"]


def _ranks_behind(one: Measured, values: dict[str, Any]) -> float:
    """Count by how many places of mean rank a snapshot is behind the oracle's, as a share of the snapshots."""
    frame = pd.DataFrame(one.snapshots)
    ranks = frame[[f"unseen_{judge}" for judge in JUDGES]].rank().mean(axis=1)
    return float((ranks[frame["step"] == values["step"]].iloc[0] - ranks.min()) / len(frame))


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarize the regrets of each way to choose over runs."""
    rows = {}
    for name, part in frame.groupby("rule", sort=False):
        rows[name] = {
            "runs": len(part),
            "mean regret": part["regret"].mean(),
            "largest": part["regret"].max(),
            "within 5 %": f"{part['near'].sum():.3g} of {len(part)}",
            "ranks behind": part["ranks_behind"].mean(),
            "colorfulness / truth": part["colorfulness"].mean(),
            "most colourful": part["colorfulness"].max(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("mean regret")


def chosen_on_halves(frame: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Choose the rule on one half of the runs, report it on the other, both ways; returns also the chosen rules."""
    rules = frame[frame["rule"].isin(list(CHOOSERS))]
    halves = [list(names[0::2]), list(names[1::2])]
    reports, chosen = [], []
    for used, left in (halves, halves[::-1]):
        best = str(rules[rules["run"].isin(used)].groupby("rule")["regret"].mean().idxmin())
        chosen.append(best)
        reports.append(frame[(frame["rule"] == best) & frame["run"].isin(left)])
    return pd.concat(reports), chosen


def draw_worst(found: Sequence[Measured], frame: pd.DataFrame, rule: str, file: Path) -> None:
    """Draw the three worst choices of a rule: gray, before the GAN, the choice, the oracle's, the last, the truth."""
    worst = frame[frame["rule"] == rule].nlargest(3, "regret")
    rows, labels = [], []
    for _, row in worst.iterrows():
        one = next(one for one in found if one.run.name == row["run"])
        photos = photos_of(one.folder / "config.yaml").unseen[:4]
        gray = rgb_to_gray(photos)
        steps = [int(row["step"]), int(one.oracle()["step"]), GAN_STEPS]
        files = [one.start, *(one.folder / f"01-gan/snapshots/step={step:06d}.safetensors" for step in steps)]
        columns = [gray.expand(-1, 3, -1, -1), *(colorized(load_generator(f), gray) for f in files), photos]
        for index in range(len(photos)):
            rows.append([to_image(images[index].repeat_interleave(2, 1).repeat_interleave(2, 2)) for images in columns])
            labels.append(f"{row['run']}: step {steps[0]}, oracle {steps[1]}, regret {row['regret']:.2f}")
    columns = ["gray", "before", "choice", "oracle", "last", "truth"]
    save_photo(picture_sheet(rows, columns=columns, labels=labels), file)


def _markdown(frame: pd.DataFrame) -> str:
    shown = frame.map(lambda value: f"{value:.3f}" if isinstance(value, float) else str(value))
    lines = [[str(frame.index.name or ""), *map(str, frame.columns)], ["---", *["---:"] * len(frame.columns)]]
    lines += [[str(name), *row] for name, row in zip(shown.index, shown.to_numpy().tolist(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measure, choose, compare; write `regrets.csv`, `rules.md` and the picture of the worst choices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/inflection"))
    parser.add_argument("--out", type=Path, default=Path("evaluation/inflection"))
    parser.add_argument("--every", type=int, default=2 * EVERY, help="steps between the snapshots that are measured")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    found = measured(arguments.runs.resolve(), arguments.every)
    if len(found) < 2:
        raise SystemExit(f"{len(found)} finished runs in {arguments.runs}; train them with inflection_runs.py first")
    frame = regrets(found)
    table = summary(frame)
    held_out, chosen = chosen_on_halves(frame, [one.run.name for one in found])
    arguments.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(arguments.out / "regrets.csv", index=False)
    near = f"{int(held_out['near'].sum())} of {len(held_out)} runs that did not choose it are within 5 %"
    halves = f"Chosen on half of the runs: {' and '.join(chosen)}; {near}, mean regret {held_out['regret'].mean():.3f}."
    steps = frame.pivot(index="run", columns="rule", values="step").astype("Int64")
    columns = [*table.index.drop("random")]
    text = f"{len(found)} runs\n\n{_markdown(table)}\n{halves}\n\nSteps chosen:\n\n{_markdown(steps[columns])}"
    write_text(arguments.out / "rules.md", text)
    best = next(name for name in table.index if name in CHOOSERS)
    draw_worst(found, frame, best, arguments.out / "worst_choices.jpg")
    print(text)


if __name__ == "__main__":
    main()
