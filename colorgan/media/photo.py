"""Read photos of any kind as sRGB: decode, photometric meaning, scale, profile, alpha, orientation, for every mode."""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
from PIL import Image, UnidentifiedImageError

from colorgan.files import atomic
from colorgan.media.decode import File, decode
from colorgan.media.pillow import open_image
from colorgan.media.samples import MissingReaderError, TooLargeError, to_srgb
from colorgan.media.scan import Scan, upright
from colorgan.media.signatures import head_of

PHOTO_ENDINGS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".j2k", ".jxl", ".png", ".apng", ".webp", ".avif", ".heic"),
        *(".heif", ".hif", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
    }
)
DATA_MEGAPIXELS = 89.5  # PIL's own limit: what is larger is no photo of a data set
SCAN_MEGAPIXELS = 500.0

# Decoders of damaged files raise whatever they trip over: imagecodecs RuntimeErrors, EXIF a struct.error.
_DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError, AttributeError, struct.error),
    *(ArithmeticError, MemoryError, zlib.error, imagecodecs.DelayedImportError),
)


class UnreadablePhotoError(ValueError):
    """A file is not an image, or a damaged one."""


def read_pages(file: File, *, max_megapixels: float = SCAN_MEGAPIXELS) -> Iterator[Scan]:
    """Read the pages of a TIFF, the frames of an animation, or the one picture of another file, one by one.

    Every file goes the same way, whatever its mode: photometric meaning, scale, profile, alpha, orientation; `to_srgb`
    says how. Up to 8 bits stay 8 bits, and more become 16.

    Args:
        file: a path, the bytes of a file, or an image that PIL has opened, of which the current frame is read.
        max_megapixels: what is larger is refused before it is decoded.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadablePhotoError: the file is no image, is damaged, or is too large.
    """
    name = str(file) if isinstance(file, Path) else "image"
    pages: Iterator[Scan] = _pages(file, max_megapixels)
    while True:
        try:
            scan = next(pages)
        except StopIteration:
            return
        except FileNotFoundError:
            raise
        except TooLargeError as error:
            raise UnreadablePhotoError(f"{name} is too large: {error}") from error
        except MissingReaderError as error:
            raise UnreadablePhotoError(f"{name} cannot be read here: {error}") from error
        except _DAMAGE as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, UnidentifiedImageError):  # whose words name the memory that was read
                reason = "it is of no kind that is known here"
            raise UnreadablePhotoError(f"{name} cannot be read as a photo: {reason}") from error
        yield scan


def _pages(file: File, max_megapixels: float) -> Iterator[Scan]:
    for page in decode(file, max_megapixels):
        pixels, alpha = to_srgb(page.samples)
        turn = page.metadata.orientation
        alpha = None if alpha is None else upright(alpha, turn)
        yield Scan(upright(pixels, turn), alpha, page.metadata.upright(), page.duration_ms)


def read_scan(file: File, *, max_megapixels: float = SCAN_MEGAPIXELS) -> Scan:
    """Read the first picture of a file at its full depth; see `read_pages`."""
    return next(read_pages(file, max_megapixels=max_megapixels))


def read_photo(file: File, *, max_megapixels: float = DATA_MEGAPIXELS) -> Image.Image:
    """Read the first picture of a file as it is meant to be seen, with 8 bits; see `read_pages`.

    Returns:
        An image of mode `RGB`, or `RGBA` if the photo has transparency.
    """
    return read_scan(file, max_megapixels=max_megapixels).to_image()


def read_reduced_photo(file: Path | bytes, least_side: int) -> Image.Image:
    """Read a photo as `read_photo` does, a JPEG at a half, a quarter or an eighth of its size where that is enough.

    Its decoder leaves out most of the work then, and averages as it does so (libjpeg's scaled inverse transform).

    Args:
        file: a path, or the bytes of a file.
        least_side: pixels that the shorter side of the result has at least, if the photo has them.
    """
    if not head_of(file).startswith(b"\xff\xd8\xff"):
        return read_photo(file)
    try:
        image = open_image(file)
        if image.width * image.height <= DATA_MEGAPIXELS * 1e6:
            share = least_side / min(image.size)
            image.draft(None, (math.ceil(image.width * share), math.ceil(image.height * share)))
            return read_photo(image)
    except (OSError, UnreadablePhotoError):
        pass  # the whole file says what is wrong
    return read_photo(file)


def save_photo(image: Image.Image, path: Path) -> None:
    """Write a picture of 8 bits atomically, in the format of its ending; JPEG at quality 95 with full chroma.

    JPEG's usual 4:2:0 would throw away three quarters of the chroma that was just made.
    """
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    with atomic(path) as temporary:
        if jpeg:
            image.convert("RGB").save(temporary, format="JPEG", quality=95, subsampling=0)
        else:
            image.save(temporary, format=Image.registered_extensions()[path.suffix.lower()])
