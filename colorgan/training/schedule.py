"""Run the stages of a schedule in order inside a run folder, and resume where a run was stopped.

    runs/<name>/  config.yaml  manifest.csv  metrics.jsonl  final.safetensors
        01-generator_pretrain/  last.ckpt  handover.safetensors  done.json  images/  snapshots/
        02-critic_pretrain/     ...

A stage always begins from the hand-over file of the one before, in one process or after a restart, and `done.json`
is written last: whatever moment a run is stopped at, running it again ends in the same bits.
"""

import logging
import pickle
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from torch import nn

from colorgan.callbacks import InflectionObserver, Records, StopRequest, observed, warn_of_result
from colorgan.checkpoint import find_checkpoint, read_header
from colorgan.color import GRAY_RULES
from colorgan.config import build, build_datamodule, build_metrics, plain
from colorgan.data.library import PhotoLibrary, Split, write_manifest
from colorgan.evaluation.clips import MotionClips, MotionPanel
from colorgan.evaluation.photos import PhotoSet
from colorgan.evaluation.protocol import ClipProtocol, Protocol
from colorgan.files import Writer, copy_file, file_hash, write_json
from colorgan.stages.base import Stage
from colorgan.stages.finite import DivergedError
from colorgan.training.build import (
    build_stage,
    build_stage_trainer,
    build_trainer,
    stage_callbacks,
    validation_metrics,
)
from colorgan.training.checks import (
    check_config,
    check_held_out,
    check_objective,
    check_precision,
    check_processes,
    check_sizes,
    check_stage,
    check_test,
)
from colorgan.training.plan import INFLECTION, PlannedStage, plan_stages, trained_through
from colorgan.training.processes import Processes
from colorgan.training.provenance import Provenance
from colorgan.training.rehearsal import rehearse
from colorgan.training.run_folder import (
    claim_folder,
    drop_snapshots,
    hand_over,
    is_done,
    locked,
    remove_resume_files,
    resume_file,
    save_average,
    save_networks,
    snapshot_file,
)

logger = logging.getLogger(__name__)


