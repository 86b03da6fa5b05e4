"""Download what an address names, but only from the public internet.

A server that opens addresses for strangers must not open its own network to them (server-side request forgery). Each
name is resolved once and the connection goes to the address that was checked, so a name that answers otherwise the
second time gains nothing; each redirect is checked like the first address.
"""

import http.client
import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Event, Timer
from urllib.parse import SplitResult, urljoin, urlsplit

from colorgan.serve.refusals import RefusedError, TooLongError

_REDIRECTS, _MOST_REDIRECTS = (301, 302, 303, 307, 308), 3
_PORTS = {"http": 80, "https": 443}
# Special ones that Python calls global: IETF's own, relays of 6to4; and IPv6 addresses that carry one of IPv4, which a
# gateway may unwrap: compatible, NAT64, 6to4, Teredo
_SPECIAL = ("192.0.0.0/24", "192.88.99.0/24", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
_CLOSED = [ip_network(net) for net in _SPECIAL]

Resolve = Callable[[str, int], list[str]]


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, and no way round to another."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if any(ip in net for net in _CLOSED) or (isinstance(ip, IPv6Address) and ip.is_site_local):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def resolve(host: str, port: int) -> list[str]:
    """List the IP addresses of a name."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def fetch(
    address: str,
    *,
    max_bytes: int,
    seconds: float = 20.0,
    resolve: Resolve = resolve,
    allowed: Callable[[str], bool] = is_public,
) -> bytes:
    """Download a file by GET.

    Args:
        address: `http://` or `https://`.
        max_bytes: what is longer is refused.
        seconds: for one request in all, however slowly it answers.
        resolve: gives the IP addresses of a name.
        allowed: tells whether an IP address may be reached.

    Raises:
        RefusedError: it is no such address, is not public, or does not answer with a file; says why.
        TooLongError: the file is too long.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        parts = _split(address)
        place = _checked(parts, resolve, allowed)
        answer = _get(parts, place, max_bytes, seconds)
        if isinstance(answer, bytes):
            return answer
        address = urljoin(address, answer)
    raise RefusedError(f"the address leads on more than {_MOST_REDIRECTS} times")


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address.strip())
        parts.hostname and parts.hostname.encode("idna")
        port = parts.port
    except ValueError as error:
        raise RefusedError("the address cannot be read") from error
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise RefusedError("the address must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise RefusedError("the address must not hold a user name or a password")
    return parts


def _checked(parts: SplitResult, resolve: Resolve, allowed: Callable[[str], bool]) -> str:
    """Resolve the host once; all its addresses must be allowed, the first is taken."""
    try:
        places = resolve(str(parts.hostname), parts.port or _PORTS[parts.scheme])
    except (OSError, UnicodeError) as error:
        raise RefusedError("the host of the address cannot be found") from error
    if not places or not all(allowed(place) for place in places):
        raise RefusedError("the address is not on the public internet")
    return places[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to one IP address, whatever the host's name says now."""

    def __init__(self, parts: SplitResult, place: str, seconds: float) -> None:
        super().__init__(str(parts.hostname), parts.port or _PORTS[parts.scheme], timeout=seconds)
        self._place, self._secure = place, parts.scheme == "https"
        self.plain: socket.socket | None = None  # what is under TLS, and stays when the answer has taken `sock`
        if self._secure:
            self.default_port = 443  # so that the Host header has no needless port

    def connect(self) -> None:
        """Connect to the checked address; TLS still proves the name."""
        self.plain = socket.create_connection((self._place, self.port), self.timeout)
        self.sock = self.plain
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.plain, server_hostname=self.host)


def _get(parts: SplitResult, place: str, max_bytes: int, seconds: float) -> bytes | str:
    """Send one request: the body, or where a redirect leads."""
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    with closing(_Pinned(parts, place, seconds)) as connection:
        late = Event()
        patience = Timer(seconds, _shut, (connection, late))
        patience.daemon = True
        patience.start()
        try:
            headers = {"User-Agent": "colorgan", "Accept": "image/*", "Accept-Encoding": "identity"}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status in _REDIRECTS and (location := answer.getheader("Location")):
                return location
            if answer.status != 200:
                raise RefusedError(f"the address answers with status {answer.status}")
            body = answer.read(max_bytes + 1)
            if len(body) > max_bytes or int(answer.getheader("Content-Length") or 0) > max_bytes:
                raise TooLongError(f"what is at the address is longer than {max_bytes / 1e6:g} MB")
            if answer.length or late.is_set():  # the connection ended before the file did
                raise RefusedError("the address does not answer in time, or not to the end")
            return body
        except RefusedError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RefusedError("the address does not answer as a web server does, or not in time") from error
        finally:
            patience.cancel()


def _shut(connection: _Pinned, late: Event) -> None:
    """End what waits on a connection in another thread."""
    late.set()
    if connection.plain is not None:
        with suppress(OSError):
            connection.plain.shutdown(socket.SHUT_RDWR)
