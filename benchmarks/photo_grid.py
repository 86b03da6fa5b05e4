"""Largest error of reading photos, in levels, for every mode and property, against values computed with numpy alone.

python benchmarks/photo_grid.py            # prints the table of docs/photos.md

Files are written by Pillow, tifffile and imagecodecs; what their samples mean is computed here from the definitions:
sRGB's and Adobe RGB's curves and primaries, CIE Lab of D50, inks that each let some light pass. A level is one of 255
for samples of up to 8 bits, one of 65535 for others.
"""

import argparse
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from colorgan.media.photo import read_scan

Pixels = np.ndarray
HEIGHT, WIDTH = 24, 40
SRGB_XY = [0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06]
ADOBE_XY = [0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06]
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])  # of ICC
TURNS: dict[int, Callable[[Pixels], Pixels]] = {  # EXIF orientation: what a viewer does with the stored pixels
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
PROPERTIES = ("plain", "min is white", "premultiplied", "sRGB", "linear", "gamma 2.2", "Adobe RGB", "orientation 1-8")


class Mode(NamedTuple):
    """A format with a kind of samples: how many channels, of what type, white at what level."""

    container: str
    space: str
    dtype: str
    top: float = 0  # 0: the type's largest
    alpha: bool = False
    bits: int = 0
    planar: bool = False

    @property
    def white(self) -> float:
        """Level of white."""
        return self.top or (1.0 if self.dtype[0] == "f" else np.iinfo(self.dtype).max)

    @property
    def channels(self) -> int:
        """Samples a pixel, with alpha."""
        return {"gray": 1, "rgb": 3, "palette": 1, "cmyk": 4, "lab": 3, "icclab": 3}[self.space] + self.alpha

    @property
    def out_top(self) -> int:
        """Level of white of what is read."""
        return 255 if self.dtype == "u1" else 65535

    def __str__(self) -> str:
        kind = {"u": "bit", "i": "bit signed", "f": "bit float"}[self.dtype[0]]
        white = f", white {self.top:g}" if self.top and not self.bits else ""
        name = {"lab": "CIELAB", "icclab": "ICCLAB", "cmyk": "CMYK", "rgb": "RGB"}.get(self.space, self.space)
        bits = self.bits or 8 * np.dtype(self.dtype).itemsize
        extra = ("+alpha" if self.alpha else "") + (" planar" if self.planar else "")
        return f"{self.container} {name}{extra} {bits} {kind}{white}"


MODES = [
    Mode("PNG", "gray", "u1", 1, bits=1),
    Mode("PNG", "gray", "u1"),
    Mode("PNG", "gray", "u2"),
    Mode("PNG", "gray", "u1", alpha=True),
    Mode("PNG", "gray", "u2", alpha=True),
    Mode("PNG", "palette", "u1"),
    Mode("PNG", "rgb", "u1"),
    Mode("PNG", "rgb", "u2"),
    Mode("PNG", "rgb", "u1", alpha=True),
    Mode("PNG", "rgb", "u2", alpha=True),
    Mode("JPEG", "gray", "u1"),
    Mode("WEBP", "rgb", "u1", alpha=True),
    Mode("JPEG2000", "gray", "u2"),
    Mode("JPEG2000", "rgb", "u2"),
    Mode("JPEG2000", "gray", "u2", 4095, bits=12),
    Mode("JXL", "rgb", "u1"),
    Mode("JXL", "gray", "u2", 1023, bits=10),
    Mode("JXL", "rgb", "u2"),
    Mode("AVIF", "gray", "u2", 4095, bits=12),
    Mode("AVIF", "rgb", "u2", 1023, bits=10),
    Mode("PPM", "gray", "u2"),
    Mode("PPM", "rgb", "u2"),
    Mode("TIFF", "gray", "u1", 1, bits=1),
    Mode("TIFF", "gray", "u1"),
    Mode("TIFF", "gray", "u2", 4095, bits=12),
    Mode("TIFF", "gray", "u2"),
    Mode("TIFF", "gray", "i2"),
    Mode("TIFF", "gray", "u4", 255),
    Mode("TIFF", "gray", "u4", 65535),
    Mode("TIFF", "gray", "u4"),
    Mode("TIFF", "gray", "f2"),
    Mode("TIFF", "gray", "f4"),
    Mode("TIFF", "gray", "f4", 255),
    Mode("TIFF", "gray", "f4", 65535),
    Mode("TIFF", "gray", "f8"),
    Mode("TIFF", "gray", "u2", alpha=True),
    Mode("TIFF", "palette", "u1"),
    Mode("TIFF", "rgb", "u1"),
    Mode("TIFF", "rgb", "u2"),
    Mode("TIFF", "rgb", "u2", planar=True),
    Mode("TIFF", "rgb", "f4"),
    Mode("TIFF", "rgb", "u1", alpha=True),
    Mode("TIFF", "rgb", "u2", alpha=True),
    Mode("TIFF", "cmyk", "u1"),
    Mode("TIFF", "cmyk", "u2"),
    Mode("TIFF", "lab", "u1"),
    Mode("TIFF", "lab", "u2"),
    Mode("TIFF", "icclab", "u1"),
    Mode("TIFF", "icclab", "u2"),
]


def fits(mode: Mode, name: str) -> bool:
    """Whether the format has the property."""
    tiff, plain_space = mode.container == "TIFF", mode.space in ("gray", "rgb")
    linear = mode.container == "JXL" and mode.dtype == "u2"  # as imagecodecs states of such samples
    return {
        "plain": not linear,
        "min is white": tiff and mode.space == "gray" and not mode.alpha,
        "premultiplied": tiff and mode.alpha,
        "sRGB": plain_space and mode.container in ("PNG", "JPEG", "WEBP", "TIFF"),
        "linear": linear or (plain_space and mode.container in ("PNG", "JPEG", "WEBP", "TIFF")),
        "gamma 2.2": mode.space == "gray" and mode.container in ("PNG", "JPEG", "TIFF"),
        "Adobe RGB": mode.space == "rgb" and mode.container in ("PNG", "WEBP", "TIFF"),
        "orientation 1-8": mode.container in ("PNG", "JPEG", "WEBP", "TIFF"),
    }[name]


def largest_error(mode: Mode, name: str) -> int:
    """Write a picture of a mode with a property, read it, and compare."""
    turns = TURNS if name == "orientation 1-8" else [1]
    return max(_error(mode, name, turn) for turn in turns)


def _error(mode: Mode, name: str, turn: int) -> int:
    rng = np.random.default_rng(0)
    stored, colors = _stored(mode, name, rng)
    values = _values(mode, stored, colors)
    if name == "min is white":
        values = 1 - values
    if name == "premultiplied":
        values[..., :-1] = np.divide(values[..., :-1], values[..., -1:]).clip(0, 1)
    expected = values[..., : values.shape[-1] - mode.alpha]
    levels = np.floor(_in_srgb(expected, name) * mode.out_top + 0.5)
    alpha = np.floor(values[..., -1] * mode.out_top + 0.5) if mode.alpha else None

    scan = read_scan(_file(mode, name, stored, colors, turn))
    pixels = scan.pixels if scan.pixels.ndim == 3 else scan.pixels[..., None]
    assert np.iinfo(pixels.dtype).max == mode.out_top, f"{mode}: {pixels.dtype}"
    error = np.abs(pixels.astype(np.int64) - TURNS[turn](levels)).max()
    if alpha is not None:
        assert scan.alpha is not None, f"{mode}: alpha is lost"
        error = max(error, np.abs(scan.alpha.astype(np.int64) - TURNS[turn](alpha)).max())
    return int(error)


def _stored(mode: Mode, name: str, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Draw samples (H, W, C) as stored, black and white among them, and the colours of a palette."""
    shape = (HEIGHT, WIDTH, mode.channels)
    colors = rng.integers(0, 256, (256, 3))
    uniform = rng.random(shape)
    uniform[0, 0], uniform[-1, -1] = 0, 1
    if mode.container == "JPEG":  # flat blocks of 8 pixels pass JPEG unchanged
        uniform = np.kron(rng.random((HEIGHT // 8, WIDTH // 8, 1)), np.ones((8, 8, 1)))
    if mode.alpha:
        uniform[..., -1] = rng.uniform(0.3, 1, shape[:2])
    if name == "premultiplied":
        uniform[..., :-1] *= uniform[..., -1:]
    if "lab" in mode.space:  # inside of sRGB's gamut
        uniform = np.stack([rng.uniform(25, 85, shape[:2]), *rng.uniform(-18, 18, (2, *shape[:2]))], axis=-1)
        step = 256 if mode.dtype == "u2" else 1
        offset = 0 if mode.space == "lab" else 128 * step
        lightest = 65280 if mode.space == "icclab" and mode.dtype == "u2" else mode.white
        ab = np.rint(uniform[..., 1:] * step).astype(np.int64) + offset
        levels = np.concatenate([np.rint(uniform[..., :1] / 100 * lightest).astype(np.int64), ab], axis=-1)
        return (levels & int(mode.white)).astype(mode.dtype), colors
    levels = uniform * mode.white
    return (levels if mode.dtype[0] == "f" else np.rint(levels)).astype(mode.dtype), colors


def _values(mode: Mode, stored: Pixels, colors: Pixels) -> Pixels:
    """Compute what the samples mean, in [0, 1], by definition."""
    if mode.space == "palette":
        return colors[stored[..., 0]] / 255
    if mode.space == "cmyk":
        light = 1 - stored / mode.white
        return light[..., :3] * light[..., 3:]
    if "lab" in mode.space:
        return _lab_to_srgb(_lab_of(mode, stored))
    return stored.astype(np.float64) / mode.white


def _lab_of(mode: Mode, stored: Pixels) -> Pixels:
    step = 256 if mode.dtype == "u2" else 1
    signed = mode.space == "lab"
    lightest = 65280 if not signed and mode.dtype == "u2" else mode.white
    ab = stored[..., 1:].astype(f"i{stored.dtype.itemsize}") if signed else stored[..., 1:].astype(float) - 128 * step
    return np.concatenate([stored[..., :1] / lightest * 100, ab / step], axis=-1)


def _lab_to_srgb(lab: Pixels) -> Pixels:
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    to_cone = BRADFORD @ _white(SRGB_XY), BRADFORD @ D50
    adapt = np.linalg.inv(BRADFORD) @ np.diag(to_cone[0] / to_cone[1]) @ BRADFORD
    return _encoded((xyz @ (np.linalg.inv(_to_xyz(SRGB_XY)) @ adapt).T).clip(0, 1))


def _white(xy: list[float]) -> Pixels:
    return np.array([xy[0] / xy[1], 1, (1 - xy[0] - xy[1]) / xy[1]])


def _to_xyz(xy: list[float]) -> Pixels:
    primaries = np.array([[x, y, 1 - x - y] for x, y in zip(xy[2::2], xy[3::2], strict=True)]).T
    return primaries * np.linalg.solve(primaries, _white(xy))


def _encoded(linear: Pixels) -> Pixels:
    """Apply sRGB's curve (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def _in_srgb(values: Pixels, name: str) -> Pixels:
    if name == "linear":
        return _encoded(values)
    if name == "gamma 2.2":
        return _encoded(values**2.2)
    if name == "Adobe RGB":
        linear = values ** (563 / 256) @ (np.linalg.inv(_to_xyz(SRGB_XY)) @ _to_xyz(ADOBE_XY)).T
        return _encoded(linear.clip(0, 1))
    return values


def _profile(mode: Mode, name: str) -> bytes | None:
    space: str = mode.space
    primaries: dict[str, Any] = {} if space == "gray" else {"whitepoint": SRGB_XY[:2], "primaries": SRGB_XY[2:]}
    if name == "linear":
        return bytes(imagecodecs.cms_profile(space, gamma=1.0, **primaries))
    if name == "gamma 2.2":
        return bytes(imagecodecs.cms_profile("gray", gamma=2.2))
    return {
        "sRGB": bytes(imagecodecs.cms_profile("srgb")),
        "Adobe RGB": bytes(imagecodecs.cms_profile("adobergb")),
    }.get(name)


def _file(mode: Mode, name: str, stored: Pixels, colors: Pixels, turn: int) -> bytes:
    profile = _profile(mode, name)
    flat = np.ascontiguousarray(stored[..., 0] if mode.channels == 1 else stored)
    exif = Image.Exif()
    exif[274] = turn
    if mode.container == "TIFF":
        return _tiff(mode, name, flat, colors, profile, turn)
    if mode.container == "PNG" and mode.dtype == "u2":
        return _with_chunks(imagecodecs.png_encode(flat), profile, exif)
    if mode.container == "PPM":
        kind = 5 if mode.channels == 1 else 6
        return f"P{kind}\n# a comment\n{WIDTH} {HEIGHT}\n65535\n".encode() + flat.astype(">u2").tobytes()
    if mode.container == "JPEG2000":
        bits = mode.bits or None
        return bytes(imagecodecs.jpeg2k_encode(flat, level=0, codecformat="jp2", reversible=True, bitspersample=bits))
    if mode.container == "JXL":
        return bytes(imagecodecs.jpegxl_encode(flat, lossless=True, bitspersample=mode.bits or None))
    if mode.container == "AVIF":
        return bytes(imagecodecs.avif_encode(flat, level=100, bitspersample=mode.bits))
    if mode.bits == 1:
        image = Image.fromarray(flat.astype(bool))
    elif mode.space == "palette":
        image = Image.fromarray(flat).convert("P")
        image.putpalette(colors.astype(np.uint8).tobytes())
    else:
        image = Image.fromarray(flat, {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[mode.channels])
    options: dict[str, Any] = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100}}.get(
        mode.container, {}
    )
    buffer = io.BytesIO()
    image.save(buffer, mode.container, exif=exif, **options, **({"icc_profile": profile} if profile else {}))
    return buffer.getvalue()


def _with_chunks(encoded: bytes, profile: bytes | None, exif: Image.Exif) -> bytes:
    chunks = [(b"eXIf", exif.tobytes()[6:])]
    if profile:
        chunks.append((b"iCCP", b"p\0\0" + zlib.compress(profile)))
    inserted = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return bytes(encoded[:33]) + inserted + bytes(encoded[33:])


def _tiff(mode: Mode, name: str, flat: Pixels, colors: Pixels, profile: bytes | None, turn: int) -> bytes:
    kind = {"gray": "minisblack", "cmyk": "separated", "lab": "cielab", "icclab": "icclab"}.get(mode.space, mode.space)
    options: dict[str, Any] = {"photometric": "miniswhite" if name == "min is white" else kind}
    if mode.space == "palette":
        options["colormap"] = (257 * colors.T).astype(np.uint16)
    if mode.alpha:
        options["extrasamples"] = ["assocalpha" if name == "premultiplied" else "unassalpha"]
    if mode.planar:
        flat, options["planarconfig"] = np.ascontiguousarray(np.moveaxis(flat, -1, 0)), "separate"
    if mode.bits:
        flat, options["bitspersample"] = flat.astype(bool) if mode.bits == 1 else flat, mode.bits
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, flat, iccprofile=profile, metadata=None, extratags=[(274, 3, 1, turn, True)], **options)
    return buffer.getvalue()


def cases() -> Iterator[tuple[Mode, str]]:
    """All modes with all properties that they can have."""
    return ((mode, name) for mode in MODES for name in PROPERTIES if fits(mode, name))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("| |", " | ".join(PROPERTIES), "|")
    print("| --- |", " | ".join(["---:"] * len(PROPERTIES)), "|")
    for mode in MODES:
        cells = [str(largest_error(mode, name)) if fits(mode, name) else "" for name in PROPERTIES]
        print(f"| {mode} |", *(f"{cell} |" if cell else "|" for cell in cells))


if __name__ == "__main__":
    main()
