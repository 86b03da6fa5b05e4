"""Train the GAN runs of the study of stopping rules: python benchmarks/inflection_runs.py --photos FOLDER --runs RUNS.

Each run is a GAN stage of 1,000 steps that keeps a snapshot every 20 steps, or a long one of 4,000 that keeps one every
100; seeds, critics, rates and adversarial weights differ, and some are meant to go wrong. Early runs start from the
pretrained generator of their seed and a pretrained critic; late ones from a whole run of nogan_image (two critics, two
GAN stages) and a critic trained once more, for at laptop scale a first GAN stage hardly gets so far. All are ordinary
commands of `train.py`, resumed where they were stopped and skipped when done: `--part 0/2` and `--part 1/2` share them
between two processes.
Then `python benchmarks/inflection_study.py` chooses and compares (docs/results.md).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from ordinary_runs import part_of, train_once

# What one critic differs by from `discriminator=patch`.
CRITICS: dict[str, tuple[str, ...]] = {
    "patch": (),
    "narrow": ("discriminator.width=24",),
    "blind": ("discriminator.conditional=false",),  # it judges colour without the gray that it lies on
}

SHORT = 1000  # steps


@dataclass(frozen=True)
class GANRun:
    """A run of the study: its seed, critic, the generator's rate, the weight of the adversarial loss; early or late."""

    seed: int
    critic: str
    rate: float
    weight: float
    late: bool = False
    steps: int = SHORT

    @property
    def start(self) -> str:
        """Name the folder of what it starts from."""
        return f"critic_{'late_' if self.late else ''}{self.critic}-{self.seed}"

    @property
    def name(self) -> str:
        """Name its folder."""
        length = "" if self.steps == SHORT else f"-steps{self.steps}"
        return f"{self.start.removeprefix('critic_')}-rate{self.rate:g}-weight{self.weight:g}{length}"

    @property
    def every(self) -> int:
        """Count the steps between its snapshots."""
        return 20 if self.steps == SHORT else 100


RUNS = (
    GANRun(1, "patch", 1e-3, 10),  # ten times the default's rate: these are meant to go wrong
    GANRun(2, "blind", 1e-3, 3),
    GANRun(0, "patch", 1e-3, 3),
    GANRun(2, "patch", 1e-3, 10, late=True),
    GANRun(0, "patch", 1e-4, 1),  # as the first GAN stage of nogan_image
    GANRun(1, "patch", 3e-4, 3),
    GANRun(2, "patch", 1e-4, 10),
    GANRun(0, "patch", 3e-4, 3, late=True),
    GANRun(2, "blind", 3e-4, 3),
    GANRun(1, "patch", 3e-4, 10, late=True),
    GANRun(0, "blind", 1e-4, 10),
    GANRun(2, "patch", 1e-4, 3, late=True),
    GANRun(1, "blind", 3e-4, 10),
    GANRun(0, "patch", 1e-4, 10, late=True),
    GANRun(0, "patch", 3e-4, 10),
    GANRun(1, "patch", 1e-4, 1, late=True),
    GANRun(2, "narrow", 3e-4, 10),
    GANRun(2, "patch", 3e-4, 10, late=True),
    GANRun(0, "patch", 1e-4, 1, steps=4000),
    GANRun(1, "patch", 1e-3, 10, steps=4000),
    GANRun(0, "blind", 1e-4, 10, steps=4000),  # the runs of 1,000 that had become most colourful
    GANRun(2, "patch", 1e-4, 10, steps=4000),
)

# `metrics=fast` needs no feature network: a validation of 100 photos takes the time of ten steps, not of a hundred.
COMMON = ("experiment=nogan_image", "scale=laptop", "data=folder", "data.validation_share=0.22",
          "data.max_validation=300", "data.validation_panel=100", "metrics=fast",
          "trainer.enable_progress_bar=false")  # fmt: skip


def train_start(run: GANRun, photos: str, runs: Path, trained: str | None) -> Path:
    """Train what a run starts from: generator and critic of its seed."""
    common = [*COMMON, f"data.path={photos}", f"seed={run.seed}"]
    if trained is None:
        folder = train_once(runs, f"nogan_image-{run.seed}", common)
    else:
        folder = Path(trained.format(seed=run.seed))
    generator = folder / ("final.safetensors" if run.late else "01-generator_pretrain/handover.safetensors")
    words = [*common, *CRITICS[run.critic], f"init_from={generator}", "schedule.first=[]", "schedule.times=1",
             "schedule.repeat=[critic_pretrain]"]  # fmt: skip
    return train_once(runs, run.start, words)


def train_gan(run: GANRun, photos: str, runs: Path, trained: str | None) -> Path:
    """Train a run of the study."""
    start = train_start(run, photos, runs, trained)
    stage = "schedule.stages.gan"
    words = [*COMMON, f"data.path={photos}", f"seed={run.seed}", *CRITICS[run.critic], f"init_from={start}",
             "schedule.first=[]", "schedule.repeat=[gan]", "schedule.times=1", f"{stage}.steps={run.steps}",
             f"{stage}.validate_every={run.every}", f"{stage}.snapshots={run.steps // run.every}",
             f"{stage}.handover=last",
             f"{stage}.module.optimizer_generator.lr={run.rate:g}",
             f"{stage}.module.loss_weights.adversarial={run.weight:g}"]  # fmt: skip
    return train_once(runs, run.name, words)


def main() -> None:
    """Train all runs, or a part of them, in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="folder of at least a thousand photos")
    parser.add_argument("--runs", type=Path, default=Path("runs/inflection"))
    parser.add_argument("--part", default="0/1", help="every n-th run from the i-th on: i/n")
    parser.add_argument("--trained", help="runs of nogan_image instead of own ones: a path with {seed} in it")
    arguments = parser.parse_args()
    by_name = {run.name: run for run in RUNS}
    for name in part_of(list(by_name), arguments.part):
        train_gan(by_name[name], str(Path(arguments.photos).resolve()), arguments.runs.resolve(), arguments.trained)


if __name__ == "__main__":
    main()
