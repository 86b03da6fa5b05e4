"""Answer as DeepAI's colorizer did, so that programs written for it work when only its address is changed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from colorgan.serve.asking import keys_of, service_of
from colorgan.serve.keys import Keys
from colorgan.serve.refusals import RefusedError
from colorgan.serve.service import Service

PATH = "/api/colorizer"
_NO_KEY = 'Please pass a valid Api-Key in a HTTP header called "Api-Key"'
_BODY = {"image": {"description": "the photo, or its http(s) address", "type": "string", "format": "binary"}}
_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": {"type": "object", "properties": _BODY, "required": ["image"]}}},
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "the picture cannot be used: `err` says why"},
    401: {"description": "no valid key: `status`"},
    413: {"description": "too long: `err`"},
    429: {"description": "busy: `err`, and the header Retry-After"},
}
router = APIRouter(tags=["DeepAI"])


@router.post(PATH, openapi_extra=_OPENAPI, responses=_ERRORS)
async def colorizer(
    request: Request, service: Annotated[Service, Depends(service_of)], keys: Annotated[Keys, Depends(keys_of)]
) -> JSONResponse:
    """Colorize a photo: the multipart field `image` is its file or its address; the answer says where the result is."""
    if not keys.accept(request.headers.get("api-key")):
        return JSONResponse({"status": _NO_KEY}, 401)
    async with request.form(max_files=2, max_fields=10) as form:
        image = form.get("image")
        if isinstance(image, UploadFile):
            data = await image.read()
        elif image and image.strip():
            data = await run_in_threadpool(service.fetch, image.strip())
        else:
            raise RefusedError("the field image is missing: a photo, or its address")
    name = await run_in_threadpool(_keep, service, data)
    place = request.url_for("output", name=name)
    return JSONResponse({"id": name, "output_url": str(place)})


def _keep(service: Service, data: bytes) -> str:
    """Colorize and write the result."""
    content = service.colorize(data, ending=".jpg").content
    name = service.results.begin()
    try:
        (service.results.path(name) / "output.jpg").write_bytes(content)
        service.results.finish(name)
    except BaseException:
        service.results.drop(name)
        raise
    return name


@router.get("/job-view-file/{name}/outputs/output.jpg", name="output", responses={404: {"description": "expired"}})
def output(name: str, service: Annotated[Service, Depends(service_of)]) -> FileResponse:
    """Give a result until it expires."""
    return FileResponse(service.results.file(name, "output.jpg"), media_type="image/jpeg")
