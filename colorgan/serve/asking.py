"""Give routes what the app holds."""

from typing import Annotated, Any

from fastapi import Header, Request

from colorgan.serve.keys import Keys
from colorgan.serve.service import Service


def service_of(request: Request) -> Service:
    """Give the service."""
    service: Service = request.app.state.service
    return service


def keys_of(request: Request) -> Keys:
    """Give the keys."""
    keys: Keys = request.app.state.keys
    return keys


def with_key(api_key: Annotated[str | None, Header()] = None) -> None:
    """Name the header for OpenAPI; `Guard` checks it, before the form is read."""


def described(**errors: str) -> dict[int | str, dict[str, Any]]:
    """Describe error codes for OpenAPI: `_400="why"`; each answers with `err`."""
    body = {"type": "object", "properties": {"err": {"type": "string"}}, "required": ["err"]}
    content = {"application/json": {"schema": body}}
    return {int(code[1:]): {"description": text, "content": content} for code, text in errors.items()}
