"""Compare stopping rules on GAN runs: python benchmarks/inflection_study.py --runs RUNS --out TABLES.

First `python benchmarks/inflection_runs.py --photos FOLDER --runs RUNS` trains the runs. Then a snapshot every hundred
steps, as often as a stage looks, is measured (benchmarks/snapshot_measures.py says what the rules see and what judges
them), each rule chooses one, and

- the *oracle* of a run is its snapshot with the best mean rank over the three judges, on 200 photos that no rule saw;
- the *regret* of a choice is how much worse it is than the oracle's: the mean over the judges of value / oracle's
  value - 1. A choice is *within 5 %* if its regret is at most .05.

An oracle is itself chosen on the photos that then judge it, and flattered. *Cross regret* names the oracle on one half
of the 200 photos and compares on the other, over ten halvings, both ways; the row "oracle of half of the photos" is
what the oracle of one half scores by the first definition on the other, so it is not comparable with the rows of rules.

Beside the rules stand the last snapshot, the best by kernel distance and by chroma distance on the panel, DeOldify's
2.2 % of the data, the start itself, and a snapshot drawn at random (the mean over all). The rule with the smallest mean
regret on some of the runs is reported on the others: on halves of the settings, and with the runs of one seed left out,
as these share photos and the generator they began with. *With stray* is the regret by four judges, stray colour too;
*artefact area* is the share of those 200 photos with colour contrast that the generator before the GAN did not give
them.
Stopped, it goes on; runs that are not finished are left out.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from inflection_figures import built_in_photos, draw_choices, draw_regrets
from inflection_runs import RUNS, SHORT, GANRun
from snapshot_measures import DRAWN, HALVINGS, JUDGES, STRAY, measure, photos_of

from colorgan.evaluation.inflection import RULES, choose
from colorgan.files import write_text

NEAR = 0.05
TODAY = "best chroma distance on the panel"  # what a GAN stage hands on
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

    def at(self, step: int) -> int:
        """Find what was measured nearest to a step: its place in the series."""
        return min(range(len(self.series)), key=lambda index: abs(self.series[index]["step"] - step))

    def judged(self, sets: slice | None = None, judges: Sequence[str] = JUDGES) -> np.ndarray:
        """Tabulate the judges' values, (judges, sets, series); on all photos, or on resampled ones."""
        if sets is None:
            return np.array([[[values[f"unseen_{judge}"] for values in self.series]] for judge in judges])
        rows = [[values[f"unseen_{judge}_resampled"][sets] for values in self.series] for judge in judges]
        return np.array(rows).transpose(0, 2, 1)


def oracles(judged: np.ndarray) -> np.ndarray:
    """Find the place of the snapshot with the best mean rank in each set; the start is none."""
    ranks = judged[:, :, 1:].argsort(axis=2).argsort(axis=2).mean(axis=0)
    return np.asarray(1 + ranks.argmin(axis=1))


def regret(judged: np.ndarray, chosen: np.ndarray | int, oracle: np.ndarray) -> np.ndarray:
    """Compute in each set how much worse than the oracle's a choice is, in the mean over the judges."""
    sets = np.arange(judged.shape[1])
    return np.asarray((judged[:, sets, chosen] / judged[:, sets, oracle] - 1).mean(axis=0))


def halves(one: Measured) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate what the halves say, and the oracle that the other half names."""
    judged = one.judged(slice(DRAWN, DRAWN + 2 * HALVINGS))
    return judged, oracles(judged).reshape(-1, 2)[:, ::-1].reshape(-1)


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
    TODAY: _least("chroma_distance"),
    "2.2 % of the data": lambda series: max(1, round(DEOLDIFY_SHARE * PHOTOS / BATCH)),
    "start": lambda series: 0,
}


def measured(runs: Path, every: int) -> list[Measured]:
    """Measure the finished runs, the snapshots of every so many steps."""
    found = []
    for run in RUNS:
        folder, start = runs / run.name, runs / run.start / "final.safetensors"
        if not (folder / "01-gan" / "done.json").exists():
            continue
        files = {0: start}
        files |= {
            step: folder / f"01-gan/snapshots/step={step:06d}.safetensors"
            for step in range(every, run.steps + 1, every)
        }
        series = []
        for step, file in files.items():
            series.append(measure(folder, start, file, runs / "measures" / run.name / f"{step:06d}.json"))
        print(f"measured {run.name}", flush=True)
        found.append(Measured(run, folder, start, series))
    return found


def regrets(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate what each way to choose chooses in each run, and its regret."""
    return pd.concat([_regrets_of(one).assign(run=one.run.name, seed=one.run.seed) for one in found])


