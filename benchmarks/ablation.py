"""Change one thing at a time in NoGAN: python benchmarks/ablation.py --photos FOLDER --runs RUNS --out TABLES.

The base is `experiment=nogan_image` with the U-Net, losses and rates of DeOldify, its critic pretrained and its GAN run
once; each change is a list of overrides. Three seeds, at equal steps of the GAN stage and, where a change costs at
least 10 % more or less CPU time a step than the base, at equal seconds too. Runs of a seed share the generator of
stage 1, but those that change it. All are ordinary commands of `train.py`, resumed and skipped when done. The table has
what is finished: how many of the steps were the generator's, means over seeds on the 200 held-out photos that chose
nothing, and differences from the base on the same photos with 95 % bootstrap intervals over photos, then of each seed.
The intervals do not know how much runs differ by chance.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from inflection_runs import COMMON
from ordinary_runs import part_of, train_once
from paired import METRICS, Pair, compared, measure_unseen
from steps import bare_steps

from colorgan.config import compose
from colorgan.evaluation.report import Table
from colorgan.evaluation.results import Record
from colorgan.files import write_json, write_text
from colorgan.stages.base import Stage
from colorgan.training.build import build_stage
from colorgan.training.plan import plan_stages

GAN = "schedule.stages.gan"
WEIGHTS = f"{GAN}.module.loss_weights"
RATES = (f"{GAN}.module.optimizer_generator.lr", f"{GAN}.module.optimizer_discriminator.lr")
BASE = "as DeOldify"
GENERATOR = "generator=unet_lite0"  # of the base
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
BUDGETS = ("steps", "seconds")
STEPS = 600  # of the base's GAN stage, as at laptop scale
ALIKE = 0.1  # costs that differ by less, a few tens of steps, count as equal
TURNS = 24  # of each network, by which a cost is measured: all that is part of some steps alone comes in equal numbers


def train(change: str, seed: int, budget: str, photos: str, runs: Path, stage1: str | None) -> None:
    """Train a change at a budget; two budgets that come to the same steps are one run."""
    words = [*COMMON, f"data.path={photos}", f"seed={seed}"]
    [generator] = [word for word in overrides(change) if word.startswith("generator=")]
    if stage1 is None or generator != GENERATOR:
        first = [*words, generator, "schedule.first=[generator_pretrain]", "schedule.repeat=[]", "schedule.times=1"]
        pretrained = train_once(runs, f"{_slug(generator)}-{seed}", first)
    else:
        pretrained = Path(stage1.format(seed=seed))
    steps = gan_steps(change, budget, runs)
    words += [f"init_from={pretrained}", "schedule.first=[]", "schedule.times=1", *overrides(change)]
    train_once(runs, _name(change, seed, steps), [*words, f"{GAN}.steps={steps}"])


def overrides(change: str) -> list[str]:
    """Word a change; its generator is the base's if it names none."""
    words = CHANGES[change]
    return [*words] if any(word.startswith("generator=") for word in words) else [GENERATOR, *words]


def _name(change: str, seed: int, steps: int) -> str:
    return f"{_slug(change)}-{seed}-{steps}"


def _slug(change: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in change)


def gan_steps(change: str, budget: str, runs: Path) -> int:
    """Scale the base's steps to a budget."""
    ratio = 1.0 if budget == "steps" or change == BASE else cost(change, runs)
    return STEPS if abs(ratio - 1) < ALIKE else round(STEPS / ratio / 10) * 10


def cost(change: str, runs: Path) -> float:
    """Measure CPU seconds of a GAN step by those of the base's, in turn with it, and keep them; one thread."""
    file = _cost_file(change, runs)
    if not file.exists():
        torch.set_num_threads(1)
        stages = {name: _stage(name) for name in (change, BASE)}
        rgb = torch.rand(16, 3, 64, 64)
        batch = {"rgb": rgb, "gray": rgb.mean(dim=1, keepdim=True)}
        steps = {name: bare_steps(stage, batch, bf16=False) for name, stage in stages.items()}
        spent = dict.fromkeys(stages, 0.0)
        for turn in range(-1, TURNS):
            for name, stage in stages.items():
                started = time.process_time()
                for player, step in steps[name].items():
                    setattr(stage, f"{player}_steps", max(turn, 0))  # some losses are part of one step in a few
                    step()
                spent[name] += (time.process_time() - started) * (turn >= 0)
        write_json(file, {"ratio": spent[change] / spent[BASE]})
    return float(json.loads(file.read_text())["ratio"])


def _cost_file(change: str, runs: Path) -> Path:
    return runs / "costs" / f"{_slug(change)}.json"


def _stage(change: str) -> Stage:
    words = ("data.path=.", "schedule.first=[]", "schedule.repeat=[gan]", "schedule.times=1")
    config = compose("train", *COMMON, *words, *overrides(change))
    [planned] = plan_stages(config.schedule, Path("unused"), num_photos=1)
    stage: Stage = build_stage(config, planned, None)
    return stage.to(memory_format=stage.memory_format)  # type: ignore[call-overload, no-any-return]


def tables(runs: Path, out: Path) -> pd.DataFrame:
    """Measure the finished runs beside the base of their seed; returns a row a change and budget."""
    measured = {seed: _measure(seed, runs, out) for seed in SEEDS}
    rows = []
    for budget in BUDGETS:
        for change in CHANGES:
            if budget == "seconds" and not _cost_file(change, runs).exists():
                continue  # not trained yet; the base is the same at both
            steps = gan_steps(change, budget, runs)
            names = {seed: _name(change, seed, steps) for seed in SEEDS}
            bases = {seed: _name(BASE, seed, STEPS) for seed in SEEDS}
            seeds = [s for s in SEEDS if measured[s] and {names[s], bases[s]} <= _rows(measured[s]).keys()]
            if seeds and (budget == "steps" or steps != STEPS):
                turns = [json.loads((runs / names[s] / "02-gan" / "done.json").read_text()) for s in seeds]
                about = {"GAN steps": steps, "the generator's": np.mean([turn["generator_steps"] for turn in turns])}
                rows.append({"budget": budget, "change": change, "seeds": len(seeds)}
                            | about | _cells(measured, names, bases, seeds))  # fmt: skip
    return pd.DataFrame(rows)


def _measure(seed: int, runs: Path, out: Path) -> Table | None:
    done = [run for run in sorted(runs.glob(f"*-{seed}-*")) if (run / "final.png").exists()]
    return measure_unseen(done, 64, out / f"seed{seed}") if done else None


def _rows(table: Table | None) -> dict[str, Record]:
    assert table is not None
    return {record["name"]: record for record in table.records}


def _cells(
    measured: dict[int, Table | None], names: dict[int, str], bases: dict[int, str], seeds: Sequence[int]
) -> dict[str, str]:
    """Word each metric: mean and deviation over seeds, and its difference from the base."""
    pairs = []
    for seed in seeds:
        table = measured[seed]
        assert table is not None
        pairs.append(Pair(table, _rows(table)[bases[seed]], _rows(table)[names[seed]]))
    cells = {}
    for metric in METRICS:
        found = compared(pairs, metric)
        cells[metric] = f"{np.mean(found.other):.3g} ±{np.std(found.other, ddof=len(pairs) > 1):.2g}"
        each = found.other - found.base
        own = ", ".join(f"{value:+.2g}" for value in each)
        cells[f"{metric} - base"] = f"{each.mean():+.3g} ({found.low:+.3g} to {found.high:+.3g}): {own}"
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
    parser.add_argument("--stage1", help="trained U-Nets instead of own ones: a path with {seed} in it")
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
