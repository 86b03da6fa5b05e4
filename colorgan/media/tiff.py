"""Read the pages of a TIFF file with samples of any depth and meaning."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC, TiffPage

from colorgan.media.metadata import Metadata, metadata_of_page
from colorgan.media.samples import Alpha, Samples, Space, row_strips

_REDUCED_OR_MASK = 0b101  # NewSubfileType: a thumbnail, a transparency mask
_CAMERA = (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW)
_SPACES: dict[int, Space] = {
    PHOTOMETRIC.MINISWHITE: "gray",
    PHOTOMETRIC.MINISBLACK: "gray",
    PHOTOMETRIC.RGB: "rgb",
    PHOTOMETRIC.PALETTE: "rgb",
    PHOTOMETRIC.SEPARATED: "cmyk",
    PHOTOMETRIC.CIELAB: "lab",
    PHOTOMETRIC.ICCLAB: "lab",
}
_LOSSLESS = (COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS)
_CHANNELS: dict[Space, int] = {"gray": 1, "rgb": 3, "cmyk": 4, "lab": 3}


@contextmanager
def open_tiff(file: Path | bytes) -> Iterator[list[TiffPage]]:
    """Open a TIFF file: the pages that are pictures, without thumbnails and masks."""
    with tifffile.TiffFile(io.BytesIO(file) if isinstance(file, bytes) else file) as tiff:
        pages = [page.aspage() for page in tiff.pages]
        yield [page for page in pages if not page.subfiletype & _REDUCED_OR_MASK] or pages


def is_camera_raw(file: Path | bytes) -> bool:
    """Tell camera raw (DNG, NEF, CR2, ARW ...), which is a TIFF with the values of a sensor, from a picture."""
    with tifffile.TiffFile(io.BytesIO(file) if isinstance(file, bytes) else file) as tiff:
        first = tiff.pages.first
        below = list(first.pages) if first.pages is not None else []
        return 50706 in first.tags or any(page.aspage().photometric in _CAMERA for page in (first, *below))


def read_page(page: TiffPage) -> tuple[Samples, Metadata]:
    """Decode a page, and read what else it says.

    Raises:
        NotImplementedError: its colours or its compression are of a kind that is not known here.
    """
    space = _SPACES.get(page.photometric)
    ycbcr = page.photometric == PHOTOMETRIC.YCBCR
    deep_jpeg = ycbcr and page.compression == COMPRESSION.JPEG and page.bitspersample == 12  # PIL knows 8
    plain_ycbcr = ycbcr and page.compression in _LOSSLESS and page.subsampling == (1, 1) and page.dtype == np.uint8
    if deep_jpeg or plain_ycbcr:
        space = "rgb"
    if space is None:
        raise NotImplementedError(f"photometric {page.photometric} is not known")
    end = max((a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
    if end > page.parent.filehandle.size:  # JPEG's decoder would fill up with gray
        raise ValueError(f"the file is cut off: its pixels end at byte {end} of {page.parent.filehandle.size}")
    values = page.asarray()
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        values = np.moveaxis(values, 0, -1)
    if values.ndim not in (2, 3):
        raise NotImplementedError(f"pages of {values.ndim} dimensions are not known")
    if page.photometric == PHOTOMETRIC.PALETTE:
        # 16 bits an entry: writers differ in v * 256 and v * 257, whose upper bytes are the same
        table = (np.asarray(page.colormap) >> 8).astype(np.uint8).T
        numbers, bits = values if values.ndim == 2 else values[..., 0], 8
        values = np.concatenate([table[numbers], *([values[..., 1:]] if values.ndim == 3 else [])], axis=-1)  # alpha
    else:
        bits = int(page.bitspersample)
    values, alpha = _without_extras(values, page, _CHANNELS[space])
    if plain_ycbcr:
        values = _from_ycbcr(values)
    if space == "lab":
        values, alpha = _as_lab(values[..., :3], page), "none"
    stated = page.tags.valueof(341)  # SMaxSampleValue, one a sample
    profile = page.tags.valueof(34675)
    samples = Samples(
        values,
        space,
        bits=bits,
        inverted=page.photometric == PHOTOMETRIC.MINISWHITE,
        alpha=alpha,
        white=float(np.max(stated)) if stated is not None else None,
        profile=bytes(profile) if profile else None,
    )
    return samples, metadata_of_page(page)


def _from_ycbcr(values: np.ndarray) -> np.ndarray:
    """Convert YCbCr of full range, 8 bits, to RGB, by the luma of TIFF's default (BT.601)."""
    rgb = np.empty(values.shape, np.uint8)
    for rows in row_strips(*values.shape[:2]):
        luma, blue, red = np.moveaxis(values[rows].astype(np.float64), -1, 0)
        blue, red = blue - 128, red - 128
        channels = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
        rgb[rows] = np.rint(np.clip(np.stack(channels, axis=-1), 0, 255))
    return rgb


def _without_extras(values: np.ndarray, page: TiffPage, channels: int) -> tuple[np.ndarray, Alpha]:
    """Drop the samples that are neither colour nor alpha; say what kind of alpha is left."""
    extras = values.shape[-1] - channels if values.ndim == 3 else 0
    if extras < 0 or (values.ndim == 2 and channels > 1):
        raise NotImplementedError(f"photometric {page.photometric} with {values.shape[2:]} samples is not known")
    kinds = list(page.extrasamples)[:extras]
    if page.photometric == PHOTOMETRIC.RGB and extras == 1 and not kinds:
        kinds = [tifffile.EXTRASAMPLE.UNASSALPHA]  # the tag is missing, and a fourth sample is meant as alpha
    for number, kind in enumerate(kinds):
        if kind in (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA):
            chosen = [*range(channels), channels + number]
            straight = kind == tifffile.EXTRASAMPLE.UNASSALPHA
            return values[..., chosen], "straight" if straight else "premultiplied"
    return values[..., :channels] if values.ndim == 3 else values, "none"


def _as_lab(values: np.ndarray, page: TiffPage) -> np.ndarray:
    """Bring Lab, 8 or 16 bits, to the 16 bits of `Samples`: CIELAB has signed a and b, ICCLAB an offset."""
    if values.dtype not in (np.uint8, np.uint16, np.int8, np.int16):
        raise NotImplementedError(f"Lab of type {values.dtype} is not known")
    wide = values.dtype.itemsize == 2
    stored = values.view(np.uint16 if wide else np.uint8)
    lab = np.empty(stored.shape, np.uint16)
    signed = page.photometric == PHOTOMETRIC.CIELAB
    step = 256 if wide else 1
    # 16-bit ICCLAB counts L of 100 as 65280, the others fill the type
    lightest = 65280 if wide and not signed else 65535 if wide else 255
    for rows in row_strips(*stored.shape[:2]):
        strip = stored[rows].astype(np.float64)
        lab[rows, :, 0] = np.rint(np.minimum(strip[..., 0] / lightest, 1) * 65535)
        ab = strip[..., 1:3]
        if signed:
            ab = np.where(ab >= 128 * step, ab - 256 * step, ab) + 128 * step
        lab[rows, :, 1:] = np.clip(np.rint(ab / step * 257), 0, 65535)
    return lab
