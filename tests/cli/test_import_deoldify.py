"""From DeOldify's weight files to pictures, numbers and further training, by the commands that people type."""

import sys

import deoldify_fixture as fixture
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from colorgan.checkpoint import build_network, load_generator, load_network, read_header
from colorgan.cli.main import main
from colorgan.networks.deoldify_weights import build, network_config, to_deoldify


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Deep generator and a small critic as DeOldify would save them."""
    path = tmp_path_factory.mktemp("deoldify")
    torch.save({"model": fixture.state_dict("deep"), "opt": None}, path / "ColorizeArtistic_gen.pth")
    torch.manual_seed(0)
    torch.save(to_deoldify(build(network_config("critic", width=8))), path / "critic.pth")
    return path


@pytest.fixture(scope="module")
def imported(folder):
    out = folder / "artistic.safetensors"
    words = [folder / "ColorizeArtistic_gen.pth", out, "--critic", folder / "critic.pth"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["colorgan", "import-deoldify", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return out


def test_an_imported_generator_answers_as_deoldify_does(imported):
    expected = fixture.outputs("deep")
    with torch.no_grad():
        rgb = load_generator(imported)(expected["gray"])
    assert (rgb[..., ::4, ::4] - expected["rgb"]).abs().max() < 1e-5


def test_the_header_says_where_it_comes_from(imported):
    header = read_header(imported)
    assert header["stage"] == "imported"
    assert header["step"] == 0
    assert header["source"].keys() == {"ColorizeArtistic_gen.pth", "critic.pth"}
    assert all(value.startswith("sha256 ") and len(value) == 71 for value in header["source"].values())
    critic = build_network(header["networks"]["discriminator"])
    load_network(critic, imported, "discriminator")


def test_the_config_is_the_one_of_the_yaml(compose, imported):
    from colorgan.checkpoint import without_weights
    from colorgan.config import plain

    header = read_header(imported)["networks"]
    config = compose("experiment=deoldify_artistic", "discriminator.width=8")
    assert header["generator"] == without_weights(plain(config.generator))
    assert header["discriminator"] == plain(config.discriminator)
    for kind in ("deep", "wide"):
        assert network_config(kind) == without_weights(plain(compose(f"generator=deoldify_{kind}").generator))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.pth", "{tmp}/x.safetensors"], "no weights file nowhere.pth"),
        (["{page}", "{tmp}/x.safetensors"], "is a web page saved as weights"),
        (["{critic}", "{tmp}/x.pth"], "OUT must end in .safetensors"),
        (["{critic}", "{taken}"], "exists; use --overwrite"),
        (["{other}", "{tmp}/x.safetensors"], "other.pth: these are the weights of another network"),
        (["{critic}", "{tmp}/x.safetensors", "--critic", "{critic}"], "holds a discriminator too"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(folder, tmp_path, command, words, message):
    (tmp_path / "page.pth").write_text("<html>")
    (tmp_path / "taken.safetensors").write_text("")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    places = {"tmp": tmp_path, "critic": folder / "critic.pth"}
    places |= {path.stem: path for path in tmp_path.iterdir()}
    code, _, err = command("import-deoldify", *(word.format(**places) for word in words))
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "64", "--squash"], "--size does not go with"),
        (["--size", "64", "--render-factor", "4"], "--size does not go with"),
        (["--render-factor", "0"], "--render-factor must be at least 1, got 0"),
    ],
)
def test_geometries_that_exclude_each_other_are_refused(imported, tmp_path, command, words, message):
    Image.fromarray(astronaut()[::8, ::8]).save(tmp_path / "a.png")
    code, _, err = command("colorize", tmp_path / "a.png", "-c", imported, "-o", tmp_path / "b.png", *words)
    assert code == 2
    assert message in err


def test_squash_reproduces_deoldifys_render(imported, tmp_path, command):
    """The whole path at render factor 4, step by step beside the command."""
    from colorgan.colorize.deoldify import merge_yuv

    photo = Image.fromarray(astronaut()[::3, ::5])
    photo.save(tmp_path / "a.png")
    words = ["colorize", tmp_path / "a.png", "-c", imported, "-o", tmp_path / "b.png", "--squash", "--render-factor", 4]
    assert command(*words)[0] == 0
    square = photo.resize((64, 64), Image.Resampling.BILINEAR).convert("L")
    with torch.no_grad():
        rgb = load_generator(imported)(torch.from_numpy(np.array(square))[None, None] / 255)[0]
    levels = (rgb.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    color = Image.fromarray(levels).resize(photo.size, Image.Resampling.BILINEAR)
    expected = merge_yuv(np.asarray(photo), np.asarray(color)).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "b.png")) - expected).max() <= 2
    assert command(*words[:-3], "--overwrite", "--render-factor", 4)[0] == 0  # ours, at 64 px


@pytest.mark.slow
def test_imported_weights_are_inspected_measured_and_trained_on(imported, tmp_path, command):
    def said(*words):
        code, out, err = command(*words)
        assert code == 0, err
        return out

    shown = said("inspect", imported)
    for word in ("DeOldifyGenerator", "DeOldifyCritic", "imported", "ColorizeArtistic_gen.pth", "sha256"):
        assert word in shown
    few = [f"data.cache_dir={tmp_path}/cache", "data.max_validation=6", "metrics=fast"]
    assert "artistic" in said(
        "evaluate", f"checkpoints={imported}", f"out={tmp_path}/e", "protocol.image_size=64", *few
    )
    said(
        "train", "experiment=deoldify_artistic", f"init_from={imported}", f"runs_dir={tmp_path}",
        "name=tuned", "loss/feature=lite0", "discriminator.width=8", "objective=psnr", *few,
        "schedule.first=[generator_pretrain]", "schedule.times=0", "data.num_workers=0",
        "trainer.enable_progress_bar=false",
        *(f"schedule.stages.generator_pretrain.{o}" for o in ("steps=2", "batch_size=2", "image_size=64")),
    )  # fmt: skip
    before, after = load_generator(imported), load_generator(tmp_path / "tuned")
    pairs = dict(after.named_parameters())
    changed = {name for name, p in before.named_parameters() if not torch.equal(p, pairs[name])}
    convolutions = {n for n, p in before.named_parameters() if n.startswith("encoder.") and p.ndim == 4}
    assert changed
    assert not changed & convolutions  # the first stage freezes them
