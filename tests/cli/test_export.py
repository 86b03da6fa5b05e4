"""`colorgan export`: files that colorize without their checkpoint."""

import numpy as np
import pytest
import tiny_checkpoint
from PIL import Image
from skimage.data import astronaut

from colorgan.colorize import Colorizer
from colorgan.colorize.graph import read_facts
from colorgan.files import file_hash


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint.write(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "precision", "name"), [("onnx", "fp16", "tiny-fp16.onnx"), ("openvino", "fp32", "tiny-fp32.xml")]
)
def test_an_exported_file_colorizes_like_its_checkpoint(checkpoint, command, tmp_path, form, precision, name):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[form])
    out = tmp_path / name
    code, said, err = command("export", checkpoint, "--format", form, "--precision", precision, "--out", out)
    assert code == 0, err
    assert f"{out}: {precision}, mean difference to torch" in said
    facts = read_facts(out)
    assert facts["checkpoint"]["sha256"] == file_hash(checkpoint)
    assert (facts["gray_rule"], facts["working_size"], facts["precision"]) == ("luma601", 64, precision)
    photo = Image.fromarray(astronaut()[::4, ::3])
    colorizer = Colorizer.load(out, engine=form)
    assert colorizer.engine == f"{form} {precision}"
    made, expected = (np.asarray(one.colorize(photo)).astype(int) for one in (colorizer, Colorizer.load(checkpoint)))
    assert np.abs(made - expected).max() <= 8
    assert command("export", checkpoint, "--format", form, "--out", out)[0] == 2  # it exists
    out.write_bytes(out.read_bytes()[:500])
    code, _, err = command("colorize", __file__, "--checkpoint", out, "--out", tmp_path / "x.png")
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "tflite"], "--format must be one of onnx, openvino, got 'tflite'"),
        (["--precision", "bf16"], "--precision with --format onnx must be one of fp32, fp16, got 'bf16'"),
        (["--out", "x.pt"], "--out must end in .onnx"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(checkpoint, command, words, said):
    code, _, err = command("export", checkpoint, *words)
    assert code == 2
    assert said in err
