"""A service with a small checkpoint, and a real server in a thread."""

from functools import partial

import pytest
import tiny_checkpoint

pytest.importorskip("fastapi", reason="pip install colorgan[serve]")

from served import KEY, running

from colorgan.serve import fetch
from colorgan.serve.app import create_app
from colorgan.serve.keys import Keys
from colorgan.serve.service import Limits, Service


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint.write(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


@pytest.fixture(scope="session")
def make_service(checkpoint):
    """A service that reaches addresses of this machine, which a real one does not."""

    def make(folder, **limits):
        fetched = partial(fetch.fetch, allowed=lambda place: place == "127.0.0.1", seconds=5)
        return Service({"tiny": checkpoint}, folder, engine="torch", limits=Limits(**limits), fetch=fetched)

    return make


@pytest.fixture(scope="session")
def server(make_service, tmp_path_factory):
    """A server without keys."""
    with running(create_app(make_service(tmp_path_factory.mktemp("served")), Keys([]))) as address:
        yield address


@pytest.fixture(scope="session")
def locked_server(make_service, tmp_path_factory):
    """A server with a key."""
    with running(create_app(make_service(tmp_path_factory.mktemp("locked")), Keys([KEY]))) as address:
        yield address
