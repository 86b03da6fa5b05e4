"""`experiment=nogan_hints` as typed: it trains, from a plain network too, and says where hints do not fit."""

import shutil

from colorgan.checkpoint import load_generator

TINY = [
    "experiment=nogan_hints", "data=synthetic_tiny", "generator.encoder.weights=null", "discriminator=patch",
    "discriminator.width=8",
    "generator.widths=[16,16,16,16,8]", "loss.feature.network.weights=null", "metrics=fast", "objective=psnr",
    "schedule.stages.gan.handover=psnr", "trainer.enable_progress_bar=false", "schedule.times=1",
    *(f"schedule.stages.{stage}.{key}" for stage in ("generator_pretrain", "critic_pretrain", "gan")
      for key in ("steps=2", "batch_size=4", "image_size=32", "validate_every=2")),
]  # fmt: skip


def test_it_trains_from_a_plain_network_whose_hint_branch_is_new(command, run, tmp_path):
    given = [f"runs_dir={tmp_path}", "name=hints", f"init_from={run}"]
    given += ["generator=queries_lite0", "+generator.hints=true"]
    code, _, err = command("train", *TINY, *given, "init_new=[]")
    assert code == 2
    assert "generator differs in hints: <absent> -> True" in err
    shutil.rmtree(tmp_path / "hints")
    code, _, err = command("train", *TINY, *given)
    assert code == 0, err
    assert load_generator(tmp_path / "hints").takes_hints
    logged = "".join(file.read_text() for file in (tmp_path / "hints").rglob("metrics.csv"))
    assert "val/color_error_9_points" in logged


def test_hints_need_a_network_that_takes_them(command, tmp_path):
    code, _, err = command("train", *TINY, f"runs_dir={tmp_path}", "generator.hints=false")
    assert code == 2
    assert "data.hints needs a generator that takes hints" in err


def test_a_critic_may_see_hints_where_there_are_some(command, tmp_path):
    words = [*TINY, f"runs_dir={tmp_path}", "+discriminator.hints=true", "plan=true"]
    code, _, err = command("train", *words)
    assert code == 0, err
    code, _, err = command("train", *words, "~data.hints", "generator.hints=false")
    assert code == 2
    assert "discriminator.hints=true needs photos with hints (data.hints); got none" in err
