"""Pictures of clips: frames side by side, and slices through time, in which flicker shows as stripes."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from colorgan.checkpoint import load_generator
from colorgan.evaluation.clips import ClipSet
from colorgan.media.photo import save_photo
from colorgan.color import to_uint8
from colorgan.evaluation.figures import save_curves, shown_evenly
from colorgan.evaluation.report import Table

_FRAMES, _GAP, _HEIGHT, _LABEL = 4, 4, 120, 150


@torch.no_grad()
def clip_strip(table: Table, clips: ClipSet, position: int, *, with_truth: bool = True) -> Image.Image:
    """One clip: a row for the gray, for each checkpoint (of many, some), and for the truth.

    A row has four frames, and a slice: the middle line of each frame, the first frame's on top.
    """
    batch = clips.clip(position)
    rows: dict[str, Tensor] = {"gray": batch["gray"].expand(-1, 3, -1, -1)}
    for record in shown_evenly(table.checkpoints()):
        generator = load_generator(record["checkpoint"]["path"])
        rows[record["name"]] = clips.protocol.colorize(generator, batch["gray"])
    if with_truth:
        rows["truth"] = batch["rgb"]
    strips = {name: _row(frames) for name, frames in rows.items()}
    width = max(strip.width for strip in strips.values())
    sheet = Image.new("RGB", (_LABEL + width, 24 + len(strips) * (_HEIGHT + _GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((4, 4), f"{clips.names[position]}: frames, and a slice through time (downwards)", "black", font)
    for line, (name, strip) in enumerate(strips.items()):
        top = 24 + line * (_HEIGHT + _GAP)
        draw.text((4, top), "\n".join(textwrap.wrap(name, 20)), "black", font)
        sheet.paste(strip, (_LABEL, top))
    return sheet


def _row(frames: Tensor) -> Image.Image:
    chosen = [round(i) for i in np.linspace(0, len(frames) - 1, _FRAMES)]
    middle = frames[:, :, frames.shape[2] // 2].transpose(0, 1)  # (3, T, W): time runs down
    images = [_image(frames[t]) for t in chosen] + [_image(middle)]
    width = round(images[0].width * _HEIGHT / images[0].height)
    strip = Image.new("RGB", (len(images) * (width + _GAP), _HEIGHT), "white")
    for column, image in enumerate(images):
        filter_ = Image.Resampling.NEAREST if column == len(images) - 1 else Image.Resampling.LANCZOS
        strip.paste(image.resize((width, _HEIGHT), filter_), (column * (width + _GAP), 0))
    return strip


def _image(rgb: Tensor) -> Image.Image:
    return Image.fromarray(to_uint8(rgb).permute(1, 2, 0).cpu().numpy())


def save_clip_figures(
    table: Table, clips: ClipSet, folder: Path, prefix: str, *, with_truth: bool = True, count: int = 4
) -> Mapping[str, Path]:
    """Write strips of some clips, and metrics over steps, as PNG; returns the files by caption."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    for number in range(min(count, len(clips))):
        position = number * len(clips) // min(count, len(clips))
        path = folder / f"{prefix}clip-{number + 1}.png"
        save_photo(clip_strip(table, clips, position, with_truth=with_truth), path)
        written[f"{clips.names[position]}: four frames and a slice through time"] = path
    return {**written, **save_curves(table, folder, prefix)}
