"""`colorgan push` into a folder, and checkpoints that are named by an address of the hub."""

import shutil

import huggingface_hub.constants
import pytest
import torch
import yaml
from PIL import Image
from skimage.data import chelsea

from colorgan.checkpoint import find_checkpoints, load_generator, read_header
from colorgan.files import file_hash


@pytest.fixture
def published(command, run, tmp_path):
    code, out, err = command("push", run, tmp_path / "cats", "--license", "mit")
    assert (code, err) == (0, "")
    assert f"--checkpoint {tmp_path}/cats" in out
    return tmp_path / "cats"


def test_the_generator_is_that_of_the_run_and_the_discriminator_stays_at_home(published, run):
    own, theirs = load_generator(published).state_dict(), load_generator(run).state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)
    before, header = read_header(run / "final.safetensors"), read_header(published / "final.safetensors")
    assert list(header["networks"]) == ["generator"]
    assert header["splits"] == before["splits"]  # a judge still knows what was trained on


def test_half_is_the_generator_rounded_to_float16_and_works_in_float32(command, run, tmp_path):
    assert command("push", run, tmp_path / "half", "--half")[0] == 0
    own, theirs = load_generator(tmp_path / "half").state_dict(), load_generator(run).state_dict()
    assert all(torch.equal(own[name], tensor.half().to(tensor.dtype)) for name, tensor in theirs.items())
    sizes = [(place / "final.safetensors").stat().st_size for place in (tmp_path / "half", run)]
    assert sizes[0] < 0.55 * sizes[1]
    published = read_header(tmp_path / "half" / "final.safetensors")["published_from"]
    assert published == file_hash(run / "final.safetensors")


def test_the_card_has_recipe_data_figures_and_licence_and_no_place_of_this_machine(published, run, tmp_path):
    text = (published / "README.md").read_text()
    _, front, card = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "mit"
    for word in (
        "01-generator_pretrain: 6 steps",
        "03-gan: 8 steps",
        "Trained on 7 photos; 5 were held out",
        "| truth |",
    ):
        assert word in card
    assert (published / "final.png").is_file()
    for file in ("README.md", "config.yaml"):
        assert str(run.parent) not in (published / file).read_text()


def test_what_was_pushed_colorizes_from_its_folder_and_by_its_address(command, published, tmp_path, monkeypatch):
    cache = tmp_path / "hub" / "models--someone--cats"
    shutil.copytree(published, cache / "snapshots" / ("0" * 40))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    Image.fromarray(chelsea()).save(tmp_path / "photo.png")
    for number, checkpoint in enumerate((published, "hf://someone/cats")):
        code, _, err = command(
            "colorize", tmp_path / "photo.png", "-c", checkpoint, "--out", tmp_path / f"{number}.png"
        )
        assert code == 0, err
    assert (tmp_path / "0.png").stat().st_size > 0
    assert Image.open(tmp_path / "0.png").tobytes() == Image.open(tmp_path / "1.png").tobytes()
    assert list(find_checkpoints(["hf://someone/cats"])) == ["cats"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["push", "{empty}", "{place}"], "holds no final.safetensors"),
        (["push", "{run}", "hf://cats"], "hf://cats is no repository of the hub: give hf://OWNER/NAME"),
        (["push", "{run}", "hf://someone/cats"], "hf://someone/cats cannot be written"),
        (["inspect", "hf://someone/nothing"], "no checkpoint hf://someone/nothing"),
    ],
)
def test_what_cannot_be_pushed_or_fetched_is_said_in_one_line(command, run, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    places = {"run": run, "empty": tmp_path / "empty", "place": tmp_path / "place"}
    code, _, err = command(*(word.format(**places) for word in words))
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
