"""Runs as people start them: all stages, interruption anywhere, refusal to mix runs."""

import json
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from stopping import run_and_stop

from colorgan.callbacks import ResumeCheckpoint
from colorgan.checkpoint import read_header
from colorgan.config import differences
from colorgan.stages.base import Stage
from colorgan.training.plan import plan_stages
from colorgan.training.schedule import Schedule

STAGES = ("01-generator_pretrain", "02-critic_pretrain", "03-gan")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return tmp_path_factory.mktemp("reference")


@pytest.fixture(scope="module")
def finished(reference, smoke_in):
    """An uninterrupted run of the smoke experiment."""
    return Schedule(smoke_in(reference)).run().parent


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
    for stage, step in [(1, 1), (1, 4), (2, 3), (3, 2), (3, 7)]:
        run_and_stop(monkeypatch, smoke(), stage, step)
    final = Schedule(smoke()).run()
    assert final.read_bytes() == (finished / "final.safetensors").read_bytes()
    assert (final.parent / "metrics.jsonl").read_text() == (finished / "metrics.jsonl").read_text()


def test_a_stage_resumes_from_its_last_save_and_not_from_its_start(smoke, monkeypatch):
    config = smoke("schedule.times=0")
    run_and_stop(monkeypatch, config, 1, 5)
    seen = []
    after_step = Stage.on_train_batch_end
    monkeypatch.setattr(
        Stage,
        "on_train_batch_end",
        lambda self, *a: (seen.append((self.index, self.steps)), after_step(self, *a)),
    )
    Schedule(config).run()
    assert seen == [(1, 5), (1, 6)]  # save_every=2: step 4 was kept


def test_a_finished_run_is_not_trained_again(finished, smoke_in, reference, monkeypatch):
    monkeypatch.setattr(Stage, "on_fit_start", lambda self: pytest.fail("trained again"))
    assert Schedule(smoke_in(reference)).run() == finished / "final.safetensors"


def test_another_config_is_refused_and_says_what_differs(finished, smoke_in, reference):
    before = (finished / "final.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"seed: 0 -> 7.*name="):
        Schedule(smoke_in(reference, "seed=7")).run()
    assert (finished / "final.safetensors").read_bytes() == before


def test_workers_and_logger_may_change_when_a_run_goes_on():
    before = {"data": {"num_workers": 0, "path": "a"}, "logger": {"_target_": "x"}}
    after = {"data": {"num_workers": 2, "path": "b"}, "logger": {"_target_": "y"}}
    assert differences(before, after) == ["data.path: a -> b"]


def test_a_damaged_handover_is_made_again(smoke, finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "runs" / "damaged")
    (folder / "03-gan" / "handover.safetensors").write_bytes(b"half a file")
    final = Schedule(smoke(name="damaged")).run()
    assert final.read_bytes() == (finished / "final.safetensors").read_bytes()


def test_half_written_files_do_not_disturb(smoke, monkeypatch, finished):
    """A crash while `last.ckpt` is being written leaves a temporary name; the save before it counts."""
    config = smoke("schedule.times=0")
    run_and_stop(monkeypatch, config, 1, 5)
    folder = Schedule(config).folder
    (folder / STAGES[0] / ".last.ckpt.tmp").write_bytes(b"half")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "01-g')
    final = Schedule(config).run()
    assert final.read_bytes() == (finished / STAGES[0] / "handover.safetensors").read_bytes()


def test_init_from_starts_from_another_run(finished, smoke):
    config = smoke(
        f"init_from={finished}", "schedule.first=[]", "schedule.repeat=[critic_pretrain]",
        "schedule.stages.critic_pretrain.steps=2", name="from",
    )  # fmt: skip
    final = load_file(Schedule(config).run())
    start = load_file(finished / "final.safetensors")
    assert all(torch.equal(final[name], start[name]) for name in start if name.startswith("generator."))


def test_init_from_other_networks_is_refused_and_says_what_differs(finished, smoke):
    config = smoke(f"init_from={finished}", "generator.widths=[16,16,16,16,16]", name="other-size")
    with pytest.raises(
        ValueError, match=r"does not fit the config: generator differs in widths: .*-> \[16, 16, 16, 16, 16\]"
    ):
        Schedule(config).run()


def test_cycles_repeat_with_the_discriminator_of_the_cycle_before(smoke):
    steps = [f"schedule.stages.{name}.steps=2" for name in ("generator_pretrain", "critic_pretrain", "gan")]
    folder = Schedule(smoke("schedule.times=2", *steps)).run().parent
    stages = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] == "0")
    assert stages == [*STAGES, "04-critic_pretrain", "05-gan"]
    assert read_header(folder / "04-critic_pretrain" / "handover.safetensors")["networks"].keys() == {
        "generator",
        "discriminator",
    }


