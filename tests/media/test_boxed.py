"""JPEG 2000, JPEG XL and HEIF beyond the grid: depth, metadata in boxes, what is refused."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from colorgan.media.photo import UnreadablePhotoError, read_scan

XMP = b"<x:xmpmeta><rdf:RDF></rdf:RDF></x:xmpmeta>"


def uuid_box(name, content):
    return struct.pack(">I4s", 24 + len(content), b"uuid") + name + content


def test_shallow_white_of_jpeg2000_is_white():
    levels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    content = imagecodecs.jpeg2k_encode(levels, level=0, codecformat="jp2", reversible=True, bitspersample=4)
    assert np.array_equal(read_scan(bytes(content)).pixels, levels * 17)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_metadata_of_jpeg2000_is_read(dtype):
    exif = Image.Exif()
    exif[270] = "A barn"
    content = bytes(imagecodecs.jpeg2k_encode(np.zeros((20, 30), dtype), level=0, codecformat="jp2"))
    content += uuid_box(b"JpgTiffExif->JP2", exif.tobytes()[6:])
    content += uuid_box(bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), XMP)
    content += uuid_box(bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"), b"\x1c\x02\x78\x00\x01x")
    metadata = read_scan(content).metadata
    assert (metadata.exif, metadata.xmp, metadata.iptc) == ({270: "A barn"}, XMP, b"\x1c\x02\x78\x00\x01x")


def test_an_animated_jxl_is_refused_in_words():
    content = imagecodecs.jpegxl_encode(np.zeros((2, 8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(UnreadablePhotoError, match="animation"):
        read_scan(bytes(content))


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_heif_keeps_its_bits(bits):
    heif = pytest.importorskip("pillow_heif")
    levels = np.random.default_rng(0).integers(0, 2**bits, (48, 64, 3), np.uint16)
    heif.options.SAVE_HDR_TO_12_BIT, before = bits == 12, heif.options.SAVE_HDR_TO_12_BIT
    buffer, stored = io.BytesIO(), (levels << (16 - bits)).tobytes()
    heif.encode("RGB;16", (64, 48), stored, buffer, quality=-1, matrix_coefficients=0, chroma=444)
    heif.options.SAVE_HDR_TO_12_BIT = before
    assert np.array_equal(read_scan(buffer.getvalue()).pixels, np.rint(levels / (2**bits - 1) * 65535))
