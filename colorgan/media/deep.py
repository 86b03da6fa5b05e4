"""Decode pictures of more than 8 bits, of which PIL would keep the upper eight."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np

from colorgan.media.metadata import Metadata, metadata_of, metadata_of_page
from colorgan.media.pillow import EXTRA, decode_with_pil, open_image, stated_profile
from colorgan.media.samples import Check, MissingReaderError, Page, Samples, Space
from colorgan.media.signatures import content_of, head_of, is_tiff
from colorgan.media.tiff import open_tiff


def decode_deep_png(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Decode PNG of 16 bits, of which PIL would keep the upper eight."""
    image = open_image(file)
    check(*image.size)
    image.load()  # checks all blocks, and reads the texts behind the pixels
    metadata = metadata_of(image)
    values = imagecodecs.png_decode(content_of(file))
    channels = 1 if values.ndim == 2 else values.shape[-1]
    space: Space = "gray" if channels <= 2 else "rgb"
    profile = image.info.get("icc_profile") or stated_profile(image, space, metadata)
    alpha = channels in (2, 4)
    yield Page(Samples(values, space, bits=16, alpha="straight" if alpha else "none", profile=profile), metadata)


def decode_pnm(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Decode PGM and PPM, of which PIL keeps eight bits of deeper colours."""
    header = re.match(
        rb"P([56])(?:\s+(?:#[^\n]*\n\s*)*)(\d+)\s+(?:#[^\n]*\n\s*)*(\d+)\s+(?:#[^\n]*\n\s*)*(\d+)\s",
        head_of(file, 4096),
    )
    if header is None or int(header[4]) <= 255:
        yield from decode_with_pil(file, check)
        return
    kind, width, height, top = (int(header[n]) for n in range(1, 5))
    check(width, height)
    shape = (height, width) if kind == 5 else (height, width, 3)
    count = int(np.prod(shape))
    values = np.frombuffer(content_of(file), ">u2", count=count, offset=header.end()).reshape(shape)
    scaled = (
        values.astype(np.uint16) if top == 65535 else np.rint(np.minimum(values, top) * (65535 / top)).astype(np.uint16)
    )
    yield Page(Samples(scaled, "gray" if kind == 5 else "rgb", bits=16), Metadata())


def decode_raw(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Develop camera raw as its camera would, without brightening, in 16 bits."""
    try:
        import rawpy
    except ImportError:
        raise MissingReaderError(f"camera raw needs {EXTRA}") from None
    with rawpy.imread(io.BytesIO(file) if isinstance(file, bytes) else str(file)) as raw:
        check(raw.sizes.width, raw.sizes.height)
        srgb_curve = (2.4, 12.92)
        values = raw.postprocess(output_bps=16, use_camera_wb=True, no_auto_bright=True, gamma=srgb_curve)
    metadata = Metadata()
    if is_tiff(head_of(file)):
        with open_tiff(file) as pages:
            metadata = metadata_of_page(pages[0])
    yield Page(Samples(values, "rgb", bits=16), metadata.upright())  # it was turned
