"""Reading weight files as people have them: right ones, wrong ones, broken ones."""

import functools
import zipfile

import deoldify_fixture as fixture
import pytest
import torch
from torchvision.models import resnet18

from colorgan.networks.deoldify_weights import build, from_deoldify, network_config, read_pth, recognize, to_deoldify


@pytest.fixture(scope="module")
def critic_state():
    torch.manual_seed(0)
    return to_deoldify(build(network_config("critic", width=8)))


def wide_state():
    with torch.device("meta"):
        return to_deoldify(build(network_config("wide")))


def test_each_network_is_recognized(critic_state):
    assert recognize(fixture.state_dict("deep")) == "deep"
    assert recognize(wide_state()) == "wide"
    assert recognize(critic_state) == "critic"


def test_wide_has_deep_s_layout_but_one_convolution_a_block():
    deep, wide = {key for key, *_ in fixture.keys("deep")}, set(wide_state())
    assert len(wide) == 754
    own = {key for key in wide - deep if not key.startswith("layers.0.")}
    assert {".".join(key.split(".")[:3]) for key in own} == {f"layers.{i}.conv" for i in (4, 5, 6, 7)}
    assert "layers.5.conv.3.gamma" in wide
    assert "layers.0.6.22.conv3.weight" in wide
    assert "layers.0.4.0.downsample.1.num_batches_tracked" in wide


def test_the_width_of_a_critic_is_read_from_its_shapes(critic_state):
    imported = from_deoldify(critic_state)
    assert (imported.role, imported.kind) == ("discriminator", "critic")
    assert imported.config == {"_target_": "colorgan.networks.DeOldifyCritic", "width": 8}
    assert not imported.network.training


def test_a_file_goes_through_both_ways_bit_by_bit(critic_state, tmp_path):
    torch.save({"model": critic_state, "opt": {"state": {}, "param_groups": [{"lr": 1e-3}]}}, tmp_path / "c.pth")
    torch.save(critic_state, tmp_path / "bare.pth")
    for name in ("c.pth", "bare.pth"):
        again = to_deoldify(from_deoldify(read_pth(tmp_path / name)).network)
        assert again.keys() == critic_state.keys()
        assert all(torch.equal(tensor, again[key]) for key, tensor in critic_state.items())


def test_missing_odd_and_misshapen_tensors_are_named(critic_state):
    lacking = {key: tensor for key, tensor in critic_state.items() if key != "4.2.gamma"}
    with pytest.raises(ValueError, match=r"critic has 45 tensors; the file lacks 1 of them, the first is 4.2.gamma"):
        from_deoldify(lacking)
    with pytest.raises(ValueError, match=r"the file has 1 others too, the first is extra"):
        from_deoldify({**critic_state, "extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"5.0.bias of shape \(16,\); in the file \(3,\)"):
        from_deoldify({**critic_state, "5.0.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"weights of another network: the tensors begin with conv1.weight"):
        from_deoldify(resnet18().state_dict())


def broken_files(folder, state):
    whole = folder / "whole.pth"
    torch.save(state, whole)
    (folder / "page.pth").write_text("\n<!DOCTYPE html><html>not found</html>")
    (folder / "cut.pth").write_bytes(whole.read_bytes()[:5000])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "noise.pth").write_bytes(bytes(range(7, 200)) * 9)
    (folder / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    torch.save({"model": functools.partial(print, "run")}, folder / "code.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    (folder / "old_cut.pth").write_bytes((folder / "old.pth").read_bytes()[:-3000])
    torch.save([1, 2], folder / "list.pth")
    torch.save({"epoch": 3}, folder / "dict.pth")
    with zipfile.ZipFile(folder / "zip.pth", "w") as file:
        file.writestr("readme.txt", "no tensors")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page", "is a web page saved as weights"),
        ("cut", "is truncated or damaged"),
        ("empty", "is truncated or damaged"),
        ("noise", "is no PyTorch file"),
        ("pointer", "is a Git LFS pointer"),
        ("code", "would run code from the file"),
        ("old_cut", "is truncated or damaged"),
        ("list", "holds list, not a state dict"),
        ("dict", "holds a dict of epoch, not a state dict"),
        ("zip", "is truncated or damaged"),
        ("nowhere", "no weights file"),
    ],
)
def test_broken_files_say_what_they_are(critic_state, tmp_path, name, message):
    broken_files(tmp_path, critic_state)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        read_pth(tmp_path / f"{name}.pth")
    assert len(str(caught.value).splitlines()) == 1


def test_files_of_torch_before_1_6_are_read(critic_state, tmp_path):
    """The published weights are of 2019, before the zip format."""
    broken_files(tmp_path, critic_state)
    assert read_pth(tmp_path / "old.pth").keys() == critic_state.keys()
