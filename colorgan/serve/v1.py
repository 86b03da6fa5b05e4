"""The plain API: a photo in, the coloured photo out; films by a name to ask again for."""

import mimetypes
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from colorgan.colorize.hints import Marks, parse_hints
from colorgan.serve.asking import described, service_of, with_key
from colorgan.serve.films import FILM
from colorgan.serve.refusals import RefusedError
from colorgan.serve.service import SIZES, Service

PHOTOS, FILMS = "/v1/colorize", "/v1/films"
_ServiceOf = Annotated[Service, Depends(service_of)]
_Checkpoint = Annotated[str | None, Form(description="By name; see /v1/checkpoints.")]
_LONGEST_HINTS = 50_000  # characters
_HINTS = 'Known colours, as JSON: [{"point": [120, 80], "color": "navy"}], for checkpoints that take hints.'
_ANSWERS = described(
    _400="what was sent cannot be used",
    _401="no valid key in the header api-key",
    _408="it did not arrive in time",
    _413="too long",
    _429="busy; Retry-After says for how long",
)
_EXPIRED = described(_404="there is no such film, or no longer")
_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/*": {"schema": {"type": "string"}}}}}
_VIDEO: dict[int | str, dict[str, Any]] = {200: {"content": {"video/mp4": {"schema": {"type": "string"}}}}}
router = APIRouter(dependencies=[Depends(with_key)], tags=["v1"], responses=_ANSWERS)


class FilmState(BaseModel):
    """How far a film is."""

    id: str
    state: Literal["waiting", "processing", "succeeded", "failed"]
    progress: float
    error: str | None
    result: str | None


@router.get("/v1/checkpoints")
def checkpoints(service: _ServiceOf) -> list[str]:
    """List the checkpoints; the first is the default."""
    return service.checkpoints


@router.post(PHOTOS, response_class=Response, responses=_PICTURE)
async def colorize(
    service: _ServiceOf,
    image: Annotated[UploadFile | None, File(description="A photo.")] = None,
    address: Annotated[str | None, Form(description="Or its http(s) address.")] = None,
    checkpoint: _Checkpoint = None,
    size: Annotated[int | None, Form(ge=SIZES[0], le=SIZES[1], description="Shorter side for the network.")] = None,
    strength: Annotated[float, Form(ge=0, le=1, description="Of the colours; 0 is gray.")] = 1.0,
    hints: Annotated[str | None, Form(max_length=_LONGEST_HINTS, description=_HINTS)] = None,
) -> Response:
    """Colorize a photo: the answer is the picture, at its size and depth, in its format or PNG."""
    if (image is None) == (address is None):
        raise RefusedError("give one of image and address")
    known = None if hints is None else _parsed(hints)
    data = await image.read() if image is not None else await run_in_threadpool(service.fetch, str(address))

    def work() -> tuple[bytes, str, bool]:
        colored = service.colorize(data, checkpoint=checkpoint, size=size, strength=strength, hints=known)
        return colored.content, colored.ending, colored.several

    content, ending, several = await run_in_threadpool(work)
    note = {"colorgan-note": "the file has several pictures; this is the first"} if several else {}
    return Response(content, media_type=mimetypes.guess_type(f"x{ending}")[0], headers=note)


def _parsed(hints: str) -> Marks:
    try:
        return parse_hints(hints, "hints")
    except ValueError as error:
        raise RefusedError(str(error)) from error


@router.post(FILMS, status_code=202)
async def submit_film(
    service: _ServiceOf,
    film: Annotated[UploadFile, File(description="A film.")],
    checkpoint: _Checkpoint = None,
) -> FilmState:
    """Take on a film; ask for its state by its id."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            shutil.copyfileobj(film.file, file)

    name = await run_in_threadpool(service.submit_film, write, checkpoint)
    return _state(service, name)


@router.get(f"{FILMS}/{{name}}", responses=_EXPIRED)
def film_state(name: str, service: _ServiceOf) -> FilmState:
    """Say how far a film is: waiting, processing, succeeded or failed."""
    return _state(service, name)


@router.get(f"{FILMS}/{{name}}/{FILM}", response_class=FileResponse, responses={**_EXPIRED, **_VIDEO})
def film_result(name: str, service: _ServiceOf) -> FileResponse:
    """Give a finished film until it expires."""
    return FileResponse(service.films.file(name), media_type="video/mp4")


def _state(service: Service, name: str) -> FilmState:
    state = service.films.state(name)
    done = state["state"] == "succeeded"
    return FilmState(**state, result=f"{FILMS}/{name}/{FILM}" if done else None)
