"""What clients send, and what they get: DeepAI's calls, /v1, keys, limits, restarts."""

import io
import re
import socket
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

requests = pytest.importorskip("requests", reason="pip install colorgan[serve]")

from served import KEY, running  # noqa: E402

from colorgan.media.photo import UnreadablePhotoError, read_pages, read_scan  # noqa: E402
from colorgan.serve.app import create_app  # noqa: E402
from colorgan.serve.keys import Keys  # noqa: E402


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    file = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.fromarray(astronaut()[::4, ::4]).save(file, quality=95)
    return file


@pytest.fixture(scope="module")
def web(photo):
    """A web server with the photo."""
    handler = partial(SimpleHTTPRequestHandler, directory=photo.parent)
    handler_class = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = partial(handler_class, directory=photo.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/photo.jpg"
    server.shutdown()


def luma(picture):
    rgb = np.asarray(picture.convert("RGB"), np.float64)
    return rgb @ [0.299, 0.587, 0.114]


def check_output(answer, photo):
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.keys() == {"id", "output_url"}
    assert re.fullmatch(r"http://.+/job-view-file/" + body["id"] + r"/outputs/output\.jpg", body["output_url"])
    output = Image.open(io.BytesIO(requests.get(body["output_url"]).content))
    assert output.format == "JPEG"
    assert np.abs(luma(output) - luma(Image.open(photo))).mean() < 2
    assert np.ptp(np.asarray(output), axis=2).mean() > 1


def test_the_two_calls_of_the_article(locked_server, photo, web):
    """Ana Filip, "Use AI to colorize photos": with an address, and with a file."""
    r = requests.post(
        f"{locked_server}/api/colorizer",
        data={
            'image': web,
        },
        headers={'api-key': KEY}
    )  # fmt: skip
    check_output(r, photo)
    r = requests.post(
        f"{locked_server}/api/colorizer",
        files={
            'image': open(photo, 'rb'),  # noqa: PTH123, SIM115
        },
        headers={'api-key': KEY}
    )  # fmt: skip
    check_output(r, photo)


def multipart(disposition, content, content_type=""):
    return (
        b"--x\r\nContent-Disposition: form-data; name=\"image\"" + disposition + b"\r\n" + content_type.encode()
        + b"\r\n" + content + b"\r\n--x--\r\n"
    )  # fmt: skip


def test_requests_of_three_clients(locked_server, photo, web):
    """R11baka/deepai-php (Guzzle), zumbov2/colorizer (R's httr) and deepai-js-client (axios), by their descriptions."""
    data = photo.read_bytes()
    forms = [
        ("Api-Key", multipart(b'; filename="photo.jpg"', data, "Content-Type: image/jpeg\r\n")),
        ("api-key", multipart(b"", web.encode())),
        ("API-KEY", multipart(b'; filename="blob"', data, "Content-Type: application/octet-stream\r\n")),
    ]
    for name, body in forms:
        headers = {name: KEY, "Content-Type": "multipart/form-data; boundary=x"}
        check_output(requests.post(f"{locked_server}/api/colorizer", data=body, headers=headers), photo)


@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], KEY + "x", "ä"])
def test_without_a_valid_key_nothing_is_done(locked_server, photo, key):
    headers = {} if key is None else {"api-key": key.encode()}
    answer = requests.post(f"{locked_server}/api/colorizer", files={"image": photo.open("rb")}, headers=headers)
    assert (answer.status_code, list(answer.json())) == (401, ["status"])
    for path in ("/v1/colorize", "/v1/films"):
        assert requests.post(f"{locked_server}{path}", headers=headers).status_code == 401
    assert requests.get(f"{locked_server}/healthz").status_code == 200


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"files": {"image": b""}}, "cannot be read"),
        ({"files": {"image": b"no picture"}}, "cannot be read"),
        ({"files": {"other": b"x"}}, "image is missing"),
        ({"data": {"image": " "}}, "image is missing"),
        ({"data": {"image": "http://10.0.0.1/a.jpg"}}, "not on the public internet"),
        ({"data": {"image": "file:///etc/passwd"}}, "http://"),
        ({"data": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, ""),
        ({"json": {"image": "http://example.org"}}, "image is missing"),
    ],
)
def test_a_bad_picture_gets_err_in_words(server, form, said):
    answer = requests.post(f"{server}/api/colorizer", **form)
    assert answer.status_code == 400
    assert said in answer.json()["err"]
    assert "/tmp" not in answer.text


