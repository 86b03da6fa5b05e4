"""Change one thing at a time in NoGAN: python benchmarks/ablation.py --photos FOLDER --runs RUNS --out TABLES.

The base is `experiment=nogan_image` with DeOldify's losses and rates; each change is a list of overrides. Three seeds,
at equal steps of the generator and at equal seconds: short runs of each change say how many CPU seconds a step of the
GAN takes and how many steps are the generator's, and the GAN's steps are scaled by these. Runs of a seed share the
generator of stage 1, but those that change it. All are ordinary commands of `train.py`, resumed and skipped when done.
The table has what is finished: means over seeds on the 200 held-out photos that chose nothing, and differences from the
base on the same photos with 95 % bootstrap intervals over photos.
"""

import argparse
import json
import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from inflection_runs import COMMON
from ordinary_runs import part_of, train_once
from paired import METRICS, Pair, compared, measure_unseen

from colorgan.evaluation.report import Table
from colorgan.evaluation.results import Record
from colorgan.files import write_json, write_text

GAN = "schedule.stages.gan"
WEIGHTS = f"{GAN}.module.loss_weights"
RATES = (f"{GAN}.module.optimizer_generator.lr", f"{GAN}.module.optimizer_discriminator.lr")
BASE = "as DeOldify"
CHANGES: dict[str, tuple[str, ...]] = {
    BASE: (),
    "adversarial weight 3": (f"{WEIGHTS}.adversarial=3",),
    "generator's rate 3e-4": (f"{RATES[0]}=3e-4",),
    "equal rates 1e-4, clip 1": (f"{RATES[1]}=1e-4", f"+{GAN}.module.gradient_clip=1"),  # as img2img-turbo
    "relativistic": ("loss/adversarial=relativistic",),
    "R1 and R2": (f"+{WEIGHTS}.r1=0.5", f"+{WEIGHTS}.r2=0.5"),  # half: so is the loss beside them
    "relativistic, R1 and R2": ("loss/adversarial=relativistic", f"+{WEIGHTS}.r1=1", f"+{WEIGHTS}.r2=1"),
    "LeCam": (f"+{WEIGHTS}.lecam=0.15",),
    "label smoothing": ("loss/adversarial=bce_smooth",),
    "feature matching": (f"+{WEIGHTS}.feature_matching=1",),
    "DiffAugment": ("augment=diffaugment",),
    "adaptive DiffAugment": ("augment=adaptive",),
    "projected critic": ("discriminator=projected",),
    "nogan_projected": (
        "discriminator=projected",
        f"{WEIGHTS}.adversarial=3",
        f"{RATES[0]}=3e-4",
        *(f"{rate.removesuffix('lr')}betas=[0.0,0.99]" for rate in RATES),
        f"+{GAN}.module.warm_up=50",
    ),
    "critic at two scales": ("discriminator=multiscale_patch",),
    "no dropout in the critic": ("discriminator.dropout=0",),
    "average of 1,000 steps": (f"{GAN}.ema_decay=0.999",),
    "colour queries": ("generator=queries_lite0",),
}
SEEDS = (0, 1, 2)
BUDGETS = ("generator steps", "seconds")
STEPS = 600  # of the base's GAN stages, as at laptop scale
PROBE = (20, 100)  # steps of the two short runs; their difference is what 80 steps cost


def train(change: str, seed: int, budget: str, photos: str, runs: Path, stage1: str | None) -> None:
    """Train a change at a budget; two budgets that come to the same steps are one run."""
    words = _words(change, seed, photos, runs, stage1)
    steps = _steps(change, budget, photos, runs, stage1)
    train_once(runs, _name(change, seed, steps), [*words, f"{GAN}.steps={steps}", "schedule.times=2"])


def _words(change: str, seed: int, photos: str, runs: Path, stage1: str | None) -> list[str]:
    """Word a run but its steps; the generator that it starts from is trained first."""
    words = [*COMMON, f"data.path={photos}", f"seed={seed}"]
    own = [word for word in CHANGES[change] if word.startswith("generator=")]
    if stage1 is None or own:
        first = [*words, *own, "schedule.first=[generator_pretrain]", "schedule.repeat=[]"]
        generator = train_once(runs, f"generator{'_'.join(own).removeprefix('generator=')}-{seed}", first)
    else:
        generator = Path(stage1.format(seed=seed))
    return [*words, f"init_from={generator}", "schedule.first=[]", *CHANGES[change]]


def _name(change: str, seed: int, steps: int) -> str:
    slug = "".join(letter if letter.isalnum() else "_" for letter in change)
    return f"{slug}-{seed}-{steps}"


def _steps(change: str, budget: str, photos: str, runs: Path, stage1: str | None) -> int:
    """Scale the base's steps to a budget."""
    own, base = (_speed(name, photos, runs, stage1) for name in (change, BASE))
    key = {"generator steps": "generator_share", "seconds": "seconds"}[budget]
    ratio = base[key] / own[key]
    return round(STEPS * ratio / 10) * 10