class Schedule:
    """Run a config: its stages one after the other, each from the hand-over file of the one before.

    Args:
        config: the composed config of `train.py`.
    """

    def __init__(self, config: DictConfig) -> None:
        check_config(config)
        self.config = config
        self.folder: Path = Path(config.runs_dir) / str(config.name)
        self.plan = self.plan_for(None)
        self.inherited = Provenance.of(config)
        self.datamodule = build_datamodule(config.data, seed=config.seed)
        self.metrics = build_metrics(config.metrics)
        self.motion: MotionPanel | None = build(config.motion) if "motion" in config else None
        self.clip_metrics = build_metrics(config.clip_metrics)
        check_objective(config.objective, self.metrics)
        self.stop, self.writer = StopRequest(), Writer()
        trainer = build_trainer(config.trainer, logger=False)
        check_precision(trainer, config.trainer)
        self.processes = Processes(trainer)
        check_processes(self.processes, config.trainer)
        for stage in self.plan:
            check_stage(stage, losses=config.loss, metrics=self.metrics, num_processes=self.processes.count)
        rehearse(config, self.plan_for(1))

    def run(self) -> Path:
        """Run what is not done yet; returns the path of `final.safetensors`.

        Of several processes only the first one writes; it prepares the folder before the others start.

        Raises:
            ValueError: the folder holds a run with another config or other photos, or another process works in it.
        """
        if not self.processes.first:
            logging.getLogger("colorgan").setLevel(logging.ERROR)
            self.processes.start()
            self._examine()
            return self._run_stages()
        with locked(self.folder):
            start = {"started_from": self.inherited.started_from} if self.inherited.started_from else {}
            claim_folder(self.folder, {**plain(self.config), **start})
            write_manifest(self._examine(), self.folder / "manifest.csv")
            try:
                self.processes.start()
                return self._run_stages()
            except BaseException:
                self.processes.kill()
                raise

    def _examine(self) -> PhotoLibrary:
        library = self.datamodule.examine(min_size=min(self.image_sizes))
        check_sizes(library, self.plan)
        check_held_out(library, self.splits(), self.config)
        if "objective" in self.config.get("trial", {}):  # a search that needs the value
            check_test(self.test_photos(self.test_size, GRAY_RULES[0]), self.metrics, self.config.objective)
        elif self.config.test_size:
            self.test_photos(self.test_size, GRAY_RULES[0])  # fails now if no photo is so large
        self.plan = self.plan_for(self.datamodule.num_training())
        if unknown := [stage.name for stage in self.plan if not stage.entry.steps]:
            raise ValueError(
                f"schedule.stages.{unknown[0]} counts epochs, but nobody knows how many photos a stream holds; give "
                f"schedule.stages.{unknown[0]}.steps"
            )
        if self.datamodule.num_training() is None and any(s.rule == "held_out_critic" for s in self.plan):
            raise ValueError(
                "inflection.rule=held_out_critic judges photos that are trained on, and those of a stream cannot be "
                "read again; take another rule"
            )
        logger.info(library.summary())
        logger.info(
            "%s: %s",
            self.folder,
            ", ".join(f"{s.name} {s.entry.steps}x{s.entry.batch_size} at {s.entry.image_size} px" for s in self.plan),
        )
        return library

    def _count_skipped(self) -> None:
        path = self.folder / "skipped.txt"
        if path.exists():
            names = set(path.read_text().splitlines())
            logger.warning("%d photos could not be read in training and were replaced: %s", len(names), path)

    def _run_stages(self) -> Path:
        run_logger: Logger | bool | None = None
        handover = self.init_from
        for stage in self.plan:
            if not self.processes.agree(self.processes.first and is_done(stage)):
                run_logger = self._build_logger() if run_logger is None else run_logger
                self._run_stage(stage, handover, run_logger)
            handover = stage.folder / "handover.safetensors"
        final: Path = self.folder / "final.safetensors"
        assert handover is not None
        if self.processes.first:
            copy_file(handover, final)
            self._count_skipped()
            if isinstance(run_logger, Logger):
                run_logger.finalize("success")
        self.processes.end()
        return final

    @property
    def init_from(self) -> Path | None:
        """Checkpoint that the first stage begins with; None to begin afresh."""
        return find_checkpoint(self.config.init_from) if self.config.init_from else None

    def splits(self) -> list[dict[str, Any]]:
        """Describe which photos this run, and those it started from, hold out, and which they leave out altogether.

        The pictures of a film have nothing in common with the photos that earlier runs saw.
        """
        own, *behind = self._provenance()["splits"]
        if own.get("kind") == "references":
            behind = [split for split in behind if split.get("kind") == "references"]
        return [own, *behind]

    def _provenance(self) -> dict[str, Any]:
        library = self.datamodule.library
        assert library is not None
        assert library.split is not None
        limits = {"min_size": min(self.image_sizes), "min_colorfulness": self.datamodule.min_colorfulness}
        facts = self.datamodule.source.describe()
        # clips and photos have nothing in common
        kind: dict[str, Any] = {key: facts[key] for key in ("kind", "identity") if key in facts}
        own = {**asdict(library.split), **limits, **kind}
        return self.inherited.with_own([own], trained_through(self.config))

    def warnings(self) -> list[str]:
        """List what was wrong with the stages of this run, in the order in which it was found."""
        records = Records(self.folder / "metrics.jsonl", "").read()
        found = ((r["stage"], r["step"], text) for r in records for text in r.get("warnings", {}).values())
        return [f"{stage}, step {step}: {text}" for stage, step, text in found]

    def test_photos(self, image_size: int, gray_rule: str) -> PhotoSet:
        """Draw up to a thousand of the photos that this run holds out; `evaluate.py` measures more of them.

        Args:
            image_size: at which they are measured.
            gray_rule: of the generator to measure.
        """
        assert self.datamodule.library is not None
        protocol = Protocol(image_size=image_size, gray_rule=gray_rule, first=1000)
        rules = [Split(split["seed"], split["threshold"]) for split in self.splits()]
        return PhotoSet(self.datamodule.library, protocol, self.datamodule.source.describe(), rules)

    def moved_photos(self, image_size: int, gray_rule: str) -> MotionClips | None:
        """Move `test_photos` as the config's motion panel does; None without one."""
        return self.motion.over(self.test_photos(image_size, gray_rule), ClipProtocol()) if self.motion else None

    @property
    def image_sizes(self) -> list[int]:
        """List the heights and widths of the stages' pictures, in pixels."""
        return [stage.entry.image_size for stage in self.plan]

    @property
    def test_size(self) -> int:
        """Side of the pictures at which the result is measured, in pixels."""
        return int(self.config.test_size or self.plan[-1].entry.image_size)

    def plan_for(self, num_photos: int | None) -> list[PlannedStage]:
        """List the stages, with the steps that so many training photos make."""
        return plan_stages(self.config.schedule, self.folder, num_photos=num_photos)

    def planned_photos(self) -> int:
        """Count the training photos that `plan` asks about: those of the run's data, or a number without any data.

        Raises:
            ValueError: the data are a stream.
        """
        wanted = self.config.plan
        if wanted is not True:
            return int(wanted)
        self.datamodule.examine(min_size=min(self.image_sizes))
        num_photos = self.datamodule.num_training()
        if num_photos is None:
            raise ValueError("plan=true: nobody knows how many photos a stream holds; give plan=NUMBER")
        return num_photos

    def _build_logger(self) -> Logger | bool:
        if not self.processes.first:
            return False
        built: Logger = build(self.config.logger, save_dir=str(self.folder))
        built.log_hyperparams(plain(self.config))
        return built

    def _run_stage(self, stage: PlannedStage, handover: Path | None, run_logger: Logger | bool) -> None:
        started, entry = time.monotonic(), stage.entry
        stage.folder.mkdir(parents=True, exist_ok=True)
        module = build_stage(self.config, stage, handover)
        records = Records(self.folder / "metrics.jsonl", stage.folder.name)
        trainer = self._build_trainer(stage, module, records, run_logger)
        self.datamodule.skipped_file = self.folder / "skipped.txt"
        self.datamodule.begin_stage(
            gray_rule=str(module.generator.gray_rule),
            image_size=entry.image_size,
            batch_size=entry.batch_size,
            num_steps=entry.steps,
            stage_index=stage.index,
            share=entry.share,
            degrade=entry.degrade,
        )
        self._fit(stage, trainer, module)
        self.writer.wait()
        ended_early = module.steps < entry.steps and stage.is_over(observed(records.of_stage()))
        if module.steps < entry.steps and not ended_early:
            raise ValueError(
                f"{stage.folder.name} ended at step {module.steps} of {entry.steps} (trainer.max_time, ...)"
            )
        if trainer.is_global_zero:
            path = hand_over(
                stage, records.of_stage(), self.metrics, lambda *where: self._save_networks(stage, module, *where)
            )
            self.writer.wait()
            better = self.metrics[self.config.objective].higher_is_better
            handed_on = int(read_header(path)["step"])
            warn_of_result(records, handed_on, self.config.objective, higher_is_better=better)
            facts: dict[str, Any] = {"seconds": round(time.monotonic() - started, 1), **module.counts()}
            if ended_early:
                facts["ended_early"] = {"rule": stage.rule, "planned_steps": entry.steps}
            write_json(stage.folder / "done.json", {**facts, "handover": file_hash(path)})
            remove_resume_files(stage.folder)
        self.stop.obey(self.stop.agreed(trainer), trainer, f"{stage.folder.name} is done")  # it came in the last step
        trainer.strategy.barrier("stage done")

    def _fit(self, stage: PlannedStage, trainer: pl.Trainer, module: Stage) -> None:
        saved = self.processes.agree(resume_file(stage.folder) if self.processes.first else None)
        try:
            trainer.fit(module, datamodule=self.datamodule, ckpt_path=saved, weights_only=True)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from stop
        except pickle.UnpicklingError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{saved} is no file of this run, and is not opened: {reason}; delete it") from error
        except DivergedError as error:
            where = f"schedule.stages.{stage.name}.module"
            names = ", ".join(self.datamodule.names_of_step(error.step - 1))
            raise ValueError(
                f"{stage.folder.name} diverged in step {error.step}: {error}; "
                f"{f'its photos: {names}; ' if names else ''}what was saved before is finite and stays; "
                f"try a smaller rate ({', '.join(_rates(where, stage.entry.module))}) or {where}.gradient_clip=1, with "
                "another name="
            ) from error

    def _build_trainer(
        self, stage: PlannedStage, module: Stage, records: Records, run_logger: Logger | bool
    ) -> pl.Trainer:
        def save_snapshot(step: int, values: dict[str, float]) -> None:
            options = {"then": partial(drop_snapshots, stage, records.of_stage(), self.metrics)}
            if stage.entry.handover == INFLECTION:  # its rule may choose any of them
                options = {}
            self._save_networks(stage, module, snapshot_file(stage, step), values, **options)

        def keep_average(average: nn.Module, length: float, generator_steps: int) -> None:
            kept = {"length": length, "generator_steps": generator_steps}
            save_average(stage, module, average, kept, config=self.config, provenance=self._provenance())

        validation = validation_metrics(
            self.metrics,
            records,
            save_snapshot if stage.entry.snapshots else None,
            self.moved_photos(stage.entry.image_size, str(module.generator.gray_rule)),
            self.clip_metrics,
        )
        observer = InflectionObserver(records, stage.is_over) if stage.entry.handover == INFLECTION else None
        callbacks = stage_callbacks(
            self.config,
            stage,
            validation,
            self.stop,
            num_stages=len(self.plan),
            trains_generator="generator" in module.trains,
            observer=observer,
            save_average=keep_average,
        )
        return build_stage_trainer(self.config.trainer, stage, callbacks, run_logger, self.writer)

    def _save_networks(
        self, stage: PlannedStage, module: Stage, path: Path, metrics: Mapping[str, float], **options: Any
    ) -> None:
        provenance, writer = self._provenance(), self.writer
        save_networks(path, stage, module, metrics, config=self.config, provenance=provenance, writer=writer, **options)


def _rates(where: str, module: DictConfig) -> list[str]:
    """List the keys of a stage's learning rates."""
    return [f"{where}.{key!s}.lr" for key, node in module.items() if isinstance(node, DictConfig) and "lr" in node]
