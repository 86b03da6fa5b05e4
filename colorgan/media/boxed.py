"""Decode the formats that are made of boxes, at their full depth: JPEG 2000, JPEG XL, AVIF and HEIF."""

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np

from colorgan.media.jxl import read_jxl_header
from colorgan.media.metadata import Metadata, metadata_of, metadata_of_blobs
from colorgan.media.pillow import decode_with_pil, open_image, page_of
from colorgan.media.samples import Check, Page, Samples
from colorgan.media.signatures import content_of

_XMP, _EXIF = bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), b"JpgTiffExif->JP2"
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")


def decode_jpeg2000(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Decode JPEG 2000; PIL would keep eight bits of deeper colours, and not fill eight with fewer."""
    image = open_image(file)
    check(*image.size)
    content = content_of(file)
    start = content.find(b"\xff\x4f\xff\x51")  # SOC and SIZ: the depth of the first component is 42 bytes on
    bits = (content[start + 42] & 0x7F) + 1
    metadata = _with_uuid_boxes(metadata_of(image), content) if start > 0 else metadata_of(image)
    if bits == 8 or (bits < 8 and b"pclr" in content[:start]):
        yield page_of(image, check)._replace(metadata=metadata)
        return
    values = imagecodecs.jpeg2k_decode(content)
    yield Page(_samples(values, bits, image.info.get("icc_profile")), metadata)


def _with_uuid_boxes(metadata: Metadata, content: bytes) -> Metadata:
    """Add EXIF, XMP and IPTC, which JPEG 2000 holds in boxes with names of 16 bytes."""
    blobs = {box[:16]: box[16:] for kind, box in _boxes(content) if kind == b"uuid"}
    found = metadata_of_blobs(blobs.get(_EXIF, b"").removeprefix(b"Exif\0\0"), blobs.get(_XMP, b""))
    return replace(metadata, exif=found.exif, xmp=found.xmp, iptc=blobs.get(_IPTC, b""))


def decode_jxl(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Decode JPEG XL.

    Raises:
        ValueError: it is an animation, whose times the decoder does not tell.
    """
    content = content_of(file)
    boxes = dict(_boxes(content)) if content[:2] != b"\xff\x0a" else {b"jxlc": content}
    parts = [box[4:] for kind, box in _boxes(content) if kind == b"jxlp"]
    header = read_jxl_header(boxes[b"jxlc"] if b"jxlc" in boxes else b"".join(parts))
    check(header.width, header.height)
    if header.animated:
        raise ValueError("it is an animation, which is not read from JPEG XL; convert it to APNG or WebP")
    values = imagecodecs.jpegxl_decode(content)
    samples = _samples(values, 8 * values.dtype.itemsize if header.is_float else header.bits, header.profile)
    if header.premultiplied and samples.alpha == "straight":
        samples = replace(samples, alpha="premultiplied")
    metadata = metadata_of_blobs(boxes.get(b"Exif", b"")[4:], boxes.get(b"xml ", b""))
    yield Page(samples, metadata.upright())  # the decoder has turned it


def decode_avif(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Decode AVIF; PIL would keep eight bits of deeper colours."""
    image = open_image(file)
    check(*image.size)
    content = content_of(file)
    start = content.find(b"av1C")
    deep = start > 0 and content[start + 6] & 0x40
    if not deep or getattr(image, "n_frames", 1) > 1:
        yield from decode_with_pil(file, check)
        return
    values = imagecodecs.avif_decode(content)
    bits = 12 if content[start + 6] & 0x20 else 10
    yield Page(_samples(values, bits, image.info.get("icc_profile")), metadata_of(image))


def decode_heif(file: Path | bytes, check: Check) -> Iterator[Page]:
    """Decode HEIF; PIL would keep eight bits of deeper colours."""
    image = open_image(file)
    check(*image.size)
    if image.info.get("bit_depth", 8) <= 8:
        yield page_of(image, check)
        return
    from pillow_heif import open_heif  # an extra, which `open_image` has found

    opened = open_heif(io.BytesIO(content_of(file)), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    yield Page(
        _samples(np.asarray(opened), int(image.info["bit_depth"]), image.info.get("icc_profile")), metadata_of(image)
    )


def _samples(values: np.ndarray, bits: int, profile: bytes | None) -> Samples:
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    channels = 1 if values.ndim == 2 else values.shape[-1]
    alpha = channels in (2, 4)
    return Samples(
        values,
        "gray" if channels <= 2 else "rgb",
        bits=bits,
        alpha="straight" if alpha else "none",
        profile=profile,
    )


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        header = 8
        if size == 1:
            size, header = struct.unpack_from(">Q", content, place + 8)[0], 16
        size = size or len(content) - place
        yield kind, content[place + header : place + size]
        place += max(size, header)
