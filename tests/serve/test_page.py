"""Gradio, which makes the page, opens no door beside it."""

import json
import os
import time
import uuid

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

requests = pytest.importorskip("requests", reason="pip install colorgan[serve]")

from served import KEY  # noqa: E402

from colorgan.serve import page_files  # noqa: E402
from colorgan.serve.page import _plain  # noqa: E402


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "photo.jpg"
    Image.fromarray(astronaut()[::8, ::8]).save(file, quality=95)
    return file


def event_of(server, elem_id, session=requests):
    """The number of the event that an upload starts."""
    config = session.get(f"{server}/config").json()
    component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == elem_id)
    return next(d["id"] for d in config["dependencies"] if any(t[0] == component for t in d["targets"]))


def ask(server, event, data):
    """Send an event as the page does; returns everything that the queue says."""
    session = uuid.uuid4().hex
    body = {"data": data, "fn_index": event, "session_hash": session, "event_data": None, "trigger_id": None}
    joined = requests.post(f"{server}/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return joined.text
    told = requests.get(f"{server}/gradio_api/queue/data", params={"session_hash": session}, stream=True)
    messages = [json.loads(line[5:]) for line in told.iter_lines() if line.startswith(b"data:")]
    return json.dumps([message for message in messages if message["msg"].startswith("process")])


def file_data(path, **more):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


def upload(server, photo):
    return requests.post(f"{server}/gradio_api/upload", files={"files": photo.open("rb")}).json()[0]


SETTINGS = ["tiny", 32, 1, False]


def test_an_uploaded_photo_is_colored(server, photo):
    said = ask(server, event_of(server, "photo"), [file_data(upload(server, photo)), *SETTINGS])
    assert "photo: 64 x 64 pixels" in said
    shown = [word for word in said.replace('"', " ").split() if word.startswith("http") and "shown.jpg" in word]
    colored = Image.open(requests.get(shown[-1], stream=True).raw)
    assert np.ptp(np.asarray(colored), axis=2).mean() > 1


@pytest.mark.parametrize("kind", ["outside", "traversal", "address", "address as url", "secret", "stream"])
def test_only_uploads_are_read(server, photo, tmp_path, kind):
    inner = f"{server}/healthz"
    uploaded = upload(server, photo)
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(photo.read_bytes())
    sent = {
        "outside": file_data(outside),
        "traversal": file_data(f"{os.path.dirname(uploaded)}/../../{outside}"),  # noqa: PTH120
        "address": file_data(inner),
        "stream": file_data(outside, is_stream=True),
        "address as url": file_data("photo.jpg", url=inner),
        "secret": file_data("/etc/passwd"),
    }[kind]
    said = ask(server, event_of(server, "photo"), [sent, *SETTINGS])
    assert "pixels" not in said
    assert "root:" not in said


def test_addresses_are_not_downloaded_by_gradio(server, monkeypatch):
    from gradio import processing_utils

    called = []
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", lambda *a, **k: called.append(a))
    for elem_id, rest in (("photo", SETTINGS), ("film", ["tiny"])):
        ask(server, event_of(server, elem_id), [file_data("https://example.com/photo.jpg"), *rest])
    assert not called


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=/../../etc/passwd",
        "gradio_api/file=%2e%2e/%2e%2e/etc/passwd",
        "gradio_api/file=http://example.com/",
        "gradio_api/file=%68ttp://example.com/",
        "gradio_api/file/etc/passwd",
        "gradio_api/proxy=http://127.0.0.1/",
        "gradio_api/info",
        "gradio_api/openapi.json",
        "gradio_api/runs",
        "gradio_api/queue/status",
        "gradio_api/deep_link?session_hash=x",
        "gradio_api/custom_component/1/client/component/x",
        "gradio_api/dev/reload",
        "monitoring",
        "monitoring/summary",
        "static/../../../../etc/passwd",
        "assets/..%2f..%2f..%2f..%2fetc/passwd",
    ],
)
def test_what_the_page_does_not_need_is_closed(server, path):
    request = requests.Request("GET", server).prepare()
    request.url = f"{server}/{path}"  # as it is: requests would shorten it
    with requests.Session() as session:
        answer = session.send(request)
    assert answer.status_code in (400, 403, 404), answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path", ["run/show", "api/show", "call/show", "call/v2/show", "component_server", "process_recording", "vibe-edit"]
)
def test_no_other_way_to_call_the_functions(server, path):
    assert requests.post(f"{server}/gradio_api/{path}", json={"data": [], "fn_index": 0}).status_code == 404


def test_without_a_key_nothing_of_the_page_works(locked_server, photo):
    for method, path in (
        ("get", "config"),
        ("post", "gradio_api/queue/join"),
        ("get", "gradio_api/queue/data?session_hash=x"),
        ("get", "gradio_api/file=/etc/passwd"),
        ("get", "gradio_api/upload_progress?upload_id=x"),
    ):
        answer = getattr(requests, method)(f"{locked_server}/{path}", **({"json": {}} if method == "post" else {}))
        assert answer.status_code == 401, (path, answer.status_code)
    assert requests.post(f"{locked_server}/gradio_api/upload", files={"files": photo.open("rb")}).status_code == 401
    assert "gradio_api/file=" not in requests.get(locked_server).text
    wrong = requests.post(f"{locked_server}/login", data={"username": "x", "password": "wrong"})
    assert wrong.status_code == 400
    with requests.Session() as session:
        assert session.post(f"{locked_server}/login", data={"username": "x", "password": KEY}).status_code == 200
        assert session.get(f"{locked_server}/config").status_code == 200


def test_pages_of_others_may_not_use_it(server, locked_server):
    """Also with keys: a browser would send the cookie along."""
    for address in (server, locked_server):
        for origin in ("https://example.com", "http://localhost:1", "null"):
            headers = {"Origin": origin}
            assert requests.get(f"{address}/healthz", headers=headers).status_code == 400
            assert requests.post(f"{address}/gradio_api/queue/join", json={}, headers=headers).status_code == 400
        assert requests.get(f"{address}/healthz", headers={"Origin": address}).status_code == 200
    assert requests.get(f"{server}/healthz", headers={"Host": "example.com"}).status_code == 400


def test_a_page_may_load_only_from_here(server):
    answer = requests.get(server)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_uploads_are_bounded(server):
    headers = {"Content-Length": str(10**9), "Content-Type": "multipart/form-data; boundary=x"}
    assert requests.post(f"{server}/gradio_api/upload", data=b"", headers=headers, timeout=5).status_code == 413


def test_files_of_the_page_expire_and_are_bounded():
    kept, old, older, new = (page_files.new_file(name) for name in ("kept", "old", "older", "new"))
    for age, file in ((9000, kept), (9000, old), (100, older), (0, new)):
        file.write_bytes(bytes(1000))
        os.utime(file, (time.time() - age,) * 2)
    others = {path for path in page_files.page_folder().rglob("*") if path not in (old, older, new)}
    page_files.clean(keep_seconds=3600, max_bytes=1500, keep=others)
    assert [file.exists() for file in (kept, old, older, new)] == [True, False, False, True]
    assert page_files.page_folder().stat().st_mode & 0o077 == 0


def test_names_are_plain_text():
    assert _plain("a_b <img> *c* [x](y) ü") == r"a\_b \<img\> \*c\* \[x\]\(y\) ü"