def _speed(change: str, photos: str, runs: Path, stage1: str | None) -> dict[str, float]:
    """Measure CPU seconds a GAN step and the generator's share of the steps, once."""
    file = runs / "speeds" / f"{_name(change, SEEDS[0], 0)}.json"
    if file.exists():
        return dict(json.loads(file.read_text()))
    words = _words(change, SEEDS[0], photos, runs, stage1)
    spent, done = [], {}
    for steps in PROBE:
        before = _cpu_seconds()
        name = _name(f"probe {change}", SEEDS[0], steps)
        short = ["schedule.times=1", f"{GAN}.steps={steps}", f"{GAN}.validate_every=1000"]
        folder = train_once(runs, name, [*words, *short])
        spent.append(_cpu_seconds() - before)
        done = json.loads((folder / "02-gan" / "done.json").read_text())
    seconds = (spent[1] - spent[0]) / (PROBE[1] - PROBE[0])
    if seconds <= 0:
        raise SystemExit(f"the short runs of {change!r} were interrupted: delete {runs}/probe_* and start again")
    write_json(file, {"seconds": seconds, "generator_share": done["generator_steps"] / done["steps"]})
    return dict(json.loads(file.read_text()))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tables(runs: Path, out: Path) -> pd.DataFrame:
    """Measure the finished runs beside the base of their seed; returns a row a change and budget."""
    measured = {seed: _measure(seed, runs, out) for seed in SEEDS}
    rows = []
    for budget in BUDGETS:
        for change in CHANGES:
            steps = _known_steps(change, budget, runs)
            names = {seed: _name(change, seed, steps) for seed in SEEDS}
            bases = {seed: _name(BASE, seed, STEPS) for seed in SEEDS}
            seeds = [s for s in SEEDS if measured[s] and {names[s], bases[s]} <= _rows(measured[s]).keys()]
            if seeds:
                rows.append({"budget": budget, "change": change, "GAN steps": steps, "seeds": len(seeds)}
                            | _cells(measured, names, bases, seeds))  # fmt: skip
    return pd.DataFrame(rows)


def _known_steps(change: str, budget: str, runs: Path) -> int:
    files = [runs / "speeds" / f"{_name(name, SEEDS[0], 0)}.json" for name in (change, BASE)]
    if not all(file.exists() for file in files):
        return -1
    return _steps(change, budget, "", runs, None)


def _measure(seed: int, runs: Path, out: Path) -> Table | None:
    done = [run for run in sorted(runs.glob(f"*-{seed}-*")) if (run / "final.png").exists()]
    done = [run for run in done if not run.name.startswith("probe")]
    return measure_unseen(done, 64, out / f"seed{seed}") if done else None


def _rows(table: Table | None) -> dict[str, Record]:
    assert table is not None
    return {record["name"]: record for record in table.records}


def _cells(
    measured: dict[int, Table | None], names: dict[int, str], bases: dict[int, str], seeds: Sequence[int]
) -> dict[str, str]:
    """Word mean and deviation over seeds of each metric, and its difference from the base with an interval."""
    pairs = []
    for seed in seeds:
        table = measured[seed]
        assert table is not None
        pairs.append(Pair(table, _rows(table)[bases[seed]], _rows(table)[names[seed]]))
    cells = {}
    for metric in METRICS:
        found = compared(pairs, metric)
        cells[metric] = f"{np.mean(found.other):.3g} ±{np.std(found.other):.2g}"
        difference = np.mean(found.other - found.base)
        cells[f"{metric} - base"] = f"{difference:+.3g} ({found.low:+.3g} to {found.high:+.3g})"
    return cells


def main() -> None:
    """Train what is not done, measure it, write `ablation.md` and `ablation.csv`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="folder of at least a thousand photos")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--out", type=Path, default=Path("evaluation/ablation"))
    parser.add_argument(
        "--changes", nargs="+", default=list(CHANGES), choices=CHANGES, metavar="CHANGE", help="which (default: all)"
    )
    parser.add_argument("--part", default="0/1", help="every n-th change from the i-th on: i/n")
    parser.add_argument("--stage1", help="trained generators instead of own ones: a path with {seed} in it")
    parser.add_argument("--table", action="store_true", help="train nothing, measure what is finished")
    arguments = parser.parse_args()
    runs, photos = arguments.runs.resolve(), str(Path(arguments.photos).resolve())
    for seed in () if arguments.table else SEEDS:
        for change in part_of(arguments.changes, arguments.part):
            for budget in BUDGETS:
                train(change, seed, budget, photos, runs, arguments.stage1)
    frame = tables(runs, arguments.out)
    arguments.out.mkdir(parents=True, exist_ok=True)
    frame.to_csv(arguments.out / "ablation.csv", index=False)
    lines = [list(map(str, frame.columns)), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_text(arguments.out / "ablation.md", text)
    print(text)


if __name__ == "__main__":
    main()
