"""Films are coloured in the background, one after the other, and go on after a restart."""

import io
import time

import av
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

requests = pytest.importorskip("requests", reason="pip install colorgan[serve]")

from served import running  # noqa: E402

from colorgan.serve.app import create_app  # noqa: E402
from colorgan.serve.keys import Keys  # noqa: E402


def film(path, frames=12):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            gray = np.roll(astronaut()[::8, ::8, 0], index, axis=1)[:48, :64]
            frame = av.VideoFrame.from_ndarray(np.repeat(gray[..., None], 3, axis=2))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def png():
    file = io.BytesIO()
    Image.fromarray(astronaut()[:32, :32]).save(file, "PNG")
    return file.getvalue()


def wait_for(address, name):
    deadline = time.monotonic() + 60
    while (state := requests.get(f"{address}/v1/films/{name}").json())["state"] in ("waiting", "processing"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return state


def test_a_film_is_colored_and_survives_a_restart(make_service, tmp_path):
    source = film(tmp_path / "a.mp4")
    service = make_service(tmp_path / "served")
    with running(create_app(service, Keys([]))) as address:
        answer = requests.post(f"{address}/v1/films", files={"film": source.open("rb")})
        assert answer.status_code == 202
        state = wait_for(address, answer.json()["id"])
        assert (state["state"], state["progress"], state["error"]) == ("succeeded", 1.0, None)
        refused = requests.post(f"{address}/v1/films", files={"film": b"no film"})
        assert refused.status_code == 400
        assert str(tmp_path) not in refused.text
        name = answer.json()["id"]
        assert requests.get(f"{address}/job-view-file/{name}/outputs/output.jpg").status_code == 404
        photo = requests.post(f"{address}/api/colorizer", files={"image": io.BytesIO(png())}).json()["id"]
        assert requests.get(f"{address}/v1/films/{photo}").status_code == 404
    # what was in the making when the server ended goes on
    name = service.results.begin()
    (service.results.path(name) / "source").write_bytes(source.read_bytes())
    begun = '{"state": "processing", "checkpoint": "tiny", "frames": 12}'
    (service.results.path(name) / "state.json").write_text(begun)
    cut_short = service.results.begin()
    with running(create_app(make_service(tmp_path / "served"), Keys([]))) as address:
        result = requests.get(f"{address}{state['result']}")
        assert result.headers["content-type"] == "video/mp4"
        with av.open(io.BytesIO(result.content)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 12
        assert wait_for(address, name)["state"] == "succeeded"
        assert requests.get(f"{address}/v1/films/{cut_short}").status_code == 404


def test_a_long_film_is_refused(make_service, tmp_path):
    with running(create_app(make_service(tmp_path / "served", film_seconds=0.5), Keys([]))) as address:
        answer = requests.post(f"{address}/v1/films", files={"film": film(tmp_path / "a.mp4").open("rb")})
        assert "allowed are 0.5 s" in answer.json()["err"]


def test_more_films_than_may_wait_are_told_to_come_again(make_service, tmp_path):
    with running(create_app(make_service(tmp_path / "served", waiting_films=0), Keys([]))) as address:
        answer = requests.post(f"{address}/v1/films", files={"film": film(tmp_path / "a.mp4").open("rb")})
        assert (answer.status_code, int(answer.headers["Retry-After"])) == (429, 60)
