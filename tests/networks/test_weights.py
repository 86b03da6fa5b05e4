"""Pretrained weights: found by name and hash, refused when they are not what they should be."""

import hashlib
import pickle
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
import timm
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn

from colorgan.config import build_available_metrics, build_metrics
from colorgan.metrics import LPIPS
from colorgan.metrics.judges import InceptionFeatures, TorchvisionInceptionFeatures
from colorgan.networks import TimmPyramid
from colorgan.networks.weights import (
    OFFICIAL,
    WeightsNotFoundError,
    find_weights,
    load_backbone,
    package_state,
    read_state_dict,
)

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """Empty caches of both hubs, and no network: a try to connect is an error."""

    def refuse(*arguments):
        raise AssertionError("a metric tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def safetensors_and_pickle_at_once(path, code):
    """A valid safetensors file whose bytes, read as a pickle from the first one, run `code`.

    The length of the header begins with X, which takes a text of 1000 bytes; from there U after U takes one of 126,
    the last one across the end of the header into the data, where the pickle goes on.
    """
    length = ord("X") + (1000 << 8)
    data = 300
    header = b'{"a":{"dtype":"U8","shape":[300],"data_offsets":[0,300]},"__metadata__":{"a":"'
    header += b"U~".ljust(length - len(header) - 3, b" ") + b'"}}'
    content = bytearray(length.to_bytes(8, "little") + header + bytes(data))
    position, end = 5 + 1000, 8 + length
    while position < end:
        content[position : position + 2] = b"U~"
        position += 2 + ord("~")
    body = pickle.dumps(code, protocol=0)
    content[position : position + len(body)] = body
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["inception", "inception_torchvision", "alexnet", "vgg16"])
def test_missing_weights_are_reported_with_file_address_and_place(name, hub):
    wanted = OFFICIAL[name]
    with pytest.raises(WeightsNotFoundError) as caught:
        find_weights(name)
    for part in (wanted.file, wanted.url, str(hub)):
        assert part in str(caught.value)
    assert wanted.sha256 in wanted.file  # torch.hub's convention: the file is named after its hash


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_missing_weights_of_the_hugging_face_hub_come_with_the_command_that_fetches_them(name):
    repository = OFFICIAL[name].hub_repo
    with pytest.raises(WeightsNotFoundError, match=f"hf download {repository} model.safetensors"):
        find_weights(name)


def test_weights_in_the_cache_of_the_hugging_face_hub_are_found(tmp_path):
    repository = tmp_path / "hf" / "models--timm--vit_large_patch14_dinov2.lvd142m"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    file = repository / "snapshots" / "abc" / "model.safetensors"
    file.write_bytes(b"weights")
    found = find_weights("dinov2")
    assert (found.path, found.official) == (file, True)
    assert not find_weights("dinov2", str(file)).official  # nothing is published that it could be checked against


def test_a_wrong_file_under_the_official_name_is_refused(hub):
    (hub / OFFICIAL["inception"].file).write_bytes(b"not it")
    digest = hashlib.sha256(b"not it").hexdigest()[:8]
    with pytest.raises(WeightsNotFoundError, match=f"is not it: its SHA-256 begins with {digest}, not 6726825d"):
        find_weights("inception")


def test_a_file_with_the_hash_of_the_official_one_is_official_under_any_name(tmp_path, hub, monkeypatch):
    file = tmp_path / "mine.pth"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert not find_weights("alexnet", str(file)).official
    monkeypatch.setitem(OFFICIAL, "alexnet", replace(OFFICIAL["alexnet"], sha256=digest[:8]))
    assert find_weights("alexnet", str(file)).official
    assert find_weights("alexnet", str(file)).sha256 == digest
    shutil.copy(file, hub / OFFICIAL["alexnet"].file)
    assert find_weights("alexnet").path == hub / OFFICIAL["alexnet"].file


def test_a_given_file_that_does_not_exist_is_not_replaced_by_the_cached_one(hub):
    (hub / OFFICIAL["alexnet"].file).write_bytes(b"weights")
    with pytest.raises(WeightsNotFoundError, match=r"needs /nowhere/alex\.pth, which does not exist"):
        find_weights("alexnet", "/nowhere/alex.pth")


def test_a_metric_with_other_weights_bears_the_beginning_of_their_hash(lpips_weights):
    path, _ = lpips_weights["alex"]
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    nodes = {"lpips_alex": {"_target_": "colorgan.metrics.LPIPS", "network": "alex", "weights": path}}
    built, missing = build_available_metrics(OmegaConf.create(nodes))
    assert list(built) == [f"lpips_alex@{digest[:8]}"]
    assert missing == {}
    facts = {"network": "alex", "weights": digest}
    assert LPIPS("alex", weights=path).describe().items() >= {"class": "LPIPS", **facts}.items()


def test_fid_with_other_weights_bears_the_beginning_of_their_hash(inception_weights):
    digest = hashlib.sha256(inception_weights.read_bytes()).hexdigest()
    node = {"_target_": "colorgan.metrics.FrechetDistance", "feature_network": "inception"}
    nodes = {"fid": {**node, "weights": str(inception_weights)}, "psnr": {"_target_": "colorgan.metrics.PSNR"}}
    built, _ = build_available_metrics(OmegaConf.create(nodes))
    assert set(built) == {f"fid@{digest[:8]}", "psnr"}