def _regrets_of(one: Measured) -> pd.DataFrame:
    judged, (split, others) = one.judged(), halves(one)
    oracle, by_four = oracles(judged), one.judged(judges=(*JUDGES, STRAY))

    def row(name: str, place: int) -> dict[str, Any]:
        own = float(regret(judged, place, oracle)[0])
        return {
            "rule": name,
            "step": one.series[place]["step"],
            "regret": own,
            "cross": float(regret(split, place, others).mean()),
            "by_four": float(regret(by_four, place, oracles(by_four))[0]),
            "stray": one.series[place][f"unseen_{STRAY}"],
            "artefacts": one.series[place]["unseen_artefact_area"],
            "near": float(own <= NEAR),
            "colorfulness": _colorful(one.series[place]),
        }

    steps = {name: chooser(one.series) for name, chooser in {**CHOOSERS, **OTHERS}.items()}
    rows = [row(name, one.at(step)) for name, step in steps.items() if step is not None]
    rows.append(row("oracle", int(oracle[0])))
    every = pd.DataFrame([row("random", place) for place in range(1, len(one.series))])
    rows.append({"rule": "random", **every.drop(columns=["rule", "step"]).mean().to_dict()})
    other = regret(split, others, oracles(split))
    rows.append(
        {
            "rule": "oracle of half of the photos, on the other half",
            "regret": other.mean(),
            "near": (other <= NEAR).mean(),
        }
    )
    return pd.DataFrame(rows)


def _colorful(values: dict[str, Any]) -> float:
    return float(values["unseen_colorfulness"] / values["unseen_colorfulness_truth"])


