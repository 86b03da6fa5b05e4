"""Fixtures of all tests: no network, caches and runs in temporary folders, the smoke experiment."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"


Outcome = tuple[int, str, str]  # exit code, standard output, standard error


@pytest.fixture(scope="session")
def compose() -> Callable[..., object]:
    """Compose a config as `colorgan train` does, from overrides."""
    from colorgan.config import compose

    def composed(*overrides: str, config_name: str = "train") -> object:
        return compose(config_name, *overrides)

    return composed


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `colorgan` in this process as typed: `command("train", "experiment=smoke")`."""
    from colorgan.cli.main import main

    def run_it(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["colorgan", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_it


@pytest.fixture(scope="session")
def smoke_in(compose: Callable[..., object]) -> Callable[..., object]:
    """The smoke experiment in a folder; for fixtures that outlive a test."""

    def composed(place: Path, *overrides: str, name: str = "run") -> object:
        folders = [f"runs_dir={place}/runs", f"name={name}", f"data.cache_dir={place}/cache"]
        return compose("experiment=smoke", *folders, "trainer.enable_progress_bar=false", *overrides)

    return composed


@pytest.fixture
def smoke(smoke_in: Callable[..., object], tmp_path: Path) -> Callable[..., object]:
    """The smoke experiment in a temporary folder."""
    return partial(smoke_in, tmp_path)


def _draw_photos(folder: Path, count: int, size: tuple[int, int] = (90, 70)) -> Path:
    from PIL import Image
    from skimage.data import astronaut, chelsea, coffee

    folder.mkdir(parents=True)
    for index in range(count):
        photo = (astronaut(), chelsea(), coffee())[index % 3][20 * index :, 10 * index :]
        Image.fromarray(photo).resize(size).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="session")
def draw_photos() -> Callable[..., Path]:
    """Write a folder of colour photos."""
    return _draw_photos


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the finished run and the cache of its photos are."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="session")
def photos(place: Path) -> Path:
    """Twelve colour photos."""
    return _draw_photos(place / "photos", 12)


@pytest.fixture(scope="session")
def run_words(place: Path, photos: Path) -> list[str]:
    """The overrides of a smoke run on the photos, its split and its metrics not those of other tests."""
    words = ["experiment=smoke", "data=folder", f"data.path={photos}", f"runs_dir={place}/runs", "name=run"]
    words += [f"data.cache_dir={place}/cache", "trainer.enable_progress_bar=false", "data.validation_share=0.4"]
    return [*words, "seed=3", "metrics=default"]


@pytest.fixture(scope="session")
def run(run_words: list[str]) -> Path:
    """The folder of this run, finished."""
    import colorgan

    return colorgan.train(*run_words).folder


@pytest.fixture(scope="session")
def lpips_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Any]]:
    """Files of random backbones in torchvision's layout, and these, by LPIPS's name; without the large classifiers."""
    import torch
    from torchvision.models import alexnet, vgg

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("lpips")
    backbones = {"alex": alexnet(weights=None).features, "vgg": vgg.make_layers(vgg.cfgs["D"])}
    for name, features in backbones.items():
        torch.save({f"features.{key}": tensor for key, tensor in features.state_dict().items()}, folder / name)
    return {name: (str(folder / name), features) for name, features in backbones.items()}


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of FID's Inception in the official layout, under the official name.

    Batch norms hold the statistics of noise, so that features neither vanish nor saturate.
    """
    import torch
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # running statistics become those of this one batch
    noise = torch.nn.functional.interpolate(torch.randn(4, 3, 20, 20), (299, 299), mode="bilinear")
    with torch.no_grad():
        network.train()(noise)
    path = tmp_path_factory.mktemp("inception") / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def undisturbed(smoke_in: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed, a stage long."""
    from colorgan.training.schedule import Schedule

    config: Any = smoke_in(tmp_path_factory.mktemp("undisturbed"), "schedule.times=0")
    return Schedule(config).run().parent


@pytest.fixture(scope="session")
def stopped_once(smoke_in: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a run that was stopped at the end of step 5 of 6, and saved after steps 2, 3 and 4."""
    from stopping import run_and_stop

    place = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        run_and_stop(patch, smoke_in(place, "schedule.times=0"), 1, 5)
    return place / "runs" / "run"


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    """A copy of it, where `smoke("schedule.times=0")` goes on."""
    return Path(shutil.copytree(stopped_once, tmp_path / "runs" / "run"))


@pytest.fixture
def whole(undisturbed: Path) -> bytes:
    """Its result."""
    return (undisturbed / "final.safetensors").read_bytes()


@pytest.fixture(scope="session")
def alex_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Torchvision's AlexNet with random weights, without its large classifier."""
    import torch
    from backbones import backbone

    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    state = {k: v for k, v in backbone("alexnet").state_dict().items() if k.startswith("features.")}
    torch.save(state, path)
    return path
