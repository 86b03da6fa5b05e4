"""Read pictures with PIL, which knows most formats, in 8 bits."""

import io
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import imagecodecs
import numpy as np
from PIL import Image, ImageSequence

from colorgan.media.metadata import Metadata, metadata_of
from colorgan.media.samples import Check, MissingReaderError, Page, Samples, Space
from colorgan.media.signatures import head_of, is_heif

EXTRA = 'pip install "colorgan[formats]"'
_SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue
_GAMMA_OF_SRGB = 1 / 2.2
# PIL also names files that are no pictures (MPEG, HDF5 ...), guesses TGA from nothing, and runs programs for EPS.
_PIL_FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF", "TGA", "PCX"),
    *("PSD", "SGI", "ICO", "ICNS", "QOI", "DDS", "PCD", "IM", "SUN", "XBM", "XPM", "MSP", "DCX", "PIXAR", "FITS"),
)  # fmt: skip
# Files whose pictures are frames or pages; the others of an MPO are previews, those of a PSD layers.
SEQUENCES = frozenset({"GIF", "PNG", "WEBP", "AVIF", "DCX"})
_open_lock = Lock()


def open_image(file: Path | bytes) -> Image.Image:
    """Open an image with PIL, whatever its size; of the formats here only.

    Raises:
        MissingReaderError: it is HEIF, and its reader is not installed.
        OSError: it is no image.
    """
    head = head_of(file)
    if is_heif(head):
        _register_heif()
    named = isinstance(file, Path) and file.suffix.lower() in (".tga", ".targa", ".vda", ".icb", ".vst")
    Image.init()
    formats = [name for name in _PIL_FORMATS if name in Image.OPEN and (named or name != "TGA")]
    # PIL's own limit is one for all of a program; ours is the caller's. The lock is for threads that load photos.
    with _open_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise MissingReaderError(f"HEIF needs {EXTRA}") from None
    register_heif_opener()


def decode_with_pil(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Decode a file; several pictures only of `SEQUENCES`."""
    image = open_image(file)
    check(*image.size)
    for frame in ImageSequence.Iterator(image) if image.format in SEQUENCES else [image]:
        yield page_of(frame, check)


def page_of(image: Image.Image, check: Check) -> Page:
    """Decode the frame at which an image stands."""
    check(*image.size)
    _scale_transparent_level(image)
    image.load()  # texts behind the pixels of a PNG are known only then
    metadata = metadata_of(image)
    values, space, bits, alpha = _values_of(image)
    profile = image.info.get("icc_profile") or stated_profile(image, space, metadata)
    samples = Samples(values, space, bits=bits, alpha="straight" if alpha else "none", profile=profile)
    return Page(samples, metadata, image.info.get("duration") if getattr(image, "is_animated", False) else None)


def _scale_transparent_level(image: Image.Image) -> None:
    """Bring the level that is transparent in a PNG of 2 or 4 bits to 8 bits, as PIL does with its samples only."""
    tiles, level = getattr(image, "tile", []), image.info.get("transparency")
    step = {"L;2": 85, "L;4": 17}.get(str(tiles[0].args)) if image.format == "PNG" and tiles else None
    if step and isinstance(level, int):
        image.info["transparency"] = level * step


def _values_of(image: Image.Image) -> tuple[np.ndarray, Space, int, bool]:
    """Take the values of a PIL image; its rarer modes are converted to the common ones, which loses nothing."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        values = np.asarray(image)
        return values, "gray", 16 if mode.startswith("I;16") else 32, False
    if "transparency" in image.info and mode in ("1", "L", "RGB", "P"):
        image = image.convert("LA" if mode in ("1", "L") else "RGBA")
    elif mode in ("PA", "RGBa"):
        image = image.convert("RGBA")
    elif mode == "La":
        image = image.convert("LA")
    elif mode == "1":
        image = image.convert("L")
    elif mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        image = image.convert("RGB")
    space: dict[str, Space] = {"L": "gray", "LA": "gray", "CMYK": "cmyk"}
    return np.asarray(image), space.get(image.mode, "rgb"), 8, image.mode in ("LA", "RGBA")


def stated_profile(image: Image.Image, space: Space, metadata: Metadata) -> bytes | None:
    """Make the profile that a file without one states: PNG's gamma and primaries, EXIF's Adobe RGB."""
    if space == "rgb" and metadata.is_adobe_rgb:
        return bytes(imagecodecs.cms_profile("adobergb"))
    gamma = image.info.get("gamma")
    if not gamma or "srgb" in image.info or space not in ("gray", "rgb"):
        return None
    primaries = [float(value) for value in image.info.get("chromaticity", _SRGB_PRIMARIES)]
    usual = max(abs(a - b) for a, b in zip(primaries, _SRGB_PRIMARIES, strict=True)) < 0.01
    if abs(gamma / _GAMMA_OF_SRGB - 1) < 0.05 and (usual or space == "gray"):
        return None  # sRGB, as writers state it that have no word for it
    if space == "gray":
        return bytes(imagecodecs.cms_profile("gray", gamma=1 / gamma))
    return bytes(imagecodecs.cms_profile("rgb", gamma=1 / gamma, whitepoint=primaries[:2], primaries=primaries[2:]))
