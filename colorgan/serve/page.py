"""The page: drop a photo or paste its address, and move the line between gray and colour."""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import skimage
from fastapi import FastAPI
from PIL import Image

from colorgan.media.scan import Scan
from colorgan.serve.keys import Keys
from colorgan.serve.page_files import new_file, page_folder
from colorgan.serve.page_hints import Shown, draw_marks, hint_controls, hints_of, with_mark
from colorgan.serve.refusals import RefusedError, TooLongError
from colorgan.serve.service import SIZES, Colored, Service

_SHOWN = 1600  # longest side of a picture on the page; the download has all pixels
_EXAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")  # inside scikit-image's wheel
_CACHE_SECONDS = 3600
_TITLE = "# colorgan\nColours black-and-white photos and films. What is in colour is turned gray first."
_HERE = Path(__file__).parent
# Its own fonts, for Gradio's are on another server.
_THEME = gr.themes.Base(
    primary_hue="blue", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    # Gradio's grays are too pale on white, and its blue under white letters, to be read by all (WCAG: 4.5 to 1).
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_title_text_color="*neutral_700",
    block_label_text_color="*neutral_700",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_300",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)


def mount_page(app: FastAPI, service: Service, keys: Keys) -> None:
    """Mount the page at `/`; where there are keys, it asks for one."""
    page_folder()  # before Gradio chooses one
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
        css=(_HERE / "page.css").read_text(),
        head=f"<script>{(_HERE / 'page.js').read_text()}</script>",
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
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
            file = _upload("Drop a photo here, or choose one", "photo")
            address = gr.Textbox(
                label="or paste the address of one",
                placeholder="https://",
                max_lines=1,
                submit_btn=True,
                elem_id="address",
            )
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
                beside = gr.Checkbox(label="Show the photo as it was sent", elem_id="beside")
            canvas, color, undo, clear = hint_controls(service)
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
            original = gr.Image(
                label="As it was sent", visible=False, interactive=False, elem_id="original", buttons=["fullscreen"]
            )
            download = gr.DownloadButton("Download in full size", visible=False, variant="primary", elem_id="download")
    settings = [checkpoint, size, strength, beside]
    last = gr.State()  # what is shown: changed settings colour it again
    outputs = [last, message, slider, original, download, canvas]
    # The last result stays to be seen while another is made: the message says so.
    how: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 4, "show_progress": "hidden"}
    file.upload(photos.show_file, [file, *settings], outputs, **how)
    address.submit(photos.show_address, [address, *settings], outputs, **how)
    examples.click(photos.show_example, [examples, *settings], outputs, **how)
    for control in (size, strength):
        control.change(photos.show, [last, *settings], outputs, trigger_mode="always_last", **how)
    for choice in (checkpoint, beside):
        choice.input(photos.show, [last, *settings], outputs, **how)
    canvas.select(photos.add_hint, [last, color, *settings], outputs, **how)
    undo.click(photos.undo_hint, [last, *settings], outputs, **how)
    clear.click(photos.clear_hints, [last, *settings], outputs, **how)


_Settings = tuple[str, float, float, bool]  # checkpoint, working size, strength, whether to show the original
_Updates = Iterator[tuple[Any, ...]]


