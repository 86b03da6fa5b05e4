"""Colours that users know, by the API and by clicks on the page."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_checkpoint
from PIL import Image
from skimage.data import astronaut

requests = pytest.importorskip("requests", reason="pip install colorgan[serve]")

from served import running  # noqa: E402

from colorgan.serve.app import create_app  # noqa: E402
from colorgan.serve.keys import Keys  # noqa: E402
from colorgan.serve.page import Photos  # noqa: E402
from colorgan.serve.service import Service  # noqa: E402

HINTS = json.dumps([{"stroke": [[30, 20], [40, 90]], "color": "tomato"}])


@pytest.fixture
def service(checkpoint, tmp_path_factory):
    hinted = tiny_checkpoint.write(tmp_path_factory.mktemp("hints") / "hints.safetensors", hints=True)
    folder = tmp_path_factory.mktemp("results")
    return Service({"hints": hinted, "plain": checkpoint}, folder, engine="torch")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(astronaut()[::4, ::4]).save(file)
    return file


def test_the_api_takes_hints_and_says_what_is_wrong_with_them(service, photo):
    with running(create_app(service, Keys([]))) as address:

        def ask(**fields):
            return requests.post(f"{address}/v1/colorize", files={"image": photo.open("rb")}, data=fields)

        plain, hinted = (np.asarray(Image.open(io.BytesIO(ask(**f).content)), int) for f in ({}, {"hints": HINTS}))
        assert np.abs(plain - hinted).max() > 20
        for fields, problem in (
            ({"hints": "{"}, "hints is not JSON"),
            ({"hints": HINTS.replace("90", "900")}, "hints: hint 1: [40, 900] lies outside of a photo of 128 x 128"),
            ({"hints": HINTS, "checkpoint": "plain"}, "this network takes no hints"),
        ):
            answer = ask(**fields)
            assert answer.status_code == 400
            assert problem in answer.json()["err"]


def test_a_click_sets_a_colour_and_undo_takes_it_back(service, photo):
    photos, settings = Photos(service), ("hints", 32, 1.0, False)

    def last_of(updates):
        *_, (shown, _, (_, colored), *_) = updates
        return shown, np.asarray(Image.open(colored), int)

    shown, plain = last_of(photos.show_file(str(photo), *settings))
    click = SimpleNamespace(index=[64, 32])
    shown, hinted = last_of(photos.add_hint(shown, "rgba(255, 30.4, 0, 1)", *settings, click))
    assert shown.marks == ((0.5, 0.25, "#ff1e00"),)
    assert np.abs(plain - hinted).max() > 20
    ((_, problem, *_),) = photos.add_hint(shown, "reddish", *settings, click)
    assert "reddish" in problem
    shown, again = last_of(photos.undo_hint(shown, *settings))
    assert (shown.marks, np.abs(plain - again).max()) == ((), 0)
