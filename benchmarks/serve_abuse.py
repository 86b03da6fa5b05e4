"""Send a server what it should not get: 500 damaged and hostile requests, from several clients at once.

    python benchmarks/serve_abuse.py CHECKPOINT [--count 500] [--seed 0]

A real `colorgan serve` with a key, in a process of its own. Beside it, on all loopback addresses, a web server that
must never be reached: it counts. (That names which change their answer and redirects are checked again cannot be tried
against a server that refuses this machine from the first; tests/serve/test_fetch.py does.) No request may be answered
by a 5xx or not at all, but those that break off themselves; memory grows by less than 2 GiB; and the next good request
works.
"""

import argparse
import io
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.data import astronaut

_KEY = secrets.token_urlsafe()
_ROOM = 2048  # MiB that the memory may grow by: a batch of 2 megapixels takes one GiB, photos that are read another
_HOSTS = (
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0"),
    *("0.0.0.0", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fc00::1]", "10.0.0.1", "172.16.0.1"),
    *("192.168.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.1"),
    *("127.0.0.1%00.example", "user:pass@127.0.0.1", "example@127.0.0.1", "127.0.0.1#@example.org", "[::1%25lo]"),
)  # fmt: skip


def main() -> None:
    """Send, and print a table; exit code 1 if something broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kinds = {
        kind.__name__: kind
        for kind in (
            damaged, wrong_file, pixel_bomb, zip_bomb, inner_address, odd_address, broken_form, path_trick,
            wrong_method, huge_head, wrong_host, slow_head, slow_body, long_body, no_key, bad_setting,
            bad_film, cut_connection,
        )
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        canary, hits = start_canary()
        process, address = start_server(options.checkpoint, Path(folder))
        before = _memory(process.pid, "VmRSS")
        statuses: dict[str, Counter[str]] = defaultdict(Counter)

        def send(number: int) -> None:
            name = list(kinds)[number % len(kinds)]
            statuses[name][kinds[name](address, random.Random(f"{options.seed} {number}"), canary)] += 1

        order = list(range(options.count))
        rng.shuffle(order)
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(send, order))
        good = [_post(address, {"image": _photo(rng)}) for _ in range(3)]
        peak = _memory(process.pid, "VmHWM")
        process.terminate()
        code = process.wait()
    table = Table("kind", "requests", "answers")
    for name in kinds:
        counts = ", ".join(f"{status} x {n}" for status, n in sorted(statuses[name].items()))
        table.add_row(name, str(sum(statuses[name].values())), counts)
    Console().print(table)
    errors = sum(n for counts in statuses.values() for status, n in counts.items() if status.startswith(("5", "none")))
    print(
        f"inner addresses reached: {len(hits)}; answers of 5xx or none: {errors}; good requests after it: {good}; "
        f"memory {before:.0f} -> at most {peak:.0f} MiB; exit code of the server {code}"
    )
    sys.exit(bool(hits or errors or good != ["200"] * 3 or code or peak > before + _ROOM))


def start_canary() -> tuple[int, list[str]]:
    """Listen on all addresses of this machine; what comes is counted."""
    hits: list[str] = []

    class Canary(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6  # and IPv4, mapped

    server = Server(("::", 0), Canary)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port, hits


def start_server(checkpoint: str, folder: Path) -> tuple["subprocess.Popen[str]", str]:
    """Run `colorgan serve` on a free port."""
    (folder / "keys").write_text(_KEY)
    words = ["serve", "-c", checkpoint, "--port", "0", "--keys", folder / "keys", "--results", folder / "results"]
    process = subprocess.Popen([sys.executable, "-m", "colorgan", *map(str, words)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = next(line.strip() for line in process.stdout if line.startswith("http"))
    while _status(lambda: httpx.get(f"{address}/healthz")) != "200":
        time.sleep(0.1)
    return process, address


def _memory(pid: int, key: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def _status(send: Callable[[], httpx.Response]) -> str:
    try:
        return str(send().status_code)
    except httpx.HTTPError as error:
        return f"none ({type(error).__name__})"


def _post(address: str, files: dict[str, object] | None = None, path: str = "/v1/colorize", **more: object) -> str:
    more.setdefault("headers", {"api-key": _KEY})
    return _status(lambda: httpx.post(f"{address}{path}", files=files, timeout=120, **more))  # type: ignore[arg-type]


def _raw(address: str, *parts: bytes, pause: float = 0.0, wait: float = 40.0) -> str:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            answer = connection.recv(4096)
        except TimeoutError:
            return "none (waits for ever)"
        except OSError:
            return "closed"
    return answer.split()[1].decode() if answer else "closed"


def _photo(rng: random.Random, kind: str = "JPEG", size: int = 96) -> bytes:
    left, top = rng.randrange(400), rng.randrange(400)
    file = io.BytesIO()
    Image.fromarray(astronaut()[top : top + size, left : left + size]).save(file, kind)
    return file.getvalue()


def _head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"api-key: {_KEY}", *lines, "", ""]).encode()


def damaged(address: str, rng: random.Random, _: int) -> str:
    """A photo with changed or missing bytes."""
    data = bytearray(_photo(rng, rng.choice(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM"])))
    for _ in range(rng.randrange(1, 30)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    cut = rng.choice([len(data), rng.randrange(len(data))])
    return _post(address, {"image": bytes(data[:cut])})


def wrong_file(address: str, rng: random.Random, _: int) -> str:
    """What is no picture."""
    things = [b"", b"\0" * 1000, b"GIF89a", b"<svg onload=alert(1)>", b"%PDF-1.4", b"PK\3\4", rng.randbytes(5000)]
    return _post(
        address, {"image": (rng.choice(["a.jpg", "../../x", "a\0b", "é" * 300]), rng.choice(things), "image/jpeg")}
    )


def pixel_bomb(address: str, rng: random.Random, _: int) -> str:
    """Few bytes, many pixels."""
    file = io.BytesIO()
    shape = rng.choice([(20_000, 20_000), (12_000, 20_000), (195_000, 256), (60_000, 17)])  # large, and narrow
    Image.new("1", shape).save(file, rng.choice(["PNG", "TIFF"]))
    return _post(address, {"image": file.getvalue()})


def zip_bomb(address: str, rng: random.Random, _: int) -> str:
    """A PNG whose text is packed a thousandfold."""
    packed = zlib.compress(b"a" * 100_000_000, 9)
    chunk = b"zTXt" + b"k\0\0" + packed
    png = _photo(rng, "PNG")
    whole = png[:33] + len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + png[33:]
    return _post(address, {"image": whole})


def inner_address(address: str, rng: random.Random, canary: int) -> str:
    """An address of this machine or network."""
    url = f"{rng.choice(['http', 'https'])}://{rng.choice(_HOSTS)}:{canary}/{rng.random()}"
    return _post(address, path=rng.choice(["/api/colorizer"]), data={"image": url})


def odd_address(address: str, rng: random.Random, canary: int) -> str:
    """What is no web address."""
    odd = [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1:6379/_INFO",
        "data:image/png;base64,AAAA",
        "//x",
    ]
    odd += [
        "http://",
        "http:///x",
        "http://[",
        "http://a:b",
        "\r\nHost: x",
        "http://x\r\nX: y/",
        "x" * 100_000,
        "http://é.é/",
    ]
    return _post(address, path="/api/colorizer", data={"image": rng.choice(odd).replace("6379", str(canary))})


def broken_form(address: str, rng: random.Random, _: int) -> str:
    """A multipart body that cannot be read."""
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
    bodies = [body, b"--y--", b"", body[:20], body * 50, b"--x\r\n" + b"A: b\r\n" * 2000, rng.randbytes(2000)]
    types = [
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 500,
        "a/b",
    ]
    headers = {"api-key": _KEY, "content-type": rng.choice(types)}
    return _post(
        address, path=rng.choice(["/v1/colorize", "/api/colorizer"]), content=rng.choice(bodies), headers=headers
    )


def path_trick(address: str, rng: random.Random, _: int) -> str:
    """Ids and paths that lead elsewhere."""
    tricks = [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e",
        "....//",
        "%00",
        "a" * 5000,
        "00000000-0000-0000-0000-000000000000",
    ]
    forms = [
        "/job-view-file/{}/outputs/output.jpg",
        "/v1/films/{}",
        "/v1/films/{}/film.mp4",
        "/gradio_api/file={}",
        "/{}",
    ]
    path = rng.choice(forms).format(rng.choice([*tricks, "/etc/passwd", "keys"]))
    return _raw(address, f"GET {path} HTTP/1.1\r\nHost: x\r\napi-key: {_KEY}\r\n\r\n".encode())


def wrong_method(address: str, rng: random.Random, _: int) -> str:
    """Methods that are not there."""
    method = rng.choice(["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "GET", "X" * 50])
    return _raw(address, f"{method} /v1/colorize HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def huge_head(address: str, rng: random.Random, _: int) -> str:
    """A head of 100 kB, or of many lines."""
    lines = [b"X: " + b"x" * 100_000] if rng.random() < 0.5 else [b"X%d: y" % n for n in range(5000)]
    return _raw(address, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")


def wrong_host(address: str, rng: random.Random, _: int) -> str:
    """A `Host` that is none."""
    host = rng.choice(["", "a b", "x/../y", "x:y", "x" * 3000, "é", "evil@x", "x\r\nX: y"])
    return _raw(address, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


def slow_head(address: str, rng: random.Random, _: int) -> str:
    """A head that never ends; the server must hang up."""
    return _raw(address, b"GET / HTTP/1.1\r\nHo", b"st", b": x\r\n", pause=0.5)


def slow_body(address: str, rng: random.Random, _: int) -> str:
    """A body that never ends; the server must hang up."""
    head = _head("/v1/colorize", "Content-Length: 1000", "Content-Type: multipart/form-data; boundary=x")
    return _raw(address, head, b"--x", pause=0.5, wait=90)


def long_body(address: str, rng: random.Random, _: int) -> str:
    """More bytes than are allowed, said or not."""
    if rng.random() < 0.5:
        return _raw(address, _head("/v1/colorize", f"Content-Length: {rng.choice([10**8, 10**12, 10**30])}"))
    head = _head("/healthz", "Transfer-Encoding: chunked")
    return _raw(address, head, *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 40)


def no_key(address: str, rng: random.Random, _: int) -> str:
    """No key, or a wrong one."""
    key = rng.choice(["", "x", _KEY[:-1], _KEY.upper(), "x" * 10_000])
    return _post(address, {"image": _photo(rng)}, headers={"api-key": key})


def bad_setting(address: str, rng: random.Random, _: int) -> str:
    """Settings out of range."""
    settings = [{"size": "1e9"}, {"size": "-1"}, {"strength": "nan"}, {"strength": "inf"}, {"checkpoint": "../x"}]
    return _post(address, {"image": _photo(rng)}, data=rng.choice(settings))


def bad_film(address: str, rng: random.Random, _: int) -> str:
    """What is no film, or a damaged one."""
    data = rng.choice([b"", rng.randbytes(3000), b"\0\0\0\x20ftypisom" + rng.randbytes(500), _photo(rng)])
    return _post(address, {"film": data}, path="/v1/films")


def cut_connection(address: str, rng: random.Random, _: int) -> str:
    """A client that leaves in the middle."""
    host, _colon, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            _head("/v1/colorize", "Content-Length: 1000", "Content-Type: multipart/form-data; boundary=x")
        )
        connection.sendall(np.random.default_rng(0).bytes(rng.randrange(900)))
    return "left"


if __name__ == "__main__":
    main()
