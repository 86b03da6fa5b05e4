"""Write a trained generator as a file of ONNX or OpenVINO that was checked against torch."""

import tempfile
from pathlib import Path

from colorgan.checkpoint import load_generator
from colorgan.colorize.engines import EXPORTED, Candidate, TorchEngine, facts_of, has_bf16, make_engine
from colorgan.colorize.graph import ExportError, require, to_onnx, write_onnx, write_openvino
from colorgan.colorize.parity import check_pictures, compare
from colorgan.files import copy_file, file_hash


def export_checkpoint(checkpoint: Path, out: Path, *, precision: str) -> str:
    """Convert a checkpoint, check the file on several sizes, and give it its name; returns in words how near it is.

    Args:
        checkpoint: the `.safetensors` file.
        out: ends in `.onnx`, or in `.xml` for OpenVINO, whose weights go beside it.
        precision: `fp32`, `fp16`, and for OpenVINO `bf16`.

    Raises:
        ExportError: a package is missing, the network is none that can be exported, or its colours are too far off.
    """
    if checkpoint.suffix in EXPORTED:
        raise ExportError(f"{checkpoint} is exported already; give the checkpoint that it was made of")
    engine = "onnx" if out.suffix == ".onnx" else "openvino"
    require("onnxruntime" if engine == "onnx" else "openvino")
    if precision == "bf16" and not has_bf16():
        raise ExportError("bf16 cannot be checked here: this CPU has none; --precision fp32 can (--precision)")
    exact = TorchEngine(load_generator(checkpoint), "cpu")
    facts = facts_of(checkpoint, file_hash(checkpoint), precision)
    model = to_onnx(exact.generator, facts, half=engine == "onnx" and precision == "fp16")
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / out.name
        if engine == "onnx":
            write_onnx(model, trial)
        else:
            write_openvino(model, trial, half=precision == "fp16")
        made = make_engine(Candidate(engine, precision), trial, exact.gray_rule)
        difference = compare(made, exact, check_pictures(facts["working_size"]))
        if why := difference.beyond():
            raise ExportError(f"{out} is not written: its colours are too far from torch's: {why}")
        if engine == "openvino":  # first, since a reader looks for the .xml
            copy_file(trial.with_suffix(".bin"), out.with_suffix(".bin"))
        copy_file(trial, out)
    lacking = "; takes no hints, unlike the checkpoint" if exact.takes_hints else ""
    return f"{precision}, mean difference to torch {difference.mean:.2g} levels, worst {difference.worst:.2g}{lacking}"