def test_metrics_without_their_weights_are_named_and_the_others_built(compose, hub):
    config = compose("metrics=full", config_name="evaluate")
    built, missing = build_available_metrics(config.metrics)
    assert set(missing) == {"fid", "kid", "lpips_alex", "lpips_vgg"}
    assert set(built) == set(config.metrics) - set(missing)
    assert missing["kid"].needs.startswith("needs weights-inception-2015-12-05-6726825d.pth from https://")
    assert missing["lpips_vgg"].kind is LPIPS
    with pytest.raises(ValueError, match=re.escape("metrics.lpips_alex needs alexnet-owt-7be5be79.pth")):
        build_metrics(config.metrics)
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize("pickled", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))])
@pytest.mark.parametrize(
    "load",
    [InceptionFeatures, TorchvisionInceptionFeatures, lambda path: LPIPS("alex", weights=path)],
    ids=["inception", "inception_torchvision", "lpips"],
)
def test_a_pickle_with_code_is_refused_without_running_it(load, pickled, tmp_path):
    path, touched = tmp_path / "weights.pth", tmp_path / "touched"
    pickled({"fc.weight": Bomb(touched)}, path)
    with pytest.raises(ValueError, match="is not a readable weights file"):
        load(str(path))
    assert not touched.exists()


def test_code_in_a_file_that_is_safetensors_and_pickle_at_once_does_not_run(tmp_path):
    path, touched = tmp_path / "weights.safetensors", tmp_path / "touched"
    safetensors_and_pickle_at_once(path, Bomb(touched))
    with pytest.raises(ValueError, match="is not Inception in pytorch-fid's layout"):
        InceptionFeatures(str(path))
    assert not touched.exists()


def test_inception_of_another_layout_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(2, 2)}, path)
    for load in (InceptionFeatures, TorchvisionInceptionFeatures):
        with pytest.raises(ValueError, match=r"is not Inception in pytorch-fid's layout|lack \d+ of \d+ tensors"):
            load(str(path))


@pytest.mark.parametrize("name", [LITE0, "tf_efficientnet_lite2"])
def test_package_weights_see_a_cat_in_chelsea(name):
    network = timm.create_model(name).eval()
    network.load_state_dict(package_state(name), strict=False)
    photo = torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1)[None, :, :, 75:375] / 127.5 - 1
    with torch.no_grad():
        best = network(F.interpolate(photo, size=(224, 224), mode="bilinear", antialias=True)).argmax().item()
    assert 281 <= best <= 285  # ImageNet: tabby, tiger cat, Persian, Siamese, Egyptian cat


def test_missing_weights_file_says_what_is_allowed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth \(weights: hub, package, a path or null"):
        TimmPyramid("resnet18", weights=str(tmp_path / "nothing.pth"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "web page", "git lfs", "empty"])
def test_damaged_weights_file_is_named(tmp_path, suffix, damage):
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)({"weight": torch.zeros(1000)}, path)
    content = {
        "truncated": path.read_bytes()[:900],
        "web page": b"<!doctype html>\n<html>403 Forbidden</html>\n",
        "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "empty": b"",
    }
    path.write_bytes(content[damage])
    with pytest.raises(ValueError, match=rf"weights\.{suffix} is not a readable weights file"):
        read_state_dict(path)


def test_weights_file_runs_no_code(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ValueError, match="pickle of more than tensors"):
        read_state_dict(tmp_path / "module.pth")


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"state_dict": {"weight": torch.zeros(1)}}])
def test_file_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth holds (list|dict), not a state dict of tensors"):
        read_state_dict(tmp_path / "other.pth")


def test_weights_of_another_shape_are_refused():
    network = nn.Sequential(nn.Conv2d(3, 8, 3))
    state = {"0.weight": torch.zeros(8, 3, 5, 5), "0.bias": torch.zeros(8)}
    with pytest.raises(ValueError, match=r"weights for tiny: 0\.weight is \(8, 3, 5, 5\), expected \(8, 3, 3, 3\)"):
        load_backbone(network, state, "tiny")


def test_weights_that_lack_a_tensor_are_refused():
    with pytest.raises(ValueError, match=r"weights for tiny lack 1 of 2 tensors, the first is 0\.bias"):
        load_backbone(nn.Sequential(nn.Conv2d(3, 8, 3)), {"0.weight": torch.zeros(8, 3, 3, 3)}, "tiny")


def test_refused_weights_leave_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    state = {key: torch.zeros_like(tensor) for key, tensor in before.items()} | {"1.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"1\.weight"):
        load_backbone(network, state, "tiny")
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", [LITE0, "tf_efficientnet_lite2"])
def test_weights_of_a_package_are_told_by_their_hash_as_all_others(name):
    found = find_weights(name)
    assert found.official
    assert found.path.name == OFFICIAL[name].file
    assert found.sha256.startswith(OFFICIAL[name].sha256)