def test_last_is_handed_on_where_no_metric_is_named(smoke):
    steps = ["schedule.stages.critic_pretrain.steps=1", "schedule.stages.gan.steps=3"]
    final = Schedule(smoke("schedule.stages.gan.handover=last", "schedule.stages.gan.validate_every=1", *steps)).run()
    assert read_header(final)["step"] == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["schedule.first=[nothing]"], r"names stage 'nothing'; schedule.stages has generator_pretrain"),
        (["schedule.first=[]", "schedule.times=0"], r"schedule is empty"),
        (["+schedule.stages.gan.stpes=3"], r"schedule.stages.gan has no \['stpes'\]"),
        (["schedule.stages.gan.steps=0"], r"schedule.stages.gan.steps must be at least 1, got 0"),
        (
            ["schedule.stages.gan.handover=fid"],
            r"gan.handover='fid' must be last or one of the metrics",
        ),
        (["schedule.stages.gan.handover=colorfulness"], r"handover='colorfulness' has no better direction"),
        (["schedule.stages.critic_pretrain.handover=psnr"], r"critic_pretrain.handover must be last"),
        (["objective=fid"], r"objective='fid' must be one of the metrics: colorfulness, psnr"),
        (["trainer.accelerator=cpu", "trainer.devices=2"], r"trainer.devices=2: several processes need trainer=ddp"),
        (
            ["+trainer.strategy=fsdp"],
            r"trainer.strategy=fsdp: networks cannot be sharded here; take trainer=ddp",
        ),
        (
            ["+trainer.strategy=deepspeed_stage_2"],
            r"trainer.strategy=deepspeed_stage_2: networks cannot be sharded here",
        ),
        (["schedule.stages.gan.module.loss_weights.discriminator=0"], r"loss_weights.discriminator above 0"),
        (["+schedule.stages.gan.module.loss_weights.style=1"], r"loss_weights names \['style'\]"),
        (["+schedule.stages.generator_pretrain.module.momentum=1"], r"generator_pretrain.module: .*'momentum'"),
    ],
)
def test_mistakes_in_a_schedule_are_named(smoke, overrides, message):
    with pytest.raises(ValueError, match=message):
        Schedule(smoke(*overrides)).run()


def test_steps_before_a_stage_add_up(smoke, tmp_path):
    plan = plan_stages(smoke("schedule.times=2").schedule, tmp_path)
    assert [stage.first_step for stage in plan] == [0, 6, 12, 20, 26]


def test_a_config_is_stored_resolved(finished):
    config = OmegaConf.load(finished / "config.yaml")
    assert config.schedule.stages.gan.module.optimizer_generator.lr == 1e-4
    assert "${" not in (finished / "config.yaml").read_text()


def test_resume_file_is_written_after_the_validation_of_its_step(smoke, monkeypatch):
    saved = []
    save = ResumeCheckpoint._save
    monkeypatch.setattr(
        ResumeCheckpoint, "_save", lambda self, t: (saved.append(t.lightning_module.steps), save(self, t))
    )
    Schedule(smoke("schedule.times=0")).run()
    assert saved == [2, 3, 4]  # every 2; 3 has a validation; 6 is the end


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
