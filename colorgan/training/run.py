"""Train as a config says, measure the result and report it: all that `colorgan train` does."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig

from colorgan.callbacks.health import too_colorful, worse_than_gray
from colorgan.checkpoint import read_header
from colorgan.colorize.colorizer import Colorizer
from colorgan.colorize.film import FilmOptions, colorize_film
from colorgan.console import make_console
from colorgan.evaluation.clips import grainy_pan
from colorgan.evaluation.compare import tabulate, write_report
from colorgan.evaluation.figures import contact_sheet
from colorgan.evaluation.photos import MeasuredSet, PhotoSet
from colorgan.evaluation.report import Table, print_table
from colorgan.evaluation.results import Results
from colorgan.media.photo import save_photo
from colorgan.training.cost import cost_table, schedule_costs
from colorgan.training.run_folder import locked
from colorgan.training.schedule import Schedule

_PICTURED = 10  # photos in final.png

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: the run folder.
        checkpoint: its result, `final.safetensors`.
        table: the baselines, the first stage, the result and the truth on photos that the run held out; where it was
            fine-tuned on references, also what it began from.
        metrics: of the result, by name.
    """

    folder: Path
    checkpoint: Path
    table: Table
    metrics: Mapping[str, float | None]


def train(config: DictConfig) -> Run | None:
    """Run the schedule of a config, measure its result, write a report; a run that was stopped goes on.

    Returns:
        The run; None where `plan` asks only for the cost, and in all but the first of several processes.
    """
    if config.film not in (None, "moved") and not Path(str(config.film)).exists():
        raise FileNotFoundError(f"no film {config.film}; give a film, a folder of frames, moved, or null (film)")
    with _without_noise():
        schedule = Schedule(config)
        if config.plan is not False:
            _print_costs(schedule)
            return None
        final = schedule.run()
        if not schedule.processes.first:
            return None
        with locked(schedule.folder):  # the same command, given once more meanwhile, would write the same files
            return _measure(schedule, final)


def _measure(schedule: Schedule, final: Path) -> Run:
    """Measure the first stage and the result on the photos held out; print, draw and write what comes out."""
    config, first = schedule.config, schedule.plan[0]
    checkpoints = {first.name: first.folder / "handover.safetensors", "final": final}
    if config.get("references") and schedule.init_from:
        checkpoints = {"before": schedule.init_from, **checkpoints}
    size = schedule.test_size
    gray_rule = read_header(final)["gray_rule"]
    photos, clips = schedule.test_photos(size, gray_rule), schedule.moved_photos(size, gray_rule)
    results = Results(schedule.folder / "evaluation")
    table = tabulate(checkpoints, photos, schedule.metrics, results, objective=config.objective)
    print_table(table)
    tables: list[tuple[Table, MeasuredSet]] = [(table, photos)]
    if clips is not None:
        tables.append((tabulate(checkpoints, clips, schedule.clip_metrics, results), clips))
        print_table(tables[-1][0])
    wrong = [f"final table: {text}" for text in _what_is_wrong(table)]
    for text in wrong:
        logger.warning(text)
    report = write_report(tables, results.folder, warnings=[*schedule.warnings(), *wrong])
    picture = schedule.folder / "final.png"
    save_photo(contact_sheet(table, photos, photos.drawn(_PICTURED)), picture)
    print(f"picture (gray | {' | '.join(checkpoints)} | truth): {picture}\nreport: {report}\ncheckpoint: {final}")
    if config.film is not None:
        _colorize_film(str(config.film), final, photos, schedule.folder / "final.mp4")
    print(f"colorize your photos: colorgan colorize PHOTO_OR_FOLDER --checkpoint {schedule.folder} --out colorized")
    final_row = next(record for record in table.records if record["name"] == "final")
    return Run(schedule.folder, final, table, final_row["metrics"])


def _what_is_wrong(table: Table) -> list[str]:
    """Say where the table shows a result that is worse than gray, or far too colourful."""
    rows = {record["name"]: record["metrics"] for record in table.records}
    final, name = rows["final"], table.objective
    found = [too_colorful(final["colorfulness"], rows["truth"]["colorfulness"])] if "colorfulness" in final else []
    if name is not None:
        higher = bool(table.metrics[name].higher_is_better)
        found.append(worse_than_gray(name, final[name], rows["gray"][name], higher_is_better=higher))
    return [text for text in found if text is not None]


def _colorize_film(film: str, checkpoint: Path, photos: PhotoSet, out: Path) -> None:
    """Colorize a film, gray and colour side by side; for `moved` one with grain is made from a test photo."""
    if out.exists():
        return
    with TemporaryDirectory() as folder:
        source = Path(film)
        if film == "moved":
            source = Path(folder)
            for number, frame in enumerate(grainy_pan(photos)):
                frame.save(source / f"{number:05d}.png")
        options = FilmOptions(compare=True, overwrite=True, recolor=True)
        colorize_film(source, out, lambda _: Colorizer.load(checkpoint, engine="torch"), checkpoint, options)


def _print_costs(schedule: Schedule) -> None:
    """Print what the schedule would cost, for the photos at hand or for as many as `plan` says."""
    num_photos = schedule.planned_photos()
    costs = schedule_costs(schedule.config, schedule.plan_for(num_photos))
    make_console(width=None if make_console().is_terminal else 160).print(cost_table(costs, num_photos=num_photos))


@contextmanager
def _without_noise() -> Iterator[None]:
    """Silence what libraries say of things that are meant."""
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):  # one notice a stage
        logging.getLogger(f"pytorch_lightning.{name}").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning's own use of a deprecated torch name; can go when it stops.
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
        # Of a hook that the stages mean to override, and of stages shorter than a logging interval.
        warnings.filterwarnings("ignore", message="You have overridden `on_after_batch_transfer`")
        warnings.filterwarnings("ignore", message="The number of training batches")
        # A frozen part, such as the backbone of a critic, stays in eval mode.
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
        # It cannot know that the step-indexed sampler goes on by itself.
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch ended")
        # The metrics that this is about have been computed over all processes.
        warnings.filterwarnings("ignore", message=r".*on epoch level in distributed setting")
        yield