def curves(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate what judges every snapshot, its regret, and how often resampled photos name it the oracle."""
    rows = []
    for one in found:
        judged, drawn = one.judged(), oracles(one.judged(slice(0, DRAWN)))
        for place, values in enumerate(one.series):
            rows.append({
                "run": one.run.name, "step": values["step"], **dict(zip(JUDGES, judged[:, 0, place], strict=True)),
                STRAY: values[f"unseen_{STRAY}"],
                "regret": float(regret(judged, place, oracles(judged))[0]), "oracle_of": float((drawn == place).mean()),
                "colorfulness": _colorful(values), "artefacts": values["unseen_artefact_area"],
            })  # fmt: skip
    return pd.DataFrame(rows)


def oracle_steps(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate which step is the oracle by other judges, a run a row."""
    sets = [JUDGES, (*JUDGES, STRAY), ("kernel", "error", STRAY), *((judge,) for judge in (*JUDGES, STRAY))]
    rows = {}
    for one in found:
        places = {", ".join(judges): int(oracles(one.judged(judges=judges))[0]) for judges in sets}
        rows[one.run.name] = {name: int(one.series[place]["step"]) for name, place in places.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarize the regrets of each way to choose over runs."""
    rows = {}
    for name, part in frame.groupby("rule", sort=False):
        seeds = part.groupby("seed")["regret"].mean()
        rows[name] = {
            "mean regret": part["regret"].mean(),
            "by seed": ", ".join(f"{value:.3f}" for value in seeds),
            "largest": part["regret"].max(),
            "cross regret": part["cross"].mean(),
            "with stray": part["by_four"].mean(),
            "within 5 %": f"{part['near'].sum():.3g} of {len(part)}",
            "colorfulness / truth": part["colorfulness"].mean(),
            "most colourful": part["colorfulness"].max(),
            "stray colour": part["stray"].mean(),
            "artefact area": part["artefacts"].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("mean regret")


def on_others(frame: pd.DataFrame, parts: Sequence[Sequence[str]], title: str) -> str:
    """For each part of the runs choose a rule on the others, and report it on the part beside today's hand-over."""
    rules, lines, reports = frame[frame["rule"].isin(list(CHOOSERS))], [], []
    today = frame[frame["rule"] == TODAY]
    for left in parts:
        used = rules[~rules["run"].isin(left)]
        best = str(used.groupby("rule")["regret"].mean().idxmin())
        report = rules[(rules["rule"] == best) & rules["run"].isin(left)]
        beside = today[today["run"].isin(left)]["regret"].mean()
        lines.append(f"{best} ({report['regret'].mean():.3f}; {TODAY} {beside:.3f})")
        reports.append(report)
    every = pd.concat(reports)
    near = f"{int(every['near'].sum())} of {len(every)} within 5 %, mean regret {every['regret'].mean():.3f}"
    return f"{title}: {'; '.join(lines)}. Together: {near}, {TODAY} {today['regret'].mean():.3f}.\n\n"


def draw_worst(found: Sequence[Measured], frame: pd.DataFrame, rule: str, out: Path) -> None:
    """Draw the three worst choices of a rule, on photos that it did not see and on photos that may be shown."""
    for _, row in frame[frame["rule"] == rule].nlargest(3, "regret").iterrows():
        one = next(one for one in found if one.run.name == row["run"])
        steps = [int(row["step"]), int(one.series[oracles(one.judged())[0]]["step"]), one.run.steps]
        files = [one.start, *(one.folder / f"01-gan/snapshots/step={step:06d}.safetensors" for step in steps)]
        label = f"{one.run.name}: step {steps[0]}, oracle {steps[1]}, regret {row['regret']:.2f}"
        sets = {"unseen": photos_of(one.folder / "config.yaml").unseen[:8], "built_in": built_in_photos(128)}
        for name, photos in sets.items():
            columns = ["before", "choice", "oracle", "last"]
            draw_choices([(label, files)], columns, photos, out / f"worst_{one.run.name}_{name}.jpg")


def draw_courses(found: Sequence[Measured], file: Path) -> None:
    """Draw what long runs come to beside what `artefact_area` chooses, on photos that may be shown."""
    courses = []
    for one in found:
        if one.run.steps > SHORT:
            chosen = CHOOSERS["artefact_area"](one.series)
            assert chosen is not None
            steps = [chosen, SHORT, one.run.steps // 2, one.run.steps]
            files = [one.start, *(one.folder / f"01-gan/snapshots/step={step:06d}.safetensors" for step in steps)]
            label = f"{one.run.name}; artefact_area: {chosen}; then {', '.join(map(str, steps[1:]))}"
            courses.append((label, files))
    columns = ["before", "artefact_area", "short", "half", "long"]
    draw_choices(courses, columns, built_in_photos(96), file)


def _markdown(frame: pd.DataFrame) -> str:
    shown = frame.map(lambda value: f"{value:.3f}" if isinstance(value, float) else str(value))
    lines = [[str(frame.index.name or ""), *map(str, frame.columns)], ["---", *["---:"] * len(frame.columns)]]
    lines += [[str(name), *row] for name, row in zip(shown.index, shown.to_numpy().tolist(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measure, choose, compare; write `regrets.csv`, `curves.csv`, `rules.md` and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/inflection"))
    parser.add_argument("--out", type=Path, default=Path("evaluation/inflection"))
    parser.add_argument("--every", type=int, default=100, help="steps between the snapshots that are measured")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    found = measured(arguments.runs.resolve(), arguments.every)
    if len(found) < 2:
        raise SystemExit(f"{len(found)} finished runs in {arguments.runs}; train them with inflection_runs.py first")
    frame = regrets(found)
    table = summary(frame)
    # A long run begins as the short one of its settings: both on one side.
    settings = [*dict.fromkeys(replace(one.run, steps=SHORT) for one in found)]
    sides = [settings.index(replace(one.run, steps=SHORT)) % 2 for one in found]
    by_half = [[one.run.name for one, side in zip(found, sides, strict=True) if side == half] for half in (0, 1)]
    seeds = sorted({one.run.seed for one in found})
    by_seed = [[one.run.name for one in found if one.run.seed == seed] for seed in seeds]
    arguments.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(arguments.out / "regrets.csv", index=False)
    judged = curves(found)
    judged.to_csv(arguments.out / "curves.csv", index=False)
    draw_regrets(frame, judged, [*table.index.drop("oracle")], NEAR, arguments.out / "regrets.png")
    text = f"{len(found)} runs\n\n{_markdown(table)}\n"
    text += on_others(frame, by_half, "Chosen on the other half (every second setting)")
    text += on_others(frame, by_seed, "Chosen on the other seeds")
    steps = frame.pivot(index="run", columns="rule", values="step").astype("Int64")
    text += f"Steps chosen:\n\n{_markdown(steps.dropna(axis=1, how='all'))}"
    text += f"\nOracles by other judges:\n\n{_markdown(oracle_steps(found))}"
    write_text(arguments.out / "rules.md", text)
    best = next(name for name in table.index if name in CHOOSERS)
    draw_worst(found, frame, best, arguments.out)
    draw_courses(found, arguments.out / "courses.jpg")
    print(text)


if __name__ == "__main__":
    main()
