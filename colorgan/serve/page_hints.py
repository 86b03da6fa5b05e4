"""The page's colours that are known: a click on the photo sets one."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from colorgan.colorize.hints import Marks, parse_hints
from colorgan.serve.page_files import new_file
from colorgan.serve.refusals import RefusedError
from colorgan.serve.service import Service

_MOST = 500
_RING = 0.012  # radius of a mark on the page, as a share of the longer side


@dataclass(frozen=True)
class Shown:
    """What is shown.

    Args:
        path: of the photo.
        name: of the photo.
        size: width and height of the picture to click on; None before there is one.
        marks: x and y as shares of width and height, and the colour, `#rrggbb`.
    """

    path: str
    name: str
    size: tuple[int, int] | None = None
    marks: tuple[tuple[float, float, str], ...] = ()


def hint_controls(service: Service) -> tuple[Any, Any, Any, Any]:
    """Lay out where colours are set: picture, colour, undo, clear; nothing is seen where no network takes them."""
    taken = any(map(service.takes_hints, service.checkpoints))
    with gr.Accordion("Colours that you know", open=False, visible=taken, elem_id="hints"):
        color = gr.ColorPicker("#7a1f2b", label="Colour", elem_id="hint-color")
        canvas = gr.Image(
            label="Click where it belongs", type="filepath", interactive=False, elem_id="canvas", buttons=[]
        )
        with gr.Row():
            undo, clear = gr.Button("Undo", elem_id="hint-undo"), gr.Button("Clear", elem_id="hint-clear")
    return canvas, color, undo, clear


def with_mark(shown: Shown, place: Any, color: str) -> Shown:
    """Set a colour where the picture was clicked on.

    Raises:
        RefusedError: it was not on the picture, the colour is none, or there are too many.
    """
    if len(shown.marks) >= _MOST:
        raise RefusedError(f"more than {_MOST} colours cannot be set here")
    try:
        x, y = (float(value) / side for value, side in zip(place, shown.size or (), strict=True))
    except (TypeError, ValueError) as error:
        raise RefusedError("click on the photo") from error
    marked = replace(shown, marks=(*shown.marks, (x, y, _hex(str(color)))))
    hints_of(marked)
    return marked


def hints_of(shown: Shown) -> Marks | None:
    """Make hints of the marks; None without any.

    Raises:
        RefusedError: one of them cannot be.
    """
    if not shown.marks:
        return None
    entries = [{"point": [x, y], "color": color} for x, y, color in shown.marks]
    try:
        return parse_hints(json.dumps({"units": "relative", "hints": entries}), "colours")
    except ValueError as error:
        raise RefusedError(str(error)) from error


def draw_marks(shown: Shown, preview: Image.Image) -> str:
    """Draw a ring in its colour where each was set; returns the file."""
    picture = preview.convert("RGB")
    pen, radius = ImageDraw.Draw(picture), max(3.0, _RING * max(picture.size))
    for x, y, color in shown.marks:
        at = (x * picture.width, y * picture.height)
        pen.circle(at, radius, fill=color, outline="white", width=2)
    file = new_file("canvas.jpg")
    picture.save(file, quality=90)
    return str(file)


def _hex(color: str) -> str:
    """Word a colour as `#rrggbb`; Gradio's picker also gives `rgba(12.3, 4, 5, 1)`."""
    numbers = re.findall(r"\d+(?:\.\d+)?", color) if color.startswith("rgb") else []
    if len(numbers) < 3:
        return color
    return "#" + "".join(f"{min(255, round(float(number))):02x}" for number in numbers[:3])
