"""Run a trained generator by the fastest engine that is installed and keeps its colours: torch, ONNX, OpenVINO.

An engine is a generator like any other, gray to rgb. What it is made of, and how far it is from torch, is kept in a
cache by the hash of the checkpoint.
"""

import json
import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from colorgan.checkpoint import load_generator, read_header
from colorgan.colorize.graph import (
    ExportError,
    fold_norms,
    openvino_core,
    package_versions,
    read_facts,
    to_onnx,
    write_onnx,
)
from colorgan.colorize.parity import Difference, check_pictures, compare
from colorgan.files import file_hash, read_json_lines, write_text
from colorgan.networks.hints import refuse_hints, takes_hints

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "onnx", "openvino")
EXPORTED = (".onnx", ".xml")
# Conversion and check take about 15 s, and then save 10 ms a picture of 256 px (docs/speed.md).
WORTH_CONVERTING = 1000
_CACHE_FORMAT = 1  # of the graphs there: another one makes them anew
_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


class Candidate(NamedTuple):
    """An engine with a precision."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class TorchEngine(nn.Module):
    """A generator in torch: channels last, its norms computed once, on CUDA in low precision where that is asked for.

    Args:
        generator: in eval mode.
        device: where it works.
        dtype: of its convolutions.
    """

    def __init__(self, generator: nn.Module, device: str, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.generator = fold_norms(generator).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.gray_rule, self.dtype = str(generator.gray_rule), dtype
        self.name = f"torch {str(dtype).removeprefix('torch.').replace('bfloat', 'bf').replace('float', 'fp')}"

    @property
    def takes_hints(self) -> bool:
        """Whether `forward` takes hints."""
        return takes_hints(self.generator)

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize (N, 1, H, W) in [0, 1]; hints as the generator takes them."""
        given = (gray,) if hints is None else (gray, hints)
        with torch.autocast(gray.device.type, self.dtype, enabled=self.dtype != torch.float32):
            rgb: Tensor = self.generator(*(image.contiguous(memory_format=torch.channels_last) for image in given))
        return rgb


class HintedEngine(nn.Module):
    """Run pictures without hints by a fast engine, and with them by torch: a converted graph takes none.

    Args:
        fast: the engine.
        exact: the same network in torch.
    """

    takes_hints = True

    def __init__(self, fast: nn.Module, exact: TorchEngine) -> None:
        super().__init__()
        self.fast, self.exact = fast, exact
        self.gray_rule, self.name, self.hint_name = exact.gray_rule, str(fast.name), exact.name

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize (N, 1, H, W) in [0, 1]."""
        rgb: Tensor = self.fast(gray) if hints is None else self.exact(gray, hints)
        return rgb


class OpenVINOEngine(nn.Module):
    """A graph that OpenVINO runs on the CPU, one call after the other.

    Args:
        path: an `.onnx` or `.xml` file.
        gray_rule: of the generator.
        precision: `bf16` where the CPU has it, else the graph's own.
    """

    def __init__(self, path: Path, gray_rule: str, precision: str) -> None:
        super().__init__()
        core = openvino_core()
        if precision == "bf16" and not has_bf16():  # an exported file, from another machine
            precision = "fp32"
        hint = "bf16" if precision == "bf16" else "f32"
        self.gray_rule, self.name = gray_rule, f"openvino {precision}"
        settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        self._request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize (N, 1, H, W) in [0, 1]; refuses hints."""
        refuse_hints(hints)
        result = self._request.infer({0: gray.contiguous().numpy()}, share_inputs=True)
        return torch.from_numpy(result[0])


class OnnxEngine(nn.Module):
    """A graph that onnxruntime runs on the CPU.

    Args:
        path: an `.onnx` file.
        gray_rule: of the generator.
        precision: of the graph.
    """

    def __init__(self, path: Path, gray_rule: str, precision: str) -> None:
        super().__init__()
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)  # it warns of each cast
        self.gray_rule, self.name = gray_rule, f"onnx {precision}"
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Colorize (N, 1, H, W) in [0, 1]; refuses hints."""
        refuse_hints(hints)
        return torch.from_numpy(self._session.run(["rgb"], {"gray": gray.contiguous().numpy()})[0])


def open_engine(checkpoint: Path, engine: str, *, device: str, pictures: int) -> nn.Module:
    """Open a checkpoint or an exported file; the engine has a `name`.

    Args:
        checkpoint: a `.safetensors` file, or what `colorgan export` wrote.
        engine: one of `ENGINES`; `auto` takes the fastest that is installed and passes its check.
        device: where torch works; the others work on the CPU.
        pictures: how many are to be colorized at least: for few of them `auto` converts nothing.

    Raises:
        ValueError: an unknown engine, one that is not installed, or one whose colours are too far from torch's.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; allowed: {', '.join(ENGINES)} (--engine)")
    if engine not in ("auto", "torch"):
        _check_usable(engine, device)
    if checkpoint.suffix in EXPORTED:
        return _open_exported(checkpoint, engine, device)
    generator = load_generator(checkpoint)
    if engine == "torch" or device != "cpu":
        return _open_torch(generator, checkpoint, device)
    return _open_fastest(generator, checkpoint, engine, pictures)


def _check_usable(engine: str, device: str) -> None:
    package = _PACKAGES[engine]
    if find_spec(package) is None:
        raise ValueError(f"engine {engine!r} needs {package}: pip install colorgan[fast] (--engine)")
    if device != "cpu":
        raise ValueError(f"engine {engine!r} works on the CPU, not on {device}; give --device cpu, or --engine torch")


