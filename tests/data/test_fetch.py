"""Photos from addresses: allowed hosts alone, public addresses alone, so many bytes at most."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from colorgan.data import fetch as module
from colorgan.data.fetch import fetch, is_public
from colorgan.media.photo import UnreadablePhotoError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "198.18.0.1", "::", "::1", "::7f00:1", "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_addresses_inside_a_network_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


@pytest.fixture
def server(monkeypatch):
    """A server that counts as public here: 127.0.0.1, and nothing else."""
    answers = {"/photo": (200, {}, b"bytes of a photo"), "/a b?c=d e": (200, {}, b"quoted")}
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, headers, body = answers.get(self.path.replace("%20", " "), (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for _ in range(200 if self.path == "/endless" else 1):
                try:
                    self.wfile.write(body)
                except OSError:
                    return

        def log_message(self, *_):
            pass

    monkeypatch.setattr(module, "is_public", lambda address: address == "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=running.serve_forever, daemon=True).start()
    running.asked, running.answers = asked, answers
    yield running
    running.shutdown()
    running.server_close()


def test_an_allowed_host_is_asked_and_followed_to_allowed_hosts(server):
    place = f"http://127.0.0.1:{server.server_port}"
    server.answers["/moved"] = (302, {"Location": "/photo"}, b"")
    assert fetch(f"{place}/moved", ["127.0.0.1"]) == b"bytes of a photo"
    assert fetch(f"{place}/a b?c=d e", ["127.0.0.1"]) == b"quoted"
    with pytest.raises(UnreadablePhotoError, match="404"):
        fetch(f"{place}/none", ["127.0.0.1"])


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "http://localhost:{port}/photo",
            r"localhost is not among the hosts.*\['127.0.0.1', '127.0.0.2'\].*data\.hosts",
        ),
        ("http://127.0.0.2:{port}/photo", "127.0.0.2 is at 127.0.0.2, which is no public address"),
        ("file:///etc/hostname", "neither http nor https"),
        ("/moved", "more than 3 times"),
    ],
)
def test_each_redirect_is_checked(server, location, message):
    port = server.server_port
    server.answers["/moved"] = (301, {"Location": location.format(port=port)}, b"")
    with pytest.raises(UnreadablePhotoError, match=message):
        fetch(f"http://127.0.0.1:{port}/moved", ["127.0.0.1", "127.0.0.2"])
    assert set(server.asked) == {"/moved"}


def test_an_answer_without_end_is_cut(server):
    server.answers["/endless"] = (200, {}, bytes(2**20))
    with pytest.raises(UnreadablePhotoError, match="holds more than 64 MiB"):
        fetch(f"http://127.0.0.1:{server.server_port}/endless", ["127.0.0.1"])


def test_a_host_that_does_not_answer_is_said(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(UnreadablePhotoError, match=r"cannot be fetched: .*refused"):
        fetch(f"http://127.0.0.1:{server.server_port}/photo", ["127.0.0.1"])
