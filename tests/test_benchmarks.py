"""Benchmarks run by hand, so nothing else notices when a name that they import is gone."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import yaml
from stage_fixture import batches, gan, pretrain

from colorgan.config import compose, plain

SCRIPTS = sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_finds_what_it_imports(script, monkeypatch):
    monkeypatch.syspath_prepend(str(script.parent))  # they import each other, as scripts do
    monkeypatch.setattr(sys, "argv", [str(script)])
    spec = importlib.util.spec_from_file_location(f"benchmark_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__doc__


def test_there_are_benchmarks():
    assert len(SCRIPTS) > 10


@pytest.mark.parametrize("make", [pretrain, gan])
def test_a_bare_step_trains_its_player_alone(make, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS[0].parent))
    from steps import bare_steps

    stage = make(num_steps=1)
    for player, step in bare_steps(stage, batches(1)[0], bf16=False).items():
        networks = {name: getattr(stage, name) for name in ("generator", "discriminator")}
        before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
        step()
        changed = {
            name for name, network in networks.items() if not all(map(torch.equal, before[name], network.parameters()))
        }
        assert changed == {player}


def test_a_run_of_every_change_is_measured(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SCRIPTS[0].parent))
    import ablation

    names = {ablation._name(change, 0, ablation.STEPS) for change in ablation.CHANGES}
    for name in (*names, "generator_unet_lite0-0", "generator_queries_lite0-0", ablation._name(ablation.BASE, 1, 600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "final.png").touch()
    monkeypatch.setattr(ablation, "measure_unseen", lambda runs, *_: {run.name for run in runs})
    assert ablation._measure(0, tmp_path, tmp_path) == names


def test_changes_are_made_to_the_unet(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS[0].parent))
    import ablation

    networks = {}
    for change in ablation.CHANGES:
        config = compose("train", *ablation.COMMON, "data.path=.", *ablation.overrides(change))
        networks[change] = config.generator._target_.rsplit(".")[-1]
    assert networks.pop("colour queries") == "QueryGenerator"
    assert set(networks.values()) == {"UNetGenerator"}


def test_photos_by_which_any_of_the_runs_chose_are_not_measured(monkeypatch, tmp_path, draw_photos):
    monkeypatch.syspath_prepend(str(SCRIPTS[0].parent))
    from seeds_table import link_unseen

    photos, runs = draw_photos(tmp_path / "photos", 12), [tmp_path / "base", tmp_path / "other"]
    for run, panel in zip(runs, (1, 4), strict=True):
        words = ["data=folder", f"data.path={photos}", "data.validation_share=0.5", f"data.cache_dir={tmp_path}/cache"]
        config = compose("train", "experiment=smoke", *words, f"data.validation_panel={panel}")
        run.mkdir()
        (run / "config.yaml").write_text(yaml.safe_dump(plain(config)))
        (run / "final.safetensors").touch()
    linked = []
    for chosen_by in ([runs[0]], runs):
        folder = tmp_path / f"unseen{len(chosen_by)}"
        folder.mkdir()
        link_unseen(chosen_by, folder)
        linked.append({file.name for file in folder.iterdir()})
    assert (len(linked[0]), len(linked[1])) == (5, 2)
    assert linked[1] < linked[0]
    with pytest.raises(SystemExit, match=r"nowhere is no finished run"):
        link_unseen([tmp_path / "nowhere"], tmp_path)
