"""Bound each request before anything reads it, count it, and word errors alike."""

import asyncio
import logging
import re
import time
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from colorgan.serve.keys import Keys
from colorgan.serve.refusals import NoKeyError, RefusedError, TooLongError, UnknownResultError

logger = logging.getLogger(__name__)
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_LONGEST_HEAD = 32_000  # bytes
# A page of this server loads nothing from others, and stands in no frame. Gradio's page has scripts and styles inline.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
# What the page asks of Gradio; its other routes are closed. Under file= are files, not addresses to be fetched.
_GRADIO = "/gradio_api/"
_OF_PAGE = re.compile(
    _GRADIO + r"(upload|upload_progress|queue/(join|data)|heartbeat/[^/]+|startup-events|cancel|reset|file=(?!http).+)"
)
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Guard:
    """The outermost layer: a wrong `Host`, a long or a slow body are refused; each request is counted by its route.

    Nothing of a request's content is logged: its route, status and time only.

    Args:
        app: what it guards.
        max_bytes: of a body, by the path that it is sent to; other bodies may have 1 MB.
        seconds: in which a body must arrive.
        hosts: allowed names of this server, any if empty; a page in a browser that calls a server on the same machine
            by a name of its own (DNS rebinding) is kept out so.
        keys: one of them is needed under /v1.
        registry: of Prometheus.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: dict[str, int],
        hosts: Collection[str],
        keys: Keys,
        registry: CollectorRegistry,
        seconds: float = 60.0,
    ) -> None:
        self._app, self._max_bytes, self._hosts, self._seconds = app, max_bytes, hosts, seconds
        self._keys = keys
        labels = ["method", "route", "status"]
        self._count = Counter("colorgan_requests", "Requests that were answered.", labels, registry=registry)
        self._time = Histogram("colorgan_request_seconds", "Time to the answer.", ["route"], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            limit = self._check(scope)
            await self._app(scope, _Bounded(receive, limit, started + self._seconds), watched)
        except RefusedError as error:
            await JSONResponse({"err": str(error)}, error.status)(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
            seconds = time.monotonic() - started
            self._count.labels(method, route, status).inc()
            self._time.labels(route).observe(seconds)
            logger.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)

    def _check(self, scope: Scope) -> int:
        """Check the head of a request; returns how long its body may be."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _LONGEST_HEAD:
            raise TooLongError("the head of the request is too long")
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not (match := _HOST.fullmatch(host)) or (self._hosts and match[1].lower() not in self._hosts):
            raise RefusedError("the Host header does not name this server")
        origin = headers.get(b"origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise RefusedError("pages of another server may not use this one")
        if scope["path"].startswith("/v1/") and not self._keys.accept(headers.get(b"api-key")):  # before a form is read
            raise NoKeyError("a valid key is missing: header api-key")
        if scope["path"].startswith(_GRADIO) and not _OF_PAGE.fullmatch(scope["path"]):
            raise UnknownResultError("there is no such page")
        limit = self._max_bytes.get(scope["path"], 1_000_000)
        length = headers.get(b"content-length", "0")
        if length.isdigit() and int(length) > limit:
            raise TooLongError(f"the request is longer than {limit / 1e6:g} MB")
        return limit


class _Bounded:
    """Receive a body up to a length and until a time."""

    def __init__(self, receive: Receive, limit: int, deadline: float) -> None:
        self._receive, self._limit, self._deadline = receive, limit, deadline
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:  # what comes now is the client's leaving
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the request did not arrive in time") from None
        self._limit -= len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._limit < 0:  # this class of error alone passes through what parses forms
            raise HTTPException(413, "the request is too long")
        return message