def _open_exported(path: Path, engine: str, device: str) -> nn.Module:
    """Open an exported file: by OpenVINO, which is the faster one, where it is installed."""
    allowed = ("openvino", "onnx") if path.suffix == ".onnx" else ("openvino",)
    installed = [name for name in allowed if find_spec(_PACKAGES[name]) is not None]
    chosen = engine if engine != "auto" else next(iter(installed), allowed[0])
    if chosen not in allowed:
        raise ValueError(f"{path} can be run by {' or '.join(allowed)}, not by {chosen} (--engine)")
    _check_usable(chosen, device)
    facts = read_facts(path)
    return make_engine(Candidate(chosen, str(facts["precision"])), path, facts["gray_rule"])


def _open_torch(generator: nn.Module, checkpoint: Path, device: str) -> nn.Module:
    """Open torch: in float32, but on CUDA in float16, which is nearer than bfloat16, if that passes the check."""
    exact = TorchEngine(generator, device)
    if not device.startswith("cuda"):
        return exact
    low = TorchEngine(generator, device, torch.float16)
    difference = _Checks(checkpoint).difference(low.name, low, exact)
    return exact if _refused(low.name, difference) else low


def _open_fastest(generator: nn.Module, checkpoint: Path, engine: str, pictures: int) -> nn.Module:
    """Open the first candidate that passes; torch where `auto` finds none."""
    exact, checks = TorchEngine(generator, "cpu"), _Checks(checkpoint)
    if engine == "auto" and not (checks.graph.exists() or pictures >= WORTH_CONVERTING):
        return exact
    refusals = []
    for candidate in candidates(engine):
        try:
            made = make_engine(candidate, checks.make_graph(generator), exact.gray_rule)
        except ExportError as error:
            logger.warning("%s", error)
            refusals.append(str(error))
            continue
        difference = checks.difference(str(candidate), made, exact)
        if (refusal := _refused(str(candidate), difference)) is None:
            return HintedEngine(made, exact) if exact.takes_hints else made
        refusals.append(refusal)
    if engine == "auto":
        return exact
    raise ValueError(f"{'; '.join(refusals)}; --engine torch works")


def _refused(name: str, difference: Difference) -> str | None:
    """Say why an engine is refused, to the log too."""
    if (why := difference.beyond()) is None:
        return None
    refusal = f"engine {name} is refused, its colours are too far from torch's: {why}"
    logger.warning("%s", refusal)
    return refusal


def candidates(engine: str) -> Iterator[Candidate]:
    """List what is installed, the fastest first; bfloat16, which moves figures, only where OpenVINO is asked for."""
    if engine in ("auto", "openvino") and find_spec("openvino") is not None:
        if engine == "openvino" and has_bf16():
            yield Candidate("openvino", "bf16")
        yield Candidate("openvino", "fp32")
    if engine in ("auto", "onnx") and find_spec("onnxruntime") is not None:
        yield Candidate("onnx", "fp32")


def make_engine(candidate: Candidate, path: Path, gray_rule: str) -> nn.Module:
    """Open a graph by an engine.

    Raises:
        ExportError: the file is damaged.
    """
    maker = OpenVINOEngine if candidate.engine == "openvino" else OnnxEngine
    try:
        return maker(path, gray_rule, candidate.precision)
    except Exception as error:  # each library has its own errors
        raise ExportError(f"{path} cannot be run by {candidate.engine}: {str(error).splitlines()[0]}") from error


def has_bf16() -> bool:
    """Tell whether the CPU computes in bfloat16; where it must be emulated it is slower."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cache_folder() -> Path:
    """Name the folder of converted checkpoints, beside the caches of Hugging Face datasets; it may be deleted."""
    from huggingface_hub.constants import HF_HOME

    return Path(os.environ.get("HF_DATASETS_CACHE") or Path(HF_HOME) / "datasets") / "colorgan" / "engines"


class _Checks:
    """What is kept of a checkpoint: its graph, and how far each engine was found to be from torch."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint, self.digest = checkpoint, file_hash(checkpoint)
        self.folder = cache_folder() / f"{self.digest[:32]}-{_CACHE_FORMAT}"
        self.graph, self.log = self.folder / "network.onnx", self.folder / "checks.jsonl"

    def make_graph(self, generator: nn.Module) -> Path:
        """Convert the checkpoint, unless that was done before."""
        if not self.graph.exists():
            write_onnx(to_onnx(generator, facts_of(self.checkpoint, self.digest, "fp32")), self.graph)
        return self.graph

    def difference(self, name: str, network: nn.Module, exact: nn.Module) -> Difference:
        """Compare a network with torch on the check's pictures, once for these versions and this processor."""
        packages = [package for package in ("torch", *_PACKAGES.values()) if find_spec(package) is not None]
        device = next(exact.parameters()).device
        machine = (
            torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else torch.cuda.get_device_name(device)
        )
        where = json.dumps([name, machine, package_versions(*packages)], sort_keys=True)
        known = read_json_lines(self.log, {"where": str, "difference": dict})
        for record in known:
            if record["where"] == where:
                return Difference(**record["difference"])
        size = 2 * int(read_header(self.checkpoint)["image_size"])
        difference = compare(network, exact, (gray.to(device) for gray in check_pictures(size)))
        known.append({"where": where, "difference": difference.describe()})
        write_text(self.log, "".join(f"{json.dumps(record)}\n" for record in known))
        return difference


def facts_of(checkpoint: Path, digest: str, precision: str) -> dict[str, Any]:
    """Gather what an exported file says of itself."""
    header = read_header(checkpoint)
    return {
        "gray_rule": header["gray_rule"],
        "image_size": header["image_size"],
        "working_size": 2 * int(header["image_size"]),
        "precision": precision,
        "checkpoint": {"name": checkpoint.name, "sha256": digest},
        "versions": package_versions("colorgan", "torch"),
    }
