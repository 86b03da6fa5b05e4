"""Runs the stages of a recipe in order inside a run folder; knows files, order, hand-over and resume.

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
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from torch import nn

from colorgan.assembly import build_stage
from colorgan.callbacks import (
    GeneratorEMA,
    PruneTrial,
    Records,
    ResumeCheckpoint,
    StageProgressBar,
    StopRequest,
    ValidationMetrics,
    ValidationPictures,
)
from colorgan.checkpoint import (
    file_hash,
    find_checkpoint,
    read_header,
    save_checkpoint,
    write_json,
)
from colorgan.clips import ClipProtocol, MotionClips, MotionPanel
from colorgan.data.library import PhotoLibrary, Split, write_manifest
from colorgan.errors import StoppedError
from colorgan.evaluation import evaluate
from colorgan.plan import (
    PlannedStage,
    build_datamodule,
    build_metrics,
    plain,
    plan_stages,
    trained_through,
)
from colorgan.processes import Processes
from colorgan.protocol import Protocol, TestPhotos
from colorgan.run_folder import claim_folder, copy_file, is_done, locked, remove_resume_files, resume_file
from colorgan.stages.base import DivergedError, Stage

logger = logging.getLogger(__name__)


class Schedule:
    """A run: its config, its folder, its stages.

    Args:
        config: the composed config of `train.py`.
    """

    def __init__(self, config: DictConfig) -> None:
        self.config = config
        if missing := sorted(OmegaConf.missing_keys(config), key=len):
            raise ValueError(f"the config needs a value for {missing[0]}: give {missing[0]}=...")
        if "sweep" in config:
            raise ValueError(
                "sweep=wandb is no choice: configs/sweep/wandb.yaml is for `wandb sweep`, as its head says"
            )
        self.folder: Path = Path(config.runs_dir) / str(config.name)
        self.plan = plan_stages(config.schedule, self.folder)
        self.gray_rule = config.generator.get("gray_rule", "luma601")
        self.datamodule = build_datamodule(config.data, seed=config.seed, gray_rule=self.gray_rule)
        self.metrics = build_metrics(config.metrics)
        self.motion: MotionPanel | None = instantiate(config.motion, _convert_="all") if "motion" in config else None
        self.clip_metrics = build_metrics(config.clip_metrics)
        if config.objective not in self.metrics:
            raise ValueError(
                f"objective={config.objective!r} must be one of the metrics: {', '.join(map(str, self.metrics))}"
            )
        self.stop = StopRequest()
        self.processes = Processes(self._instantiate_trainer(logger=False))
        self._check_processes()
        for stage in self.plan:
            self._check(stage)

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
            claim_folder(self.folder, plain(self.config))
            write_manifest(self._examine(), self.folder / "manifest.csv")
            try:
                self.processes.start()
                return self._run_stages()
            except BaseException:
                self.processes.kill()
                raise

    def _examine(self) -> PhotoLibrary:
        library = self.datamodule.examine(min_size=self.largest_size)
        self.plan = self.plan_for(self.datamodule.num_training())
        if unknown := [stage.name for stage in self.plan if not stage.entry.steps]:
            raise ValueError(
                f"schedule.stages.{unknown[0]} counts epochs, but nobody knows how many photos a stream holds; give "
                f"schedule.stages.{unknown[0]}.steps"
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
        handover: Path | None = find_checkpoint(self.config.init_from) if self.config.init_from else None
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

    def splits(self) -> list[dict[str, Any]]:
        """What this run, and those it started from, hold out; with which photos were left out of all."""
        library = self.datamodule.library
        assert library is not None
        assert library.split is not None
        limits = {"min_size": self.largest_size, "min_colorfulness": self.datamodule.min_colorfulness}
        before = read_header(find_checkpoint(self.config.init_from)).get("splits", []) if self.config.init_from else []
        own = {**asdict(library.split), **limits}
        return [own, *(split for split in before if split != own)]

    def test_photos(self, image_size: int) -> TestPhotos:
        """The photos that this run holds out, at a size; of more than a thousand, `evaluate.py` tells."""
        assert self.datamodule.library is not None
        protocol = Protocol(image_size=image_size, gray_rule=self.gray_rule, first=1000)
        rules = [Split(split["seed"], split["threshold"]) for split in self.splits()]
        return TestPhotos(self.datamodule.library, protocol, self.datamodule.source.describe(), rules)

    def moved_photos(self, image_size: int) -> MotionClips | None:
        """The motion panel over these photos; None without one."""
        return self.motion.over(self.test_photos(image_size), ClipProtocol()) if self.motion else None

    @property
    def largest_size(self) -> int:
        """Height and width of the largest training pictures."""
        return max(stage.entry.image_size for stage in self.plan)

    def plan_for(self, num_photos: int | None) -> list[PlannedStage]:
        """The stages, with the steps that so many training photos make."""
        return plan_stages(self.config.schedule, self.folder, num_photos=num_photos)

    def planned_photos(self) -> int:
        """Training photos that `plan` asks about: those of the run's data, or a number of them without any data.

        Raises:
            ValueError: `plan` is something else.
        """
        wanted = self.config.plan
        if wanted is not True:
            if not isinstance(wanted, int) or wanted < 1:
                raise ValueError(f"plan={wanted} must be true, false or a number of training photos")
            return wanted
        self.datamodule.examine(min_size=self.largest_size)
        num_photos = self.datamodule.num_training()
        if num_photos is None:
            raise ValueError("plan=true: nobody knows how many photos a stream holds; give plan=NUMBER")
        return num_photos

    def _check_processes(self) -> None:
        count, devices = self.processes.count, self.config.trainer.get("devices")
        if count == 1:
            return
        if self.config.trainer.get("strategy") is None:
            raise ValueError(f"trainer.devices={devices}: several processes need trainer=ddp or trainer=ddp_multinode")
        if self.processes.are_ours_to_start and HydraConfig.initialized() and HydraConfig.get().mode is not RunMode.RUN:
            raise ValueError(
                f"trainer.devices={devices} does not go with -m: a trial starts one process only; "
                "take hydra/launcher=submitit_slurm, whose jobs have several, or one command a trial"
            )

    def _check(self, stage: PlannedStage) -> None:
        """Refuse what would fail only hours later."""
        where = f"schedule.stages.{stage.name}"
        if stage.entry.batch_size % self.processes.count:
            raise ValueError(
                f"{where}.batch_size={stage.entry.batch_size} cannot be shared by {self.processes.count} processes"
            )
        loss_weights = stage.entry.module.get("loss_weights", {})
        if unknown := set(loss_weights) - set(self.config.loss):
            raise ValueError(
                f"{where}.module.loss_weights names {sorted(unknown)}; the loss group has {list(self.config.loss)}"
            )
        for key in ("batch_size", "image_size", "validate_every"):
            if getattr(stage.entry, key) < 1:
                raise ValueError(f"{where}.{key} must be at least 1, got {getattr(stage.entry, key)}")
        if stage.entry.handover != "last":
            if stage.entry.handover not in self.metrics:
                names = ", ".join(str(key) for key in self.metrics)
                raise ValueError(
                    f"{where}.handover={stage.entry.handover!r} must be last or one of the metrics: {names}"
                )
            if "generator" not in instantiate(stage.entry.module, _partial_=True).func.trains:
                raise ValueError(f"{where}.handover must be last: the stage does not train the generator")
            if self.metrics[stage.entry.handover].higher_is_better is None:
                raise ValueError(
                    f"{where}.handover={stage.entry.handover!r} has no better direction; take another metric"
                )
            if not stage.entry.snapshots:
                raise ValueError(f"{where}.handover={stage.entry.handover!r} needs {where}.snapshots=true")

    def _build_logger(self) -> Logger | bool:
        if not self.processes.first:
            return False
        built: Logger = instantiate(self.config.logger, save_dir=str(self.folder))
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
            image_size=entry.image_size,
            batch_size=entry.batch_size,
            num_steps=entry.steps,
            stage_index=stage.index,
            share=entry.share,
            degrade=entry.degrade,
        )
        self._fit(stage, trainer, module)
        if module.steps < entry.steps:
            raise ValueError(
                f"{stage.folder.name} ended at step {module.steps} of {entry.steps} (trainer.max_time, ...)"
            )
        if trainer.is_global_zero:
            self._hand_over(stage, module, records)
            facts = {"seconds": round(time.monotonic() - started, 1), **module.counts()}
            write_json(
                stage.folder / "done.json",
                {**facts, "handover": file_hash(stage.folder / "handover.safetensors")},
            )
            remove_resume_files(stage.folder)
            if self.stop.signum:  # it came in the last step
                raise StoppedError(self.stop.signum, f"stopped; {stage.folder.name} is done")
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
            raise ValueError(
                f"{stage.folder.name} diverged in step {module.steps + 1}: {error}; its photos: "
                f"{', '.join(self.datamodule.names_of_step(module.steps))}; what was saved before is finite and stays; "
                f"try a smaller rate ({', '.join(_rates(where, stage.entry.module))}) or {where}.gradient_clip=1, with "
                "another name="
            ) from error

    def _build_trainer(
        self, stage: PlannedStage, module: Stage, records: Records, run_logger: Logger | bool
    ) -> pl.Trainer:
        entry = stage.entry

        def save_snapshot(step: int, values: dict[str, float]) -> None:
            path = stage.folder / "snapshots" / f"step={step:06d}.safetensors"
            self._save_networks(path, stage, module, values)

        clips = self.moved_photos(entry.image_size)

        def measure_over_time(generator: nn.Module) -> dict[str, float]:
            assert clips is not None
            batches = ({k: v.to(module.device) for k, v in clip.items()} for clip in clips.loader())
            values = evaluate(generator, batches, self.clip_metrics.to(module.device))
            return {f"motion_{name}": value for name, value in values.items()}

        callbacks: list[pl.Callback] = [
            ValidationMetrics(
                self.metrics,
                records,
                save_snapshot if entry.snapshots else None,
                measure_over_time if clips is not None else None,
            ),
            ValidationPictures(stage.folder / "images"),
            ResumeCheckpoint(
                stage.folder / "last.ckpt",
                every=self.config.save_every,
                validate_every=entry.validate_every,
                stop=self.stop,
            ),
        ]
        if self.config.trainer.get("enable_progress_bar", True):
            callbacks.append(StageProgressBar(f"{stage.index}/{len(self.plan)} {stage.name}", entry.batch_size))
        if self.config.trial.id is not None:
            callbacks.append(PruneTrial(**self.config.trial, objective=self.config.objective))
        if entry.ema_decay is not None and "generator" in module.trains:
            callbacks.append(GeneratorEMA(entry.ema_decay))  # behind those that use the average in validation
        return self._instantiate_trainer(
            callbacks=callbacks,
            logger=run_logger,
            default_root_dir=str(stage.folder),
            max_epochs=1,
            val_check_interval=min(entry.validate_every, entry.steps),
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,  # the step-indexed sampler shares each batch among processes
        )

    def _instantiate_trainer(self, **options: Any) -> pl.Trainer:
        try:
            trainer: pl.Trainer = instantiate(self.config.trainer, _partial_=True)(**options)
        except (ValueError, TypeError, MisconfigurationException) as error:
            raise ValueError(f"trainer: {error}") from error
        return trainer

    def _save_networks(self, path: Path, stage: PlannedStage, module: Stage, metrics: Mapping[str, float]) -> None:
        networks = {"generator": module.generator, "discriminator": module.discriminator}
        save_checkpoint(
            path,
            {name: network for name, network in networks.items() if network is not None},
            configs={name: plain(self.config[name]) for name in networks},
            facts={
                "stage": stage.folder.name,
                "step": module.steps,
                "total_step": stage.first_step + module.steps,
                **module.counts(),
                "metrics": dict(metrics),
                "image_size": stage.entry.image_size,
                "gray_rule": self.gray_rule,
                "splits": self.splits(),
                "trained_through": trained_through(self.config),
            },
        )

    def _hand_over(self, stage: PlannedStage, module: Stage, records: Records) -> None:
        path, name = stage.folder / "handover.safetensors", stage.entry.handover
        measured = records.of_stage()
        values = measured[-1]["metrics"] if measured else {}
        candidates = (
            [] if name == "last" else [r for r in measured if r["metrics"][name] == r["metrics"][name]]
        )  # no NaN
        if candidates:
            sign = -1 if self.metrics[name].higher_is_better else 1
            best = min(candidates, key=lambda record: sign * record["metrics"][name])
            logger.info("handing on step %d of %s, best by %s", best["step"], stage.folder.name, name)
            copy_file(stage.folder / "snapshots" / f"step={best['step']:06d}.safetensors", path)
        else:
            if name != "last":
                logger.warning("%s: no snapshot has a %s; the last networks are handed on", stage.folder.name, name)
            self._save_networks(path, stage, module, values)


def _rates(where: str, module: DictConfig) -> list[str]:
    """Keys of the learning rates of a stage."""
    return [f"{where}.{key!s}.lr" for key, node in module.items() if isinstance(node, DictConfig) and "lr" in node]
