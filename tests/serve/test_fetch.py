"""Only the public internet is reached, whatever an address looks like, says later, or leads to."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from colorgan.serve.fetch import fetch, is_public
from colorgan.serve.refusals import RefusedError, TooLongError

PRIVATE = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0"),
    *("fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:7f00:1::", "2001:db8::1"),
]
# The same host in forms that resolvers and browsers understand
FORMS = ["localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "0"]


@pytest.mark.parametrize("address", PRIVATE)
def test_inner_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_outer_addresses_are_public(address):
    assert is_public(address)


class Handler(BaseHTTPRequestHandler):
    """Answers by the path."""

    seen = 0

    def do_GET(self):
        Handler.seen += 1
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "to":
            self.send_response(302)
            self.send_header("Location", rest.replace("PORT", str(self.server.server_port)))
            self.end_headers()
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.1)
        elif kind == "short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x" * 10)
        elif kind == "missing":
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * int(kind))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def here(place):
    return place == "127.0.0.1"


@pytest.mark.parametrize("host", FORMS)
def test_no_form_of_this_machine_is_reached(web, host):
    before = Handler.seen
    with pytest.raises(RefusedError, match=r"public internet|cannot be found"):
        fetch(f"http://{host}:{web.rpartition(':')[2]}/10", max_bytes=100)
    assert Handler.seen == before


def test_a_name_that_changes_its_answer_gains_nothing(web):
    """The first answer is public, the next would be this machine: the connection goes to what was checked."""
    answers = [["192.0.2.1"], ["127.0.0.1"]]
    asked = []

    def resolve(host, port):
        asked.append(host)
        return answers[min(len(asked), 2) - 1]

    before = Handler.seen
    with pytest.raises(RefusedError, match="does not answer"):
        fetch(
            f"http://rebind.example:{web.rpartition(':')[2]}/10", max_bytes=100, seconds=0.3, resolve=resolve,
            allowed=lambda place: place != "127.0.0.1",
        )  # fmt: skip
    assert asked == ["rebind.example"]
    assert Handler.seen == before


def test_one_inner_address_among_several_is_enough_to_refuse():
    with pytest.raises(RefusedError, match="public internet"):
        fetch("http://mixed.example/", max_bytes=1, resolve=lambda *_: ["1.1.1.1", "10.0.0.1"])


def test_redirects_are_checked_again(web):
    allowed = {"127.0.0.1": True}

    def resolve(host, port):
        return [{"outer.example": "127.0.0.1", "inner.example": "10.0.0.1"}.get(host, host)]

    def get(path):
        return fetch(f"http://outer.example:{web.rpartition(':')[2]}/{path}", max_bytes=100, resolve=resolve,
                     allowed=lambda place: allowed.get(place, False))  # fmt: skip

    assert get("to/http://outer.example:PORT/10") == b"x" * 10
    with pytest.raises(RefusedError, match="public internet"):
        get("to/http://inner.example/x")
    with pytest.raises(RefusedError, match="public internet"):
        get("to/http://169.254.169.254/latest/meta-data")
    with pytest.raises(RefusedError, match="http://"):
        get("to/file:///etc/passwd")
    with pytest.raises(RefusedError, match="more than 3"):
        get("to/to/to/to/to/10".replace("to/", "to//"))


@pytest.mark.parametrize(
    "address",
    ["", "x", "ftp://a/b", "file:///etc/passwd", "http://", "http://a:b@c/", "http://[::1", "http://a:99999/", "gopher://a"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(address):
    with pytest.raises(RefusedError, match="the address"):
        fetch(address, max_bytes=1)


def test_length_and_time_are_bounded(web):
    assert len(fetch(f"http://{web}/100", max_bytes=100, allowed=here)) == 100
    with pytest.raises(TooLongError, match="longer than"):
        fetch(f"http://{web}/101", max_bytes=100, allowed=here)
    began = time.monotonic()
    with pytest.raises(RefusedError):  # a byte every now and then keeps no thread
        fetch(f"http://{web}/slow", max_bytes=1000, seconds=0.5, allowed=here)
    assert time.monotonic() - began < 5
    with pytest.raises(RefusedError):
        fetch(f"http://{web}/short", max_bytes=1000, allowed=here)
    with pytest.raises(RefusedError, match="status 404"):
        fetch(f"http://{web}/missing", max_bytes=1000, allowed=here)
