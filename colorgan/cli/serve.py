"""`colorgan serve`: let others colour photos and films."""

import logging
import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

_Checkpoint = Annotated[
    list[str],
    typer.Option("--checkpoint", "-c", help="A .safetensors file, a run folder or hf://OWNER/NAME; several to choose."),
]
_Keys = Annotated[Path | None, typer.Option(help="A file of API keys, one a line; or COLORGAN_API_KEYS, with commas.")]
_Results = Annotated[Path, typer.Option(help="Folder of results, which expire after an hour.")]
_Device = Annotated[list[str] | None, typer.Option(help="cpu, cuda:0, cuda:1 ...: a copy of the network on each.")]
_Engine = Annotated[str, typer.Option(help="torch, onnx, openvino, or auto, as for colorize.")]


_STRENGTH = "Of the GAN, as for colorize: offer each checkpoint, which must be of a run, at these; several to choose."
_Strength = Annotated[list[float] | None, typer.Option(help=_STRENGTH)]


def serve(
    checkpoint: _Checkpoint = ["small"],  # noqa: B006  (typer copies it)
    strength: _Strength = None,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="0.0.0.0 for all networks, which needs keys.")] = "127.0.0.1",
    keys: _Keys = None,
    results: _Results = Path("served"),
    device: _Device = None,
    engine: _Engine = "auto",
) -> None:
    """Serve a page and an HTTP API that colour photos and films.

    / is the page. POST /api/colorizer answers as DeepAI's colorizer did; POST /v1/colorize gives the picture itself,
    POST /v1/films takes a film. /openapi.json, /healthz, /metrics. Without keys only this machine is served.
    """
    try:
        import uvicorn

        from colorgan.serve.app import PatientProtocol, create_app
    except ImportError as error:
        raise ValueError(f"serve needs {error.name}: pip install colorgan[serve]") from error
    from colorgan.checkpoint import find_checkpoints
    from colorgan.errors import StoppedError
    from colorgan.serve.keys import VARIABLE, Keys
    from colorgan.serve.service import Service
    from colorgan.training.run_folder import locked

    loaded = Keys.load(keys)
    if not loaded and not _is_loopback(host):
        raise ValueError(f"--host {host} is open to others, so it needs keys: --keys FILE, or {VARIABLE}")
    files = _at_strengths(find_checkpoints(checkpoint), strength or [])
    with _listen(host, port) as sock, locked(results, instead="give this server its own --results"):
        app = create_app(Service(files, results, devices=device or (), engine=engine), loaded)
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            access_log=False,  # it would name results
            log_level="warning",
            limit_concurrency=256,
            timeout_graceful_shutdown=60,
            server_header=False,
        )
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("colorgan.serve").setLevel(logging.INFO)
        if not loaded:
            print("no keys are given: only this machine is served")
        print(f"http://{host}:{sock.getsockname()[1]}", flush=True)
        try:
            uvicorn.Server(config).run([sock])
        except (KeyboardInterrupt, StoppedError):  # raised again by uvicorn behind a clean end
            print("stopped")


def _at_strengths(files: dict[str, Path], strengths: list[float]) -> dict[str, Path]:
    """List checkpoints at several strengths under names that say so; without strengths as they are."""
    if not strengths:
        return files
    from colorgan.colorize.blends import strengthened

    return {
        f"{name}, strength {strength:g}": Path(strengthened(str(file), strength))
        for name, file in files.items()
        for strength in strengths
    }


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ValueError(f"{host}, port {port}: {os.strerror(error.errno or 0)} (--host, --port)") from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
