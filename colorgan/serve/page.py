"""The page: drop a photo or paste its address, and move the line between gray and colour."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import skimage
from fastapi import FastAPI
from PIL import Image

from colorgan.media.scan import Scan
from colorgan.serve.keys import Keys
from colorgan.serve.refusals import RefusedError
from colorgan.serve.service import SIZES, Colored, Service

_SHOWN = 1600  # longest side of a picture on the page; the download has all pixels
_EXAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")  # inside scikit-image's wheel
_CACHE_SECONDS = 3600
_TITLE = "# colorgan\nColours black-and-white photos and films. What is in colour is turned gray first."
_CSS = """
.gradio-container { max-width: 1100px !important; margin: 0 auto; padding: 0 12px }
h1 { margin: .6em 0 0 }
footer { display: none !important }
#message, #film-message { min-height: 1.6em }
#message .problem, #film-message .problem { border-left: 4px solid #b3261e; padding: .4em .8em; display: block }
:focus-visible { outline: 3px solid #3b6fd4 !important; outline-offset: 2px }
@media (max-width: 640px) { .gradio-container { padding: 0 4px } }
"""
# Its own fonts, for Gradio's are on another server.
_THEME = gr.themes.Base(
    primary_hue="blue", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)


def mount_page(app: FastAPI, service: Service, keys: Keys) -> None:
    """Mount the page at `/`; where there are keys, it asks for one."""
    auth = (lambda _, key: keys.accept(key)) if keys else None
    gr.mount_gradio_app(
        app,
        make_page(service),
        "/",
        auth=auth,
        auth_message="The password is one of this server's keys; any user name will do." if keys else None,
        max_file_size=service.limits.film_bytes,
        show_error=False,
        footer_links=[],
        theme=_THEME,
        css=_CSS,
        ssr_mode=False,
        enable_monitoring=False,
        favicon_path=None,
    )


def make_page(service: Service) -> Any:
    """Lay the page out."""
    with gr.Blocks(title="colorgan", analytics_enabled=False, delete_cache=(600, _CACHE_SECONDS)) as page:
        gr.Markdown(_TITLE)
        with gr.Tab("Photo"):
            _photo_tab(service)
        with gr.Tab("Film"):
            _film_tab(service)
    page.queue(max_size=service.limits.waiting, api_open=False)
    return page


def _photo_tab(service: Service) -> None:
    photos = Photos(service)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            file = gr.File(label="Drop a photo here, or choose one", height=150, elem_id="photo")
            address = gr.Textbox(label="or paste the address of one", placeholder="https://", elem_id="address")
            with gr.Accordion("Settings", open=False):
                checkpoint = gr.Dropdown(
                    service.checkpoints, label="Checkpoint", visible=len(service.checkpoints) > 1, elem_id="checkpoint"
                )
                size = gr.Slider(
                    *SIZES,
                    value=service.working_size(),
                    step=16,
                    label="Working size",
                    info="Shorter side at which the network works: small for large areas, large for detail.",
                )
                strength = gr.Slider(0, 1, value=1, step=0.05, label="Strength of the colours", elem_id="strength")
                beside = gr.Checkbox(label="Show the photo as it was sent")
            examples = gr.Dataset(
                components=[gr.Image(visible=False, label="photo")],
                samples=[[path] for path in _examples()],
                type="index",
                label="or take one of these",
                elem_id="examples",
            )
        with gr.Column(scale=3, min_width=300):
            message = gr.Markdown("", elem_id="message")
            slider = gr.ImageSlider(
                label="Gray and colour", type="filepath", interactive=False, elem_id="result", buttons=["fullscreen"]
            )
            original = gr.Image(label="As it was sent", visible=False, interactive=False, type="filepath")
            download = gr.DownloadButton("Download in full size", visible=False, variant="primary", elem_id="download")
    settings = [checkpoint, size, strength, beside]
    outputs = [message, slider, original, download]
    hidden: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 4, "show_progress_on": slider}
    last = gr.State()  # what is shown: changed settings colour it again
    file.upload(photos.take_file, file, [last, message], **hidden).success(
        photos.show, [last, *settings], outputs, **hidden
    )
    address.submit(photos.take_address, address, [last, message], **hidden).success(
        photos.show, [last, *settings], outputs, **hidden
    )
    examples.click(photos.take_example, examples, [last, message], **hidden).success(
        photos.show, [last, *settings], outputs, **hidden
    )
    for control in (size, strength):
        control.release(photos.show, [last, *settings], outputs, **hidden)
    for choice in (checkpoint, beside):
        choice.input(photos.show, [last, *settings], outputs, **hidden)


class Photos:
    """What the photo's controls do: each gives a message in words, and leaves the last result where it fails."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def take_file(self, path: str) -> tuple[Any, Any]:
        """Take a photo that was uploaded."""
        return (path, Path(path).stem), gr.skip()

    def take_example(self, number: int) -> tuple[Any, Any]:
        """Take one of the examples."""
        return self.take_file(_examples()[number])

    def take_address(self, address: str) -> tuple[Any, Any]:
        """Download a photo."""
        try:
            data = self.service.fetch(address)
        except RefusedError as error:
            return gr.skip(), _problem(error)
        file = _new_file("photo")
        file.write_bytes(data)
        return (str(file), "photo"), ""

    def show(
        self, last: tuple[str, str] | None, checkpoint: str, size: float, strength: float, beside: bool
    ) -> tuple[Any, ...]:
        """Colour the photo that is shown with these settings."""
        if last is None:
            return (gr.skip(),) * 4
        path, name = Path(last[0]), last[1]
        try:
            if not path.is_file():
                raise RefusedError("the photo has expired; choose it again")
            colored = self.service.colorize(
                path.read_bytes(), checkpoint=checkpoint, size=int(size), strength=float(strength)
            )
        except RefusedError as error:
            return _problem(error), gr.skip(), gr.skip(), gr.skip()
        target = _new_file(f"{name}-colored{colored.ending}")
        target.write_bytes(colored.encode())
        shown = (_preview(colored.gray), _preview(colored.colored))
        sent = gr.Image(value=_preview(colored.original) if beside else None, visible=bool(beside))
        return _said(colored), shown, sent, gr.DownloadButton(value=str(target), visible=True)


def _film_tab(service: Service) -> None:
    limits = service.limits
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            gr.Markdown(f"Up to {limits.film_seconds:g} s and {limits.film_bytes / 1e6:g} MB; sound is kept.")
            film = gr.File(label="Drop a film here, or choose one", height=150, elem_id="film")
            checkpoint = gr.Dropdown(service.checkpoints, label="Checkpoint", visible=len(service.checkpoints) > 1)
        with gr.Column(scale=3, min_width=300):
            message = gr.Markdown("", elem_id="film-message")
            result = gr.Video(label="In colour", interactive=False, elem_id="film-result", buttons=["download"])

    def work(path: str, checkpoint: str) -> Iterator[tuple[Any, Any]]:
        yield from color_film(service, Path(path), checkpoint)

    film.upload(work, [film, checkpoint], [message, result], api_visibility="private", concurrency_limit=4)


def color_film(service: Service, path: Path, checkpoint: str | None) -> Iterator[tuple[Any, Any]]:
    """Colour a film; gives messages, and at the end the film."""
    try:
        name = service.submit_film(lambda target: target.write_bytes(path.read_bytes()), checkpoint)
        while (state := service.films.state(name))["state"] in ("waiting", "processing"):
            waits = "waiting for other films" if state["state"] == "waiting" else f"{state['progress']:.0%} done"
            yield f"{waits} …", gr.skip()
            time.sleep(0.5)
        if state["state"] == "failed":
            raise RefusedError(state["error"])
        target = _new_file(f"{path.stem}-colored.mp4")
        target.write_bytes(service.films.file(name).read_bytes())
        yield f"done{'; ' + state['error'] if state['error'] else ''}", str(target)
    except RefusedError as error:
        yield _problem(error), gr.skip()


def _examples() -> list[str]:
    folder = Path(skimage.__file__).parent / "data"
    return [str(folder / name) for name in _EXAMPLES if (folder / name).is_file()]


def _new_file(name: str) -> Path:
    """Name a file in a folder of its own, in Gradio's cache, which is cleared by age."""
    folder = Path(tempfile.gettempdir()) / "gradio"
    folder.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder)) / name


def _preview(scan: Scan) -> str:
    image = scan.to_image()
    image.thumbnail((_SHOWN, _SHOWN), Image.Resampling.LANCZOS)
    file = _new_file("shown.jpg")
    image.convert("RGB").save(file, quality=92, subsampling=0)
    return str(file)


def _said(colored: Colored) -> str:
    height, width = colored.colored.pixels.shape[:2]
    several = "; the file has several pictures, this is the first" if colored.several else ""
    return f"{width} x {height} pixels{several}"


def _problem(error: RefusedError) -> str:
    """Word an error as a message that stays, for eyes and screen readers."""
    words = str(error)[:1].upper() + str(error)[1:]
    clean = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<span class="problem" role="alert">{clean}.</span>'