def test_a_bomb_of_pixels_is_refused_before_it_is_decoded(server):
    file = io.BytesIO()
    Image.new("1", (20000, 20000)).save(file, "PNG")
    assert file.tell() < 100_000
    answer = requests.post(f"{server}/v1/colorize", files={"image": file.getvalue()})
    assert answer.status_code == 400
    assert "too large" in answer.json()["err"]


def test_a_narrow_photo_is_refused_which_the_network_would_see_in_full_length(server):
    file = io.BytesIO()
    Image.new("L", (60_000, 50)).save(file, "PNG")
    answer = requests.post(f"{server}/v1/colorize", files={"image": file.getvalue()})
    assert (answer.status_code, "too narrow" in answer.json()["err"]) == (400, True)


def test_v1_gives_the_picture_at_its_depth_and_in_its_format(server, photo):
    deep = np.linspace(0, 65535, 40 * 50).reshape(40, 50).astype(np.uint16)
    file = io.BytesIO()
    Image.fromarray(deep).save(file, "PNG")
    answer = requests.post(f"{server}/v1/colorize", files={"image": file.getvalue()}, data={"strength": "1"})
    assert answer.headers["content-type"] == "image/png"
    scan = read_scan(answer.content)
    assert scan.pixels.dtype == np.uint16
    assert np.abs(scan.pixels @ [0.299, 0.587, 0.114] - deep).max() <= 1
    assert b"colorized" in scan.metadata.xmp

    answer = requests.post(f"{server}/v1/colorize", files={"image": photo.read_bytes()})
    assert answer.headers["content-type"] == "image/jpeg"


def test_strength_weakens_the_colours(server, photo):
    def chroma(strength):
        picture = io.BytesIO()
        Image.open(photo).save(picture, "PNG")
        answer = requests.post(
            f"{server}/v1/colorize", files={"image": picture.getvalue()}, data={"strength": strength}
        )
        return np.ptp(read_scan(answer.content).pixels.astype(float), axis=2).mean()

    full, half, none = (chroma(strength) for strength in (1, 0.5, 0))
    assert none == 0
    assert half == pytest.approx(full / 2, rel=0.1)
    assert full > 1


@pytest.mark.parametrize(
    "form", [{"size": 5000}, {"size": "x"}, {"strength": 2}, {"strength": "nan"}, {"checkpoint": "other"}]
)
def test_settings_out_of_range_are_refused(server, photo, form):
    answer = requests.post(f"{server}/v1/colorize", files={"image": photo.read_bytes()}, data=form)
    assert answer.status_code in (400, 422)


def test_of_several_pictures_the_first_is_taken_and_that_is_said(server):
    file = io.BytesIO()
    pages = [Image.fromarray(astronaut()[:40, :50]), Image.fromarray(astronaut()[100:140, :50])]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    answer = requests.post(f"{server}/v1/colorize", files={"image": file.getvalue()})
    assert answer.headers["content-type"] == "image/tiff"
    assert "the first" in answer.headers["colorgan-note"]


def test_a_damaged_second_picture_does_not_keep_the_first_back(server):
    file = io.BytesIO()
    pages = [Image.fromarray(astronaut()[:200, :200]), Image.fromarray(astronaut()[200:400, :200])]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    data = bytearray(file.getvalue())
    data[-40_000:-20_000] = bytes(20_000)
    with pytest.raises(UnreadablePhotoError):
        list(read_pages(bytes(data)))
    answer = requests.post(f"{server}/v1/colorize", files={"image": bytes(data)})
    assert (answer.status_code, "the first" in answer.headers["colorgan-note"]) == (200, True)


