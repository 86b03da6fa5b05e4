"""Lay pictures out side by side on one sheet, with labels."""

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from colorgan.color import to_uint8

_LINE, _MARGIN, _LABEL_WIDTH, _LETTERS = 20, 12, 150, 20


def picture_sheet(
    rows: Sequence[Sequence[Image.Image]],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    gap: int = 4,
    num_blocks: int = 1,
    title: str = "",
) -> Image.Image:
    """Lay rows of pictures out on white.

    Args:
        rows: the same number of pictures each; cells have the size of the largest picture.
        columns: labels above the columns; where room is short, their ends are shown.
        labels: labels left of the rows.
        gap: pixels between pictures.
        num_blocks: rows are parted into so many blocks side by side, each with its own labels.
        title: a line above all.
    """
    width, height = (max(picture.size[axis] for row in rows for picture in row) for axis in (0, 1))
    above = _LINE if title else 0
    left, top = _LABEL_WIDTH if labels else 0, above + (_LINE if columns else 0)
    num_lines, block_width = -(-len(rows) // num_blocks), left + len(rows[0]) * (width + gap) - gap
    distance = block_width + (_MARGIN if columns or labels else gap)
    size = (block_width + (num_blocks - 1) * distance, top + num_lines * (height + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((0, 2), title, "black", font)
    for number, row in enumerate(rows):
        block, line = divmod(number, num_lines)
        x, y = block * distance, top + line * (height + gap)
        if labels:
            draw.text((x, y), "\n".join(textwrap.wrap(labels[number], _LETTERS)), "black", font)
        for column, picture in enumerate(row):
            place = x + left + column * (width + gap)
            if columns and line == 0:
                draw.text((place, above + 2), _shortened(columns[column], draw, font, width), "black", font)
            sheet.paste(picture, (place, y))
    return sheet


def fitted(picture: Image.Image, size: int) -> Image.Image:
    """Resize a picture so that its longer side has a size."""
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def to_image(rgb: Tensor) -> Image.Image:
    """Turn a picture (3, H, W) in [0, 1] into an image of 8 bits."""
    return Image.fromarray(to_uint8(rgb).permute(1, 2, 0).cpu().numpy())


def _shortened(
    label: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    while draw.textlength(label, font) > width and len(label) > 1:
        label = "…" + label[2:]  # names of checkpoints differ at their ends
    return label
