"""`colorgan serve` as it is typed: a real process, its signals, and mistakes."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_checkpoint

requests = pytest.importorskip("requests", reason="pip install colorgan[serve]")
pytest.importorskip("gradio", reason="pip install colorgan[serve]")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint.write(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


def test_it_serves_until_it_is_stopped(checkpoint, command, tmp_path):
    words = ["serve", "-c", checkpoint, "--port", "0", "--results", tmp_path / "served", "--engine", "torch"]
    process = subprocess.Popen(
        [sys.executable, "-m", "colorgan", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "only this machine" in process.stdout.readline()
    address = process.stdout.readline().strip()
    assert requests.get(f"{address}/healthz", timeout=60).json() == {"status": "ok"}
    code, _, err = command(*words)
    assert (code, "another process is at work in" in err, "--results" in err) == (2, True, True)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.strip()) == (0, "stopped")
    assert re.fullmatch(r"\S+ \S+ GET /healthz 200 \d+ ms", err.strip())  # the log, which names no content


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "needs keys: --keys FILE, or COLORGAN_API_KEYS"),
        (["--keys", "missing"], "no file of keys missing (--keys)"),
        (["-c", "missing.safetensors"], "no checkpoint missing.safetensors"),
        (["--host", "192.0.2.1", "--keys", "KEYS"], "--host, --port"),
        (["--keys", "SHORT"], "fewer than 16 characters"),
        (["--keys", "EMPTY"], "holds no keys"),
    ],
)
def test_mistakes_get_one_line(command, checkpoint, tmp_path, words, said):
    for name, text in (("KEYS", "x" * 20), ("SHORT", "abc"), ("EMPTY", "\n")):
        (tmp_path / name).write_text(text)
    typed = [str(tmp_path / word) if word.isupper() else word for word in words]
    given = [] if "-c" in words else ["-c", checkpoint]
    code, _, err = command("serve", "--port", "0", "--results", tmp_path / "served", *given, *typed)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_port_in_use_is_named(command, checkpoint, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = command("serve", "-c", checkpoint, "--port", port, "--results", tmp_path / "served")
    assert code == 2
    assert f"127.0.0.1, port {port}: Address already in use (--host, --port)" in err