class Photos:
    """What the photo's controls do: each gives a message in words, and leaves the last result where it fails."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def show_file(self, path: str, *settings: *_Settings) -> _Updates:
        """Colour a photo that was uploaded."""
        yield from self.show(Shown(path, Path(path).stem), *settings)

    def show_example(self, number: int, *settings: *_Settings) -> _Updates:
        """Colour one of the examples."""
        yield from self.show_file(_examples()[number], *settings)

    def show_address(self, address: str, *settings: *_Settings) -> _Updates:
        """Download a photo and colour it."""
        yield _only("Downloading …")
        try:
            data = self.service.fetch(address.strip())
        except RefusedError as error:
            yield _only(_problem(error))
            return
        file = new_file("photo")
        file.write_bytes(data)
        yield from self.show(Shown(str(file), "photo"), *settings)

    def add_hint(
        self,
        last: Shown | None,
        color: str,
        checkpoint: str,
        size: float,
        strength: float,
        beside: bool,
        event: gr.SelectData,
    ) -> _Updates:
        """Set a colour where the photo was clicked on."""
        try:
            marked = last and with_mark(last, event.index, color)
        except RefusedError as error:
            yield _only(_problem(error))
            return
        yield from self.show(marked, checkpoint, size, strength, beside)

    def undo_hint(self, last: Shown | None, *settings: *_Settings) -> _Updates:
        """Take the last colour back."""
        yield from self.show(last and replace(last, marks=last.marks[:-1]), *settings)

    def clear_hints(self, last: Shown | None, *settings: *_Settings) -> _Updates:
        """Take all colours back."""
        yield from self.show(last and replace(last, marks=()), *settings)

    def show(self, last: Shown | None, checkpoint: str, size: float, strength: float, beside: bool) -> _Updates:
        """Colour a photo, the last one or another, with these settings."""
        if last is None:
            yield _only(gr.skip())
            return
        yield _only("Colouring …")
        path, name = Path(last.path), last.name
        try:
            how: dict[str, Any] = {"checkpoint": checkpoint, "size": int(size), "strength": float(strength)}
            takes_hints = self.service.takes_hints(checkpoint)
            colored = self._colorize(path, **how, hints=hints_of(last) if takes_hints else None)
        except RefusedError as error:
            yield _only(_problem(error))
            return
        target = new_file(f"{name[:60]}-colored{colored.ending}")
        target.write_bytes(colored.content)
        gray = _preview(colored.gray)
        shown = (_saved(gray), _saved(_preview(colored.colored)))
        last = replace(last, size=gray.size)
        canvas = draw_marks(last, gray) if takes_hints else None
        sent = gr.Image(value=_saved(_preview(colored.original)) if beside else None, visible=bool(beside))
        yield last, _said(name, colored), shown, sent, gr.DownloadButton(value=str(target), visible=True), canvas

    def _colorize(self, path: Path, **settings: Any) -> Colored:
        if not path.is_file():
            raise RefusedError("the photo has expired; choose it again")
        if path.stat().st_size > self.service.limits.photo_bytes:  # before it is read
            raise TooLongError(f"the photo is longer than {self.service.limits.photo_bytes / 1e6:g} MB")
        return self.service.colorize(path.read_bytes(), **settings)


def _only(message: Any) -> tuple[Any, ...]:
    """Change the message alone."""
    return gr.skip(), message, *(gr.skip() for _ in range(4))


def _upload(label: str, elem_id: str) -> Any:
    """Make a place for a file that takes what was uploaded, and no other file or address that a request names.

    Gradio checks files only for pages that it launched itself, not for mounted ones, and downloads addresses by itself.
    """
    place = gr.File(label=label, height=150, elem_id=elem_id)
    copy, read = place.async_move_resource_to_block_cache, place.preprocess

    async def copy_uploaded(url_or_file_path: str | Path | None) -> str | None:
        return await copy(_uploaded(url_or_file_path))

    def read_uploaded(payload: Any) -> Any:  # files that Gradio leaves where they are: streams
        _uploaded(payload and payload.path)
        return read(payload)

    # Not a class of our own: Gradio writes a file of types beside each.
    place.async_move_resource_to_block_cache = copy_uploaded  # type: ignore[method-assign]
    place.preprocess = read_uploaded  # type: ignore[method-assign]
    return place


def _uploaded(path: str | Path | None) -> str | Path:
    if path is None or not Path(path).resolve().is_relative_to(page_folder()):
        raise gr.Error("this file was not uploaded", print_exception=False)
    return path


def _film_tab(service: Service) -> None:
    limits = service.limits
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            gr.Markdown(f"Up to {limits.film_seconds:g} s and {limits.film_bytes / 1e6:g} MB; sound is kept.")
            film = _upload("Drop a film here, or choose one", "film")
            checkpoint = gr.Dropdown(service.checkpoints, label="Checkpoint", visible=len(service.checkpoints) > 1)
        with gr.Column(scale=3, min_width=300):
            message = gr.Markdown("", elem_id="film-message")
            result = gr.Video(label="In colour", interactive=False, elem_id="film-result", buttons=["download"])

    def work(path: str, checkpoint: str) -> Iterator[tuple[Any, Any]]:
        yield from color_film(service, Path(path), checkpoint)

    film.upload(
        work,
        [film, checkpoint],
        [message, result],
        api_visibility="private",
        concurrency_limit=service.limits.waiting_films,
        show_progress="hidden",
    )


def color_film(service: Service, path: Path, checkpoint: str | None) -> Iterator[tuple[Any, Any]]:
    """Colour a film; gives messages, and at the end the film."""
    try:
        name = service.submit_film(lambda target: shutil.copyfile(path, target), checkpoint)
        while (state := service.films.state(name))["state"] in ("waiting", "processing"):
            waits = "waiting for other films" if state["state"] == "waiting" else f"{state['progress']:.0%} done"
            yield f"{waits} …", gr.skip()
            time.sleep(0.5)
        if state["state"] == "failed":
            raise RefusedError(state["error"])
        target = new_file(f"{path.stem[:60]}-colored.mp4")
        shutil.copyfile(service.films.file(name), target)
        yield f"done{'; ' + state['error'] if state['error'] else ''}", str(target)
    except RefusedError as error:
        yield _problem(error), gr.skip()


def _examples() -> list[str]:
    folder = Path(skimage.__file__).parent / "data"
    return [str(folder / name) for name in _EXAMPLES if (folder / name).is_file()]


def _preview(scan: Scan) -> Image.Image:
    image = scan.to_image()
    image.thumbnail((_SHOWN, _SHOWN), Image.Resampling.LANCZOS)
    return image


def _saved(image: Image.Image) -> str:
    file = new_file("shown.jpg")
    image.convert("RGB").save(file, quality=92, subsampling=0)
    return str(file)


def _said(name: str, colored: Colored) -> str:
    height, width = colored.colored.pixels.shape[:2]
    several = "; the file has several pictures, this is the first" if colored.several else ""
    return f"{_plain(name)}: {width} x {height} pixels{several}"


def _problem(error: RefusedError) -> str:
    """Word an error as a message that stays, for eyes and screen readers."""
    words = str(error)[:1].upper() + str(error)[1:]
    return f'<span class="problem" role="alert">{_plain(words)}.</span>'


def _plain(text: str) -> str:
    """Keep text from being read as Markdown or HTML."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
