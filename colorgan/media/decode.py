"""Decode the pages of a photo's file to samples: each format by the library that gives all of its bits."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from colorgan.media.boxed import decode_avif, decode_heif, decode_jpeg2000, decode_jxl
from colorgan.media.deep import decode_deep_png, decode_pnm, decode_raw
from colorgan.media.pillow import decode_with_pil, open_image, page_of
from colorgan.media.samples import Check, Page, TooLargeError
from colorgan.media.signatures import head_of, is_avif, is_deep_png, is_heif, is_jpeg2000, is_jxl, is_raw, is_tiff
from colorgan.media.tiff import is_camera_raw, open_tiff, read_page

File = Path | bytes | Image.Image
Decoder = Callable[[Any, Check], Iterator[Page]]


def decode(file: File, max_megapixels: float) -> Iterator[Page]:
    """Decode the pages of a file one after the other.

    Args:
        file: a path, the bytes of a file, or an image that PIL has opened, of which one page is read.
        max_megapixels: what is larger is refused before it is decoded.

    Raises:
        TooLargeError: a page has more pixels.
        MissingReaderError: the format needs an extra that is not installed.
        Exception: whatever the decoder trips over, if the file is damaged or no photo.
    """

    def check(width: int, height: int) -> None:
        if width * height > max_megapixels * 1e6:
            raise TooLargeError(f"{width}x{height} pixels are more than {max_megapixels:g} megapixels")

    if isinstance(file, Image.Image):
        return iter([page_of(file, check)])
    return _decoder_of(file)(file, check)


def _decoder_of(file: Path | bytes) -> Decoder:
    head = head_of(file)
    kinds: list[tuple[bool, Decoder]] = [
        (is_raw(head) or (is_tiff(head) and is_camera_raw(file)), decode_raw),
        (is_tiff(head), _decode_tiff),
        (is_deep_png(head), decode_deep_png),
        (is_jxl(head), decode_jxl),
        (is_jpeg2000(head), decode_jpeg2000),
        (is_avif(head), decode_avif),
        (is_heif(head), decode_heif),
        (re.match(rb"P[56]\s", head) is not None, decode_pnm),
    ]
    return next((decoder for fits, decoder in kinds if fits), decode_with_pil)


def _decode_tiff(file: Path | bytes, check: Check) -> Iterator[Page]:
    with open_tiff(file) as pages:
        for page in pages:
            check(page.imagewidth, page.imagelength)
            try:
                yield Page(*read_page(page))
            except NotImplementedError:  # YCbCr and rare compressions
                image = open_image(file)
                image.seek(page.index)
                yield page_of(image, check)
