"""Runs as people start them: all stages, interruption anywhere, refusal to mix runs."""

import json

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from stopping import run_and_stop, stop_at, words

from colorgan.checkpoint import read_header
from colorgan.stages.base import Stage
from colorgan.training.schedule import Schedule

STAGES = ("01-generator_pretrain", "02-critic_pretrain", "03-gan")


def test_a_run_folder_holds_what_the_readme_says(finished):
    for name in ("config.yaml", "manifest.csv", "metrics.jsonl", "final.safetensors"):
        assert (finished / name).is_file()
    for stage in STAGES:
        assert (finished / stage / "handover.safetensors").is_file()
        assert (finished / stage / "done.json").is_file()
        assert not (finished / stage / "last.ckpt").exists()
    assert len(list((finished / "03-gan" / "snapshots").glob("step=*.safetensors"))) == 3
    assert len(list((finished / "01-generator_pretrain" / "images").glob("*.png"))) == 2


def test_every_stage_counts_its_steps(finished):
    done = {stage: json.loads((finished / stage / "done.json").read_text()) for stage in STAGES}
    assert done[STAGES[0]]["generator_steps"] == done[STAGES[0]]["steps"] == 6
    assert done[STAGES[1]]["discriminator_steps"] == done[STAGES[1]]["steps"] == 6
    gan = done[STAGES[2]]
    assert gan["generator_steps"] + gan["discriminator_steps"] == gan["steps"] == 8
    assert gan["generator_steps"] > 0


def test_validation_comes_at_every_multiple_and_at_the_end(finished):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [
        *((STAGES[0], step) for step in (3, 6)),
        *((STAGES[1], step) for step in (3, 6)),
        *((STAGES[2], step) for step in (3, 6, 8)),
    ]


def test_critic_pretraining_hands_the_generator_on_unchanged(finished):
    before, after = (load_file(finished / stage / "handover.safetensors") for stage in STAGES[:2])
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items() if name.startswith("generator."))


def test_the_best_snapshot_by_the_metric_is_handed_on(finished):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    best = max((line for line in lines if line["stage"] == "03-gan"), key=lambda line: line["metrics"]["psnr"])
    header = read_header(finished / "03-gan" / "handover.safetensors")
    assert header["step"] == best["step"]
    assert header["metrics"] == best["metrics"]
    final, handover = (
        path.read_bytes() for path in (finished / "final.safetensors", finished / "03-gan/handover.safetensors")
    )
    assert final == handover


def test_a_run_stopped_again_and_again_ends_in_the_same_bits(finished, smoke, monkeypatch):
    for stage, step in [(1, 1), (2, 3), (3, 7)]:  # kill -9 comes oftener: tests/training/test_killed.py
        run_and_stop(monkeypatch, smoke(), stage, step)
    final = Schedule(smoke()).run()
    assert final.read_bytes() == (finished / "final.safetensors").read_bytes()
    assert (final.parent / "metrics.jsonl").read_text() == (finished / "metrics.jsonl").read_text()


def test_a_stage_resumes_from_its_last_save_and_not_from_its_start(smoke, monkeypatch, stopped):
    seen = []
    after_step = Stage.on_train_batch_end
    monkeypatch.setattr(
        Stage,
        "on_train_batch_end",
        lambda self, *a: (seen.append((self.index, self.steps)), after_step(self, *a)),
    )
    Schedule(smoke("schedule.times=0")).run()
    assert seen == [(1, 5), (1, 6)]  # save_every=2: step 4 was kept


def test_a_finished_run_is_not_trained_again(finished, smoke_in, reference, monkeypatch):
    monkeypatch.setattr(Stage, "on_fit_start", lambda self: pytest.fail("trained again"))
    assert Schedule(smoke_in(reference)).run() == finished / "final.safetensors"


def test_init_from_starts_from_another_run(finished, smoke):
    config = smoke(
        f"init_from={finished}", "schedule.first=[]", "schedule.repeat=[critic_pretrain]",
        "schedule.stages.critic_pretrain.steps=2", name="from",
    )  # fmt: skip
    final = load_file(Schedule(config).run())
    start = load_file(finished / "final.safetensors")
    assert all(torch.equal(final[name], start[name]) for name in start if name.startswith("generator."))


def test_cycles_repeat_with_the_discriminator_of_the_cycle_before_and_last_is_handed_on_where_no_metric_is(smoke):
    sizes = [f"schedule.stages.{name}.steps=1" for name in ("generator_pretrain", "critic_pretrain")]
    sizes += [f"schedule.stages.gan.{option}" for option in ("handover=last", "validate_every=1", "steps=3")]
    final = Schedule(smoke("schedule.times=2", *sizes)).run()
    folder = final.parent
    stages = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] == "0")
    assert stages == [*STAGES, "04-critic_pretrain", "05-gan"]
    assert read_header(folder / "04-critic_pretrain" / "handover.safetensors")["networks"].keys() == {
        "generator",
        "discriminator",
    }
    assert read_header(final)["step"] == read_header(folder / "03-gan" / "handover.safetensors")["step"] == 3


