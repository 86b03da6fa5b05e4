"""Fetch photos from hosts that the user allowed, and from nowhere inside the network of this machine."""

import http.client
import io
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Protocol
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from colorgan.media.photo import UnreadablePhotoError

LARGEST = 64 * 2**20  # bytes of an undecoded photo; of 100 megapixels, JPEG takes up to 60 MB
_CHUNK = 4096  # zipfile decompresses so many bytes at once, and bzip2 makes up to 20,000 times as many of them
_SECONDS = 30.0
_REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)
_SAFE = "/%:@!$&'()*+,;=~-._?"  # what an address may have in its path and query; all else is quoted


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_bounded(file: _Readable, name: str) -> bytes:
    """Read a file whole; it is let go as soon as it turns out too large, whatever its header says.

    Raises:
        UnreadablePhotoError: it holds more than `LARGEST` bytes.
    """
    content = io.BytesIO()
    while chunk := file.read(_CHUNK):
        content.write(chunk)
        if content.tell() > LARGEST:
            raise UnreadablePhotoError(f"{name} holds more than {LARGEST >> 20} MiB")
    return content.getvalue()


def fetch(address: str, hosts: Sequence[str]) -> bytes:
    """Fetch a photo by http or https. Each redirect is checked like the address itself.

    Args:
        address: as a data set gives it.
        hosts: that may be asked.

    Raises:
        UnreadablePhotoError: the host is not allowed or is not public, or does not give the photo.
    """
    place = address
    for _ in range(_REDIRECTS + 1):
        try:
            parts = _allowed(place, hosts)
            with closing(_connect(parts)) as connection:
                target = quote(parts.path or "/", safe=_SAFE) + (
                    f"?{quote(parts.query, safe=_SAFE)}" * bool(parts.query)
                )
                host = parts.netloc.rpartition("@")[2]
                connection.request("GET", target, headers={"Host": host, "Accept-Encoding": "identity"})
                answer = connection.getresponse()
                if answer.status == 200:
                    return read_bounded(answer, address)
                if answer.status not in _MOVED or not answer.headers["Location"]:
                    raise UnreadablePhotoError(f"{address} cannot be fetched: {answer.status} {answer.reason}")
                place = urljoin(place, answer.headers["Location"])
        except UnreadablePhotoError:
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UnreadablePhotoError(f"{address} cannot be fetched: {error or type(error).__name__}") from error
    raise UnreadablePhotoError(f"{address} cannot be fetched: it leads on more than {_REDIRECTS} times")


def _allowed(address: str, hosts: Sequence[str]) -> SplitResult:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise UnreadablePhotoError(f"{address} is neither http nor https")
    if parts.hostname not in [host.lower() for host in hosts]:
        raise UnreadablePhotoError(
            f"{address} is not fetched, as {parts.hostname} is not among the hosts that may be asked, {list(hosts)}: "
            f"give data.hosts=[{parts.hostname}] if you trust it"
        )
    return parts


def _connect(parts: SplitResult) -> http.client.HTTPConnection:
    """Connect to an address that has been checked; to look the name up again could give another one."""
    host, secure = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, place in found:
        if not is_public(place[0]):
            raise UnreadablePhotoError(f"{host} is at {place[0]}, which is no public address, and is not asked")
    line = socket.create_connection(found[0][4][:2], timeout=_SECONDS)
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.sock = ssl.create_default_context().wrap_socket(line, server_hostname=host) if secure else line
    except BaseException:
        line.close()
        raise
    return connection


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet; one that stands for an IPv4 address counts as that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        translated = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        if inner := ip.ipv4_mapped or ip.sixtofour or translated:
            return is_public(str(inner))
    return ip.is_global and not (ip.is_private or ip.is_reserved or ip.is_multicast)


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
