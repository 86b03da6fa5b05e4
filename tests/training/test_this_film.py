"""`experiment=this_film` as typed: it trains on repaired references, and shows before and after on those left out."""

import numpy as np
from PIL import Image
from spliced import view

TINY = [
    "generator.encoder.weights=null", "generator.widths=[16,16,16,16,8]", "loss.feature.network.weights=null",
    "metrics=fast", "objective=psnr", "trainer.enable_progress_bar=false",
    *(f"schedule.stages.generator_pretrain.{key}" for key in ("steps=2", "batch_size=2", "image_size=32")),
]  # fmt: skip


def test_the_table_shows_before_and_after_on_references_left_out(command, run, tmp_path):
    (tmp_path / "references").mkdir()
    for number, frame in enumerate(np.concatenate([view(name, 4, speed=8) for name in ("astronaut", "chelsea")])):
        Image.fromarray(frame.astype(np.uint8)).save(tmp_path / "references" / f"{10 * number:05d}.png")
    words = ["experiment=this_film", *TINY, f"runs_dir={tmp_path}", f"references={tmp_path / 'references'}"]
    words += ["generator=queries_lite0", "+generator.hints=true"]  # of the network that the run has
    code, out, err = command("train", *words, f"init_from={run}", f"data.cache_dir={tmp_path / 'cache'}")
    assert code == 0, err
    assert "before" in out
    assert "final" in out
    assert (tmp_path / "this_film-references" / "final.safetensors").exists()
