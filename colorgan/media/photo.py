"""Read photos of any kind as 8-bit sRGB, and save pictures."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from colorgan.files import atomic

PHOTO_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".avif"})

# Decoders of damaged files raise whatever they trip over; AVIF's a RuntimeError, EXIF's a struct.error.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, RuntimeError, struct.error, Warning)


class UnreadablePhotoError(ValueError):
    """A file is not an image, or a damaged one."""


def read_photo(file: Path | bytes | Image.Image) -> Image.Image:
    """Read a photo as it is meant to be seen.

    The EXIF orientation is applied, an embedded profile of an RGB or CMYK photo is converted to sRGB, 16-bit and float
    values are scaled, palettes and CMYK are expanded; of an animation the first frame is taken.

    Args:
        file: a path, the bytes of a file, or an image that PIL has opened.

    Returns:
        An image of mode `RGB`, or `RGBA` if the photo has transparency.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadablePhotoError: the file is no image, is truncated, or is absurdly large.
    """
    name = str(file) if isinstance(file, Path) else "image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = file if isinstance(file, Image.Image) else Image.open(_opened(file))
            image.load()
            return _to_srgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadablePhotoError(f"{name} is too large: {error}") from error
    except _DAMAGE as error:
        raise UnreadablePhotoError(f"{name} cannot be read as a photo: {str(error) or type(error).__name__}") from error


def _opened(file: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(file) if isinstance(file, bytes) else file


def _to_srgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _scale_to_8bit(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return image.convert("RGBA")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # a broken profile: the numbers themselves are the best guess left
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _scale_to_8bit(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and float gray to 0..255, rounded."""
    values = np.asarray(image, dtype=np.float64)
    top = 1.0 if image.mode == "F" and values.max(initial=0) <= 1 else 255.0 if image.mode == "F" else 65535.0
    return Image.fromarray(np.clip(np.rint(values / top * 255), 0, 255).astype(np.uint8))


def save_photo(image: Image.Image, path: Path) -> None:
    """Write a picture atomically, in the format of its ending; JPEG at quality 95 with full chroma.

    JPEG's usual 4:2:0 would throw away three quarters of the chroma that was just made.
    """
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    with atomic(path) as temporary:
        if jpeg:
            image.convert("RGB").save(temporary, format="JPEG", quality=95, subsampling=0)
        else:
            image.save(temporary, format=Image.registered_extensions()[path.suffix.lower()])
