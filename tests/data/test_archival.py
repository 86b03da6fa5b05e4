"""`experiment=nogan_archival` as typed: it trains, says what a mistake is, and runs at every scale."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from colorgan.color import rgb_to_gray
from colorgan.config import build_datamodule
from colorgan.data.datamodule import TrainingViews
from colorgan.training.plan import plan_stages

TINY = [
    "experiment=nogan_archival", "data=synthetic_tiny", "generator.encoder.weights=null", "discriminator.width=8",
    "generator.widths=[16,16,16,16,8]", "loss.feature.network.weights=null", "metrics=fast", "objective=psnr",
    "schedule.stages.gan.handover=psnr", "trainer.enable_progress_bar=false",
    "motion.num_photos=1", "motion.num_frames=5",
    *(f"schedule.stages.{stage}.{key}" for stage in ("generator_pretrain", "critic_pretrain", "gan")
      for key in ("steps=2", "batch_size=4", "image_size=32", "validate_every=2")),
]  # fmt: skip
NAMES = ("blur", "flicker", "grain", "fading", "scratches", "dust", "interlacing", "jpeg")


def test_it_trains_as_typed(command, tmp_path):
    code, _, err = command("train", *TINY, f"runs_dir={tmp_path}", "name=film")
    assert code == 0, err
    assert (tmp_path / "film" / "final.safetensors").is_file()
    assert "scratches:" in (tmp_path / "film" / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "grain.strength=-1",
            "strength of Grain must be a number of at least 0, got -1 (config key degradation.defects.grain)",
        ),
        ("jpeg.lowest=101", "lowest and highest of Jpeg must rise within 1..100, got 101, 85 (config key"),
        ("dust.probability=2", "probability of Dust must be in [0, 1], got 2 (config key"),
        ("grain.strenght=1", "strenght"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(command, tmp_path, override, message):
    code, _, err = command("train", *TINY, f"runs_dir={tmp_path}", f"++data.degradation.defects.{override}")
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    assert message in lines[0]
    assert not list(tmp_path.glob("*/final.safetensors"))


def test_the_gray_is_damaged_and_the_target_is_the_photos_chroma_on_it(compose, tmp_path):
    batches = {}
    for degrade in (False, True):
        config = compose("experiment=nogan_archival", "data=synthetic_tiny", f"data.cache_dir={tmp_path}")
        module = build_datamodule(config.data, seed=0)
        module.examine(min_size=32)
        module.begin_stage(
            gray_rule="luma601", image_size=32, batch_size=16, num_steps=1, stage_index=1, degrade=degrade
        )
        views = TrainingViews(module.library, module)
        batches[degrade] = views.__getitems__([(0, position) for position in range(min(16, len(views)))])
    clean, damaged = batches[False], batches[True]
    changed = (clean["gray"] != damaged["gray"]).flatten(1).any(1)
    assert changed.float().mean() > 0.8
    torch.testing.assert_close(rgb_to_gray(damaged["rgb"]), damaged["gray"], rtol=0, atol=1e-4)
    chroma = [(batch["rgb"] - batch["gray"]) for batch in (clean, damaged)]
    inside = (damaged["rgb"] > 0.01) & (damaged["rgb"] < 0.99)  # elsewhere the gamut cuts chroma
    inside = inside.all(1, keepdim=True).expand_as(inside)
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(chroma[0][inside], chroma[1][inside], rtol=0, atol=1e-3)


def test_it_has_the_schedule_of_nogan_video_at_every_scale(compose):
    for scale in ("laptop", "gpu"):
        plans = [
            plan_stages(compose(f"scale={scale}", f"experiment={name}").schedule, Path("runs/x"), num_photos=10_000)
            for name in ("nogan_archival", "nogan_video")
        ]
        stages = [[(stage.name, stage.entry) for stage in plan] for plan in plans]
        assert stages[0] == stages[1]
        assert any(entry.degrade for _, entry in stages[0])


def test_one_defect_can_be_changed_or_left_out(compose):
    config = compose("experiment=nogan_archival", "~data.degradation.defects.jpeg")
    film = instantiate(config.data.degradation, _convert_="all")
    assert len(film.defects) == 7
    gray = np.zeros((8, 8), np.float32)
    config = compose("experiment=nogan_archival", *(f"data.degradation.defects.{n}.probability=0" for n in NAMES))
    assert instantiate(config.data.degradation, _convert_="all")(gray, np.random.default_rng(0)) is gray
