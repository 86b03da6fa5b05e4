"""Load a server: many clients at once, each answer checked against its own photo.

    python benchmarks/serve_load.py CHECKPOINT PHOTOS [--clients 16] [--photos 1000] [--engine auto]

A real `colorgan serve` in a process of its own, over loopback, with `POST /v1/colorize`. Photos are brought to a
shorter side of 512 px (JPEG, quality 90) before. An answer is right if its luma is near its own photo's, and nearer
than to three others'. Beside it the same photos are read, colorized and written in this process, without HTTP, in as
many threads as there are clients: the engine alone. Then photos are sent in DeepAI's way, and the server is killed
(SIGKILL) in the middle and started again: what was answered before must still be there.
"""

import argparse
import io
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image

from colorgan.checkpoint import find_checkpoint
from colorgan.serve.service import Service

_SIDE, _NEAR = 512, 3.0  # levels: two times JPEG
_KEY = secrets.token_urlsafe()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("source", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    photos = read_photos(options.source, options.photos)
    print(f"{len(photos)} photos, {sum(map(len, photos)) / len(photos) / 1000:.0f} kB each; {options.clients} clients")
    with tempfile.TemporaryDirectory() as folder:
        alone = engine_alone(options, photos, Path(folder))
        print(f"engine alone: {alone:.1f} images/s")
        with server(options, Path(folder)) as (address, _):
            served = load(address, photos, options.clients)
        print(f"share of the engine alone: {served / alone:.2f}")
        kill_and_restart(options, photos[: len(photos) // 5], Path(folder))


def read_photos(source: Path, count: int) -> list[bytes]:
    """Bring photos to one size, as JPEG; again from the first where there are too few."""
    made = []
    for path in islice(cycle(sorted(source.rglob("*.jpg"))), count):
        with Image.open(path) as image:
            scale = _SIDE / min(image.size)
            resized = image.convert("RGB").resize([round(side * scale) for side in image.size])
        file = io.BytesIO()
        resized.save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made


def engine_alone(options: argparse.Namespace, photos: list[bytes], folder: Path) -> float:
    """Colour all photos in this process, without HTTP; images a second."""
    service = Service({"x": find_checkpoint(options.checkpoint)}, folder / "alone", engine=options.engine)
    with ThreadPoolExecutor(options.clients, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        work = lambda photo: service.colorize(photo).content  # noqa: E731
        list(pool.map(work, photos[:20]))
        started = time.monotonic()
        list(pool.map(work, photos))
        seconds = time.monotonic() - started
    service.close()
    return len(photos) / seconds


@contextmanager
def server(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `colorgan serve` on a free port."""
    keys = folder / "keys"
    keys.write_text(_KEY)
    words = ["serve", "-c", options.checkpoint, "--port", "0", "--keys", keys, "--results", folder / "results"]
    words += ["--engine", options.engine]
    process = subprocess.Popen(
        [sys.executable, "-m", "colorgan", *map(str, words)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("http"):
                break
        address = line.strip()
        with httpx.Client() as client:
            while not _is_up(client, address):
                time.sleep(0.05)
        yield address, process
    finally:
        process.terminate()
        process.wait()


def _is_up(client: httpx.Client, address: str) -> bool:
    try:
        return client.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def load(address: str, photos: list[bytes], clients: int) -> float:
    """Send all photos from several clients; images a second."""
    times: list[float] = []
    wrong: list[int] = []
    again = 0
    lock = threading.Lock()
    local = threading.local()

    def send(number: int) -> bytes:
        nonlocal again
        if not hasattr(local, "client"):
            local.client = httpx.Client(timeout=120, headers={"api-key": _KEY})
        started = time.monotonic()
        while True:
            answer = local.client.post(f"{address}/v1/colorize", files={"image": photos[number]})
            if answer.status_code != 429:
                break
            with lock:
                again += 1
            time.sleep(float(answer.headers["Retry-After"]))
        answer.raise_for_status()
        times.append(time.monotonic() - started)
        return answer.content

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(send, range(min(20, len(photos)))))
        times.clear()
        started = time.monotonic()
        answers = list(pool.map(send, range(len(photos))))
        seconds = time.monotonic() - started
    for number, answer in enumerate(answers):
        distances = [_distance(answer, photos[(number + other) % len(photos)]) for other in (0, 1, 2, 3)]
        if min(distances) != distances[0] or distances[0] > _NEAR:
            wrong.append(number)
    print(
        f"served: {len(photos) / seconds:.1f} images/s; median {1000 * np.median(times):.0f} ms, 99th percentile "
        f"{1000 * np.percentile(times, 99):.0f} ms; {len(photos) - len(answers)} lost, {len(wrong)} swapped or wrong, "
        f"{again} were told to come again"
    )
    return len(photos) / seconds


def _distance(answer: bytes, photo: bytes) -> float:
    ours, theirs = (np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32) for data in (answer, photo))
    return float(np.abs(ours - theirs).mean()) if ours.shape == theirs.shape else float("inf")


def kill_and_restart(options: argparse.Namespace, photos: list[bytes], folder: Path) -> None:
    """Kill the server while it works; what it had answered must be there after a restart."""
    answered: list[tuple[str, bytes]] = []
    broken = 0

    def send(address: str, photo: bytes) -> None:
        nonlocal broken
        try:
            answer = httpx.post(
                f"{address}/api/colorizer", files={"image": photo}, headers={"api-key": _KEY}, timeout=60
            )
            answered.append((answer.json()["output_url"], photo))
        except httpx.TransportError:
            broken += 1

    with server(options, folder) as (address, process), ThreadPoolExecutor(options.clients) as pool:
        waiting = [pool.submit(send, address, photo) for photo in photos]
        while len(answered) < len(photos) // 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        for future in waiting:
            future.result()
    kept = 0
    with server(options, folder) as (address, _):
        for url, photo in answered:
            answer = httpx.get(re.sub(r"http://[^/]+", address, url))
            kept += answer.status_code == 200 and _distance(answer.content, photo) < _NEAR
    print(f"killed: {len(answered)} were answered before, {kept} of them are there after a restart; {broken} broke off")


if __name__ == "__main__":
    main()