def raw(server, content, wait=3.0):
    host, _, port = server.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        connection.sendall(content)
        answer = b""
        while part := connection.recv(65536):
            answer += part
            if b"\r\n\r\n" in answer:
                return answer
    return answer


def test_what_is_long_is_refused_before_it_is_read(server):
    head = b"POST /api/colorizer HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    assert b" 413 " in raw(server, head + b"Content-Length: 99000000000\r\n\r\n")
    assert b" 413 " in raw(server, b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n")
    assert b" 413 " in raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000 + b"\r\n\r\n")


def test_a_body_in_chunks_is_bounded_too(make_service, tmp_path):
    with running(create_app(make_service(tmp_path, photo_bytes=100_000), Keys([]))) as address:
        head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        body = (head if not number else b"x" * 1000 for number in range(1000))  # requests sends it in chunks
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = requests.post(f"{address}/v1/colorize", data=body, headers=headers)
        assert (answer.status_code, answer.json()) == (413, {"err": "the request is too long"})


@pytest.mark.parametrize("host", ["evil.example", "localhost@evil", "a b", "", "localhost:99999999", "evil.example:80"])
def test_without_keys_only_this_machines_names_are_taken(server, host):
    """Else a page of another site could reach the server by a name that leads to this machine (DNS rebinding)."""
    answer = raw(server, b"GET /healthz HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
    assert b" 400 " in answer


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "x", "%00", "a" * 2000, "-".join("00000")])
def test_other_ids_lead_nowhere(server, name):
    for path in (f"/job-view-file/{name}/outputs/output.jpg", f"/v1/films/{name}", f"/v1/films/{name}/film.mp4"):
        answer = requests.get(f"{server}{path}")
        assert answer.status_code == 404
        assert "root:" not in answer.text


def test_results_expire(make_service, tmp_path, photo):
    with running(create_app(make_service(tmp_path, keep_seconds=1), Keys([]))) as address:
        body = requests.post(f"{address}/api/colorizer", files={"image": photo.read_bytes()}).json()
        assert requests.get(body["output_url"]).status_code == 200
        time.sleep(1.1)
        assert requests.get(body["output_url"]).status_code == 404


def test_a_full_queue_says_when_to_come_back(make_service, tmp_path, photo):
    service = make_service(tmp_path, waiting=1)
    hold = threading.Event()
    first = service._pool.submit(hold.wait)
    for _ in range(3):
        service._pool.submit(hold.wait)
    with running(create_app(service, Keys([]))) as address:
        post = partial(requests.post, f"{address}/v1/colorize", files={"image": photo.read_bytes()})
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(post()))
        waiting.start()
        while not service.waiting:
            time.sleep(0.01)
        busy = post()
        hold.set()
        waiting.join()
        assert (busy.status_code, int(busy.headers["Retry-After"]) >= 1) == (429, True)
        assert answers[0].status_code == 200
        assert first.result()
        assert post().status_code == 200


def test_counts_name_routes_and_the_log_no_content(server, photo, caplog):
    with caplog.at_level("INFO"):
        requests.post(f"{server}/api/colorizer", files={"image": photo.open("rb")})
        requests.post(f"{server}/api/colorizer", data={"image": "http://secret.example/a.jpg"})
    counts = requests.get(f"{server}/metrics").text
    assert 'colorgan_requests_total{method="POST",route="/api/colorizer",status="200"}' in counts
    assert "POST /api/colorizer 200" in caplog.text
    assert "secret" not in caplog.text
    assert "photo.jpg" not in caplog.text


def test_openapi_names_all_ways(server):
    described = requests.get(f"{server}/openapi.json").json()
    assert {"/api/colorizer", "/v1/colorize", "/v1/films", "/v1/films/{name}", "/healthz"} <= described["paths"].keys()
