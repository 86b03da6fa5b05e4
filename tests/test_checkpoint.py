import json

import pytest
import torch
from safetensors.torch import save_file

from colorgan.checkpoint import (
    CheckpointError,
    build_network,
    find_checkpoint,
    find_checkpoints,
    load_generator,
    load_network,
    read_header,
    save_checkpoint,
)
from colorgan.files import file_hash
from colorgan.networks import TimmPyramid, UNetGenerator

CONFIG = {
    "_target_": "colorgan.networks.UNetGenerator",
    "encoder": {"_target_": "colorgan.networks.TimmPyramid", "name": "tf_efficientnet_lite0", "weights": "package"},
    "widths": [8, 8, 8, 8, 8],
    "head": "lab",
    "gray_rule": "lightness",
}


@pytest.fixture
def generator():
    torch.manual_seed(0)
    encoder = TimmPyramid("tf_efficientnet_lite0", weights=None)
    return UNetGenerator(encoder, widths=[8, 8, 8, 8, 8], head="lab", gray_rule="lightness").eval()


@pytest.fixture
def saved(generator, tmp_path):
    path = tmp_path / "final.safetensors"
    facts = {"stage": "01-x", "step": 3, "image_size": 32, "metrics": {"psnr": 20.5}}
    save_checkpoint(path, {"generator": generator}, configs={"generator": CONFIG}, facts=facts)
    return path


def test_a_loaded_generator_gives_the_same_pictures(generator, saved):
    gray = torch.rand(1, 1, 40, 33)
    loaded = load_generator(saved)
    assert not loaded.training
    assert torch.equal(loaded(gray), generator(gray))


def test_tensors_of_another_size_are_refused_by_name_and_shape(saved):
    encoder = TimmPyramid("tf_efficientnet_lite0", weights=None)
    other = UNetGenerator(encoder, widths=[8, 8, 8, 8, 16], head="lab")
    with pytest.raises(CheckpointError, match=r"generator\.\S+ is \(\d+.*the config's \(\d+"):
        load_network(other, saved, "generator")


def test_the_header_tells_stage_step_metrics_and_versions(saved):
    header = read_header(saved)
    assert (header["stage"], header["step"], header["metrics"]) == ("01-x", 3, {"psnr": 20.5})
    assert header["networks"] == {"generator": CONFIG}
    assert header["gray_rule"] == "lightness"  # the generator's own
    assert torch.__version__.startswith(header["versions"]["torch"])


def test_loading_does_not_fetch_the_weights_the_network_began_with(saved, monkeypatch):
    monkeypatch.setattr("colorgan.networks.weights.package_state", lambda name: pytest.fail("fetched"))
    load_generator(saved)


def test_nothing_but_our_networks_is_built_from_a_header():
    for target in ("os.system", "colorgan.checkpoint.save_checkpoint", "torch.nn.Linear"):
        with pytest.raises(CheckpointError, match=r"only colorgan\.networks"):
            build_network({**CONFIG, "encoder": {"_target_": target, "command": "true"}})


def test_a_folder_means_its_final_checkpoint(saved):
    assert find_checkpoint(saved.parent) == saved
    assert find_checkpoints([str(saved.parent)]) == {saved.parent.name: saved}
    assert find_checkpoints([str(saved.parent / "*.safetensors")]) == {saved.parent.name: saved}


def test_rows_get_the_shortest_names_that_differ(saved):
    runs = [saved.parent / "a" / "03-gan", saved.parent / "b" / "03-gan"]
    for folder in runs:
        folder.mkdir(parents=True)
        for name in ("step=000001", "step=000002"):
            (folder / f"{name}.safetensors").write_bytes(saved.read_bytes())
    assert list(find_checkpoints([f"{runs[0]}/*.safetensors"])) == ["step=000001", "step=000002"]
    several = find_checkpoints([f"{saved.parent}/*/03-gan/step=000001.safetensors", str(saved)])
    assert list(several) == ["a/03-gan/step=000001", "b/03-gan/step=000001", "final"]
    assert len(find_checkpoints([str(saved), str(saved)])) == 1


def test_missing_checkpoints_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no final\.safetensors"):
        find_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*nothing"):
        find_checkpoint(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no checkpoint matches"):
        find_checkpoints([str(tmp_path / "*.safetensors")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>not found</html>", "not a .safetensors checkpoint"),
        (b"", "not a .safetensors checkpoint"),
        (b"PK\x03\x04" + b"\x00" * 100, "not a .safetensors checkpoint"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_generator(path)


def test_a_truncated_checkpoint_is_refused(saved):
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_generator(saved)


def test_lightnings_checkpoint_gets_a_hint(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(CheckpointError, match=r"last.ckpt only serves to resume"):
        load_generator(path)


def test_safetensors_of_others_and_of_the_future_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a colorgan checkpoint"):
        read_header(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"colorgan": json.dumps({"format": "colorgan/99"})})
    with pytest.raises(CheckpointError, match="format 'colorgan/99'"):
        read_header(path)


def test_saving_leaves_no_temporary_file_and_is_reproducible(generator, saved, tmp_path):
    before = file_hash(saved)
    facts = {key: value for key, value in read_header(saved).items() if key not in ("networks", "versions", "format")}
    save_checkpoint(saved, {"generator": generator}, configs={"generator": CONFIG}, facts=facts)
    assert file_hash(saved) == before
    assert [path.name for path in tmp_path.iterdir()] == ["final.safetensors"]
