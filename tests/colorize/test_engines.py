"""Engines keep the colours of torch, are chosen by a rule, and are refused where they do not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoint
import torch
from skimage.data import astronaut

from colorgan.checkpoint import load_generator
from colorgan.colorize import Colorizer, engines, parity
from colorgan.colorize.engines import open_engine
from colorgan.colorize.graph import fold_norms, read_facts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint.write(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(cache))


def difference(engine, checkpoint):
    with torch.inference_mode():
        return parity.compare(engine, load_generator(checkpoint), parity.check_pictures(64))


def test_few_pictures_are_left_to_torch(checkpoint, cache):
    assert Colorizer.load(checkpoint).engine == "torch fp32"
    assert not list(cache.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "package"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_an_engine_keeps_the_colours_at_any_size(checkpoint, engine, package):
    pytest.importorskip(package)
    made = open_engine(checkpoint, engine, device="cpu", pictures=1)
    assert made.name.startswith(engine)
    found = difference(made, checkpoint)
    assert found.beyond() is None
    if made.name.endswith("fp32"):
        assert found.worst < 0.01
    assert read_facts(next(engines.cache_folder().glob("*/network.onnx")))["gray_rule"] == "luma601"


def test_bfloat16_is_taken_only_where_it_is_asked_for(monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(engines, "has_bf16", lambda: True)
    assert str(next(engines.candidates("openvino"))) == "openvino bf16"
    assert str(next(engines.candidates("auto"))) == "openvino fp32"
    assert all(candidate.precision == "fp32" for candidate in engines.candidates("auto"))


@pytest.mark.slow
def test_the_fastest_is_taken_for_many_pictures_and_checked_once(checkpoint, monkeypatch):
    pytest.importorskip("openvino")
    first = Colorizer.load(checkpoint, pictures=engines.WORTH_CONVERTING)
    assert first.engine == "openvino fp32"
    monkeypatch.setattr(engines, "compare", None)  # what is known is not measured again
    monkeypatch.setattr(engines, "to_onnx", None)
    second = Colorizer.load(checkpoint)  # converted already
    assert second.engine == first.engine
    frames = [np.roll(astronaut()[::4, ::4], shift, axis=0) for shift in range(5)]
    one, two = (list(colorizer.colorize_frames(frames, batch_size=2)) for colorizer in (first, second))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.slow
def test_colours_too_far_from_torch_are_refused(checkpoint, monkeypatch, caplog):
    pytest.importorskip("openvino")
    monkeypatch.setitem(parity.LIMITS, "worst", -1.0)
    with pytest.raises(ValueError, match=r"is refused.* worst difference .*--engine torch works"):
        open_engine(checkpoint, "openvino", device="cpu", pictures=1)
    assert Colorizer.load(checkpoint, pictures=10**6).engine == "torch fp32"
    assert "openvino fp32 is refused" in caplog.text


@pytest.mark.parametrize(
    ("engine", "device", "said"),
    [("tensorrt", "cpu", "allowed: auto, torch, onnx, openvino"), ("openvino", "cuda", "--device cpu")],
)
def test_an_engine_that_cannot_be_used_is_refused(checkpoint, engine, device, said):
    pytest.importorskip("openvino")
    with pytest.raises(ValueError, match=said):
        open_engine(checkpoint, engine, device=device, pictures=1)


def test_torch_gives_the_colours_of_the_generator(checkpoint):
    assert difference(open_engine(checkpoint, "torch", device="cpu", pictures=1), checkpoint).worst < 0.01


def test_folding_leaves_the_generator_as_it_is(checkpoint):
    generator = load_generator(checkpoint)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    folded = fold_norms(generator)
    assert not any("parametrizations" in name for name in folded.state_dict())
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


@pytest.mark.slow
def test_signals_are_safe_when_engines_are_gone(checkpoint):
    """Each core of OpenVINO gives the thread a stack for signals, and puts back the one before when it ends.

    If the first of two ended first, the next signal would find no stack: a segmentation fault at Ctrl-C.
    """
    pytest.importorskip("openvino")
    script = """
import faulthandler, gc, signal, sys
from pathlib import Path
from colorgan.colorize.engines import open_engine
faulthandler.enable()  # as notebooks and pytest do
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
made = [open_engine(Path(sys.argv[1]), "openvino", device="cpu", pictures=1) for _ in range(2)]
for _ in range(2):
    made.pop(0)
    gc.collect()
    signal.raise_signal(signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", script, checkpoint], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, 2 * "handled\n"), done.stderr
