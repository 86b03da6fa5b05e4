"""Put page and API together: one process, one port, no database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import h11
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from colorgan.serve import deepai, v1
from colorgan.serve.guard import LOOPBACK, Guard
from colorgan.serve.keys import Keys
from colorgan.serve.page import mount_page
from colorgan.serve.page_files import clean, page_folder
from colorgan.serve.refusals import BusyError, RefusedError
from colorgan.serve.service import Service

_FORM_ROOM = 100_000  # bytes of a form beside its file
_HEAD_SECONDS = _CLEAN_EVERY_SECONDS = 20.0


def create_app(service: Service, keys: Keys) -> ASGIApp:
    """Make the application.

    Args:
        service: colours the pictures; closed with the application.
        keys: without any, only names of this machine are taken as `Host`.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        cleaning = asyncio.create_task(_keep_clean(service))
        yield
        cleaning.cancel()
        service.close()

    app = FastAPI(title="colorgan", version=version("colorgan"), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service, app.state.keys = service, keys
    registry = CollectorRegistry()
    waiting = Gauge("colorgan_photos_waiting", "Photos that wait or are worked on.", registry=registry)
    waiting.set_function(lambda: service.waiting)
    app.include_router(deepai.router)
    app.include_router(v1.router)
    app.add_exception_handler(RefusedError, _refuse)
    app.add_exception_handler(StarletteHTTPException, _http_error)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the server lives."""
        return {"status": "ok"}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """Give counts and times for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    photo, film = service.limits.photo_bytes + _FORM_ROOM, service.limits.film_bytes + _FORM_ROOM
    mount_page(app, service, keys)
    return Guard(
        app,
        max_bytes={deepai.PATH: photo, v1.PHOTOS: photo, v1.FILMS: film, "/gradio_api/upload": film},
        hosts=() if keys else LOOPBACK,
        keys=keys,
        registry=registry,
    )


async def _keep_clean(service: Service) -> None:
    """Throw away results and files of the page that are old or too many; its examples stay."""
    limits, examples = service.limits, set(page_folder().rglob("*"))
    while True:
        await asyncio.sleep(_CLEAN_EVERY_SECONDS)
        await asyncio.to_thread(service.results.clean)
        await asyncio.to_thread(clean, keep_seconds=limits.keep_seconds, max_bytes=limits.results_bytes, keep=examples)


def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, BusyError) else None
    return JSONResponse({"err": str(error)}, error.status, headers)


def _http_error(_: Request, error: Exception) -> Response:
    """Word what the framework refuses as everything else: no such page, a form that cannot be read."""
    assert isinstance(error, StarletteHTTPException)
    return JSONResponse({"err": str(error.detail)}, error.status_code, error.headers)


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which by itself waits for ever for the head of a request."""

    _timer = None

    def connection_made(self, transport: object) -> None:
        """Begin to wait."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on waiting while a head is incomplete."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(_HEAD_SECONDS, lambda: self.transport.close())

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
