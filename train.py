"""Train a colorizer: compose the config, run the schedule, measure the result, return the objective.

python train.py experiment=nogan_video
python train.py experiment=nogan_image data=folder data.path=my_photos
"""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from colorgan.errors import one_line_errors

if TYPE_CHECKING:
    from colorgan.evaluation.photos import MeasuredSet, PhotoSet
    from colorgan.evaluation.report import Table
    from colorgan.training.schedule import Schedule

sys.path.append(str(Path(__file__).parent / "colorgan" / "sweeps" / "plugins"))  # Hydra finds our sweepers there
os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets errors through, and `one_line_errors` words them


@hydra.main(version_base="1.3", config_path=str(Path(__file__).parent / "configs"), config_name="train")
def main(config: DictConfig) -> float | None:
    """Run the schedule of a config; returns the objective, for sweeps."""
    return train(config)


def train(config: DictConfig) -> float | None:
    """Train, evaluate, report."""
    # Heavy imports wait until here, so that --help answers at once.
    from colorgan.checkpoint import read_header
    from colorgan.evaluation.compare import tabulate, write_report
    from colorgan.evaluation.figures import contact_sheet
    from colorgan.evaluation.report import print_table
    from colorgan.evaluation.results import Results
    from colorgan.training.schedule import Schedule

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    # Lightning's own use of a deprecated torch name; can go when it stops.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    # What Lightning says of a hook that the stages mean to override, and of stages shorter than a logging interval.
    warnings.filterwarnings("ignore", message="You have overridden `on_after_batch_transfer`")
    warnings.filterwarnings("ignore", message="The number of training batches")
    # It cannot know that the step-indexed sampler goes on by itself.
    warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch ended")
    # The metrics that this is about have been computed over all processes.
    warnings.filterwarnings("ignore", message=r".*on epoch level in distributed setting")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # one notice a stage is noise
    logging.getLogger("pytorch_lightning.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
    if config.film not in (None, "moved") and not Path(str(config.film)).exists():
        raise FileNotFoundError(f"no film {config.film}; give a film, a folder of frames, moved, or null (film)")
    schedule = Schedule(config)
    if config.plan is not False:
        print_costs(schedule)
        return None
    final = schedule.run()
    if not schedule.processes.first:
        return None

    first = schedule.plan[0]
    checkpoints = {first.name: first.folder / "handover.safetensors", "final": final}
    size = schedule.plan[-1].entry.image_size
    gray_rule = read_header(final)["gray_rule"]
    photos, clips = schedule.test_photos(size, gray_rule), schedule.moved_photos(size, gray_rule)
    results = Results(schedule.folder / "evaluation")
    table = tabulate(checkpoints, photos, schedule.metrics, results, objective=config.objective)
    print_table(table)
    tables: list[tuple[Table, MeasuredSet]] = [(table, photos)]
    if clips is not None:
        tables.append((tabulate(checkpoints, clips, schedule.clip_metrics, results), clips))
        print_table(tables[-1][0])
    report = write_report(tables, results.folder)
    picture = schedule.folder / "final.png"
    contact_sheet(table, photos, range(min(10, len(photos)))).save(picture)
    print(f"picture (gray | {' | '.join(checkpoints)} | truth): {picture}\nreport: {report}\ncheckpoint: {final}")
    if config.film is not None:
        colorize_at_the_end(str(config.film), final, photos, schedule.folder / "final.mp4")
    print(f"colorize your photos: colorgan colorize PHOTO_OR_FOLDER --checkpoint {schedule.folder} --out colorized")
    final_row = next(record for record in table.records if record["name"] == "final")
    value: float | None = final_row["metrics"].get(config.objective)
    return value


def colorize_at_the_end(film: str, checkpoint: Path, photos: "PhotoSet", out: Path) -> None:
    """Colorize a film, gray and colour side by side; for `moved` one with grain is made from the first test photo."""
    from tempfile import TemporaryDirectory

    from colorgan.colorize.colorizer import Colorizer
    from colorgan.colorize.film import FilmOptions, colorize_film
    from colorgan.evaluation.clips import grainy_pan

    if out.exists():
        return
    with TemporaryDirectory() as folder:
        source = Path(film)
        if film == "moved":
            source = Path(folder)
            for number, frame in enumerate(grainy_pan(photos)):
                frame.save(source / f"{number:05d}.png")
        options = FilmOptions(compare=True, overwrite=True)
        colorize_film(source, out, lambda: Colorizer.load(checkpoint), checkpoint, options)


def print_costs(schedule: "Schedule") -> None:
    """Print what the schedule would cost, for the photos at hand or for as many as `plan` says; trains nothing."""
    from rich.console import Console

    from colorgan.training.cost import cost_table, schedule_costs

    num_photos = schedule.planned_photos()
    costs = schedule_costs(schedule.config, schedule.plan_for(num_photos))
    Console(width=None if Console().is_terminal else 160).print(cost_table(costs, num_photos=num_photos))


if __name__ == "__main__":
    with one_line_errors():
        main()