def test_a_config_is_stored_resolved(finished):
    config = OmegaConf.load(finished / "config.yaml")
    assert config.schedule.stages.gan.module.optimizer_generator.lr == 1e-4
    assert "${" not in (finished / "config.yaml").read_text()


def test_sizes_may_grow_from_stage_to_stage(smoke):
    config = smoke(
        "+stage@schedule.stages.larger=generator_pretrain",
        "schedule.first=[generator_pretrain,larger]",
        "schedule.times=0",
        "schedule.stages.generator_pretrain.steps=2",
        "schedule.stages.larger={steps:2,batch_size:2,image_size:48}",
        "data.size=48",
        "data.store_size=48",
    )
    schedule = Schedule(config)
    sizes = []
    with pytest.MonkeyPatch.context() as patch:
        before_step = Stage.on_train_batch_start

        def watch(self, batch, index):
            sizes.append(tuple(batch["rgb"].shape[-2:]))
            before_step(self, batch, index)

        patch.setattr(Stage, "on_train_batch_start", watch)
        final = schedule.run()
    assert sizes == [(32, 32)] * 2 + [(48, 48)] * 2
    assert read_header(final)["image_size"] == 48


def test_a_run_counted_in_epochs_ends_and_goes_on_in_the_same_bits(smoke, tmp_path):
    first = "schedule.stages.generator_pretrain"
    given = ["schedule.times=0", f"+{first}.epochs=1", f"+{first}.share=0.5", f"{first}.steps=null"]
    schedule = Schedule(smoke(*given, name="epochs"))
    final = schedule.run()
    photos = len(schedule.datamodule.library.splits["train"])
    assert {stage.entry.steps for stage in schedule.plan} == {photos // 2 // 4}
    before = final.read_bytes()
    assert Schedule(smoke(*given, name="epochs")).run().read_bytes() == before


@pytest.mark.parametrize("wanted", ["maybe", "0", "-3", "1.5"])
def test_a_plan_is_for_a_number_of_photos(smoke, wanted):
    with pytest.raises(ValueError, match=r"must be true or false or a whole number of at least 1"):
        Schedule(smoke(f"plan={wanted}")).planned_photos()


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_not_finite_stops_and_names_step_and_photos(command, monkeypatch, tmp_path, what):
    loss_of = Stage.weighted_sum

    def poisoned(self, *args):
        total = loss_of(self, *args)
        if self.steps != 4:
            return total
        return total * float("inf") if what == "loss" else total + (total - total.detach()).abs().sqrt()

    monkeypatch.setattr(Stage, "weighted_sum", poisoned)
    code, _, err = command("train", *words(tmp_path))
    assert code == 2
    assert "01-generator_pretrain diverged in step 5" in err
    assert err.count("scene0") == 4
    assert "schedule.stages.generator_pretrain.module.optimizer.lr" in err
    saved = torch.load(tmp_path / "runs/run/01-generator_pretrain/last.ckpt", weights_only=True)
    assert saved["counts"]["steps"] == 4
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_breaks_in_training_is_replaced_and_listed(command, monkeypatch, tmp_path, draw_photos, workers):
    folder = draw_photos(tmp_path / "photos", 12)
    data = ["data=folder", f"data.path={folder}", "data.store_size=null", f"data.num_workers={workers}"]
    data += ["schedule.stages.generator_pretrain.steps=4"]

    def break_one():
        lines = (tmp_path / "runs/run/manifest.csv").read_text().splitlines()
        name = next(line.split(",")[1] for line in lines if line.startswith("train"))
        (folder / name).write_bytes((folder / name).read_bytes()[:500])

    with monkeypatch.context() as patch:
        if workers:  # they have read ahead by then: break it before the first step
            patch.setattr(Stage, "on_fit_start", lambda self, before=Stage.on_fit_start: (before(self), break_one()))
        else:
            stop_at(patch, 1, break_one)
        code, _, err = command("train", *words(tmp_path, *data))
    assert code == 0, err
    assert "1 photos could not be read in training and were replaced" in err
    assert len((tmp_path / "runs/run/skipped.txt").read_text().splitlines()) >= 1


def test_a_folder_of_photos_that_goes_away_stops_the_run(command, monkeypatch, tmp_path, draw_photos):
    folder = draw_photos(tmp_path / "photos", 12)
    data = ["data=folder", f"data.path={folder}", "data.store_size=null"]
    stop_at(monkeypatch, 1, lambda: folder.rename(tmp_path / "elsewhere"))
    code, _, err = command("train", *words(tmp_path, *data))
    assert code == 2
    assert "10 photos in a row cannot be read" in err
