"""Write pictures with their metadata, at their full depth where the format holds it."""

import logging
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import tifffile
from PIL import Image, ImageCms, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from colorgan.files import atomic
from colorgan.media.metadata import Metadata, encodable
from colorgan.media.scan import Scan

logger = logging.getLogger(__name__)

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_INCH = 0.0254  # metres
_LARGEST_SEGMENT = 65_000  # of a JPEG: its lengths have 16 bits
# EXIF and GPS are directories of their own, which tifffile does not write: their tags stand in under a free number.
_PLACES = {34665: 34664, 34853: 34852}
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_PLAIN = {".bmp": "BMP", ".ppm": "PPM", ".gif": "GIF"}  # these hold no metadata that we write
_TEXT_TAGS = {"Description": 270, "Software": 305, "Author": 315, "Copyright": 33432}  # PNG's keywords
_LONGEST_SIDES = {**dict.fromkeys(_JPEG, 65500), ".webp": 16383, ".gif": 65535, ".avif": 65536}
PAGED = frozenset({".tif", ".tiff"})
ANIMATED = frozenset({".png", ".apng", ".webp", ".gif"})
OUT_ENDINGS = frozenset({*PAGED, *ANIMATED, *_JPEG, ".avif", *_PLAIN})


def write_scans(scans: Iterable[Scan], path: Path) -> None:
    """Write a picture, the pages of a TIFF or the frames of an animation atomically, in the format of the ending.

    PNG and TIFF keep 16 bits, other formats get 8. PNG, TIFF and WebP are lossless; JPEG has quality 95 with full
    chroma. EXIF, XMP, IPTC, resolution and texts are written where the format has a place for them.

    Args:
        scans: pictures; several only where `PAGED` or, of one size, `ANIMATED` has the ending.
        path: its ending is one of `OUT_ENDINGS`.

    Raises:
        ValueError: a picture is wider or higher than the format can hold.
    """
    ending = path.suffix.lower()
    if ending in (*PAGED, *_JPEG, ".webp", ".avif"):
        scans = (replace(scan, metadata=_with_texts_as_exif(scan.metadata, ending)) for scan in scans)
    with atomic(path) as temporary:
        if ending in PAGED:
            _write_tiff(scans, temporary)
            return
        pictures = iter(scans)
        first = next(pictures)
        _check_fits(first, path)
        second = next(pictures, None)
        if second is not None:
            _write_animation(chain([first, second], pictures), first.metadata, temporary, ending)
        elif ending in (".png", ".apng"):
            with temporary.open("wb") as file:
                _write_png(first, file)
        elif ending in _JPEG:
            _write_jpeg(first, temporary)
        elif ending in _PLAIN:
            first.to_image().convert("RGB").save(temporary, format=_PLAIN[ending])
        else:
            _write_with_pil(first, temporary, ending)


def _with_texts_as_exif(metadata: Metadata, ending: str) -> Metadata:
    """Put PNG's texts into EXIF, which has a place for some of them; the others are named."""
    kept = {"Comment"} if ending in _JPEG else set()
    if left := metadata.text.keys() - _TEXT_TAGS.keys() - kept:
        names = ", ".join(sorted(left))
        logger.warning("%s has no place for the texts %s, which are left out; PNG holds them", ending, names)
    texts = {_TEXT_TAGS[key]: text for key, text in metadata.text.items() if key in _TEXT_TAGS}
    latin = {tag: text.encode().decode("latin-1") for tag, text in texts.items()}  # UTF-8 where ASCII is usual
    return replace(metadata, exif={**latin, **metadata.exif})


def _check_fits(scan: Scan, path: Path) -> None:
    """Refuse sides that are too long for the format."""
    height, width = scan.pixels.shape[:2]
    longest = _LONGEST_SIDES.get(path.suffix.lower())
    if longest is not None and max(height, width) > longest:
        raise ValueError(
            f"{width}x{height} pixels do not fit into {path}: it holds {longest} a side, PNG and TIFF more"
        )


def _write_png(scan: Scan, file: BinaryIO) -> None:
    pixels = scan.to_array()
    encoded = imagecodecs.png_encode(pixels.ravel().reshape(pixels.shape))  # of one pixel numpy takes any strides
    header = 33  # signature and IHDR
    file.write(encoded[:header])
    for kind, content in _png_chunks(scan.metadata):
        file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    file.write(memoryview(encoded)[header:])


def _png_chunks(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    yield b"sRGB", b"\0"
    if metadata.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(dpi / _INCH) for dpi in metadata.dpi), 1)
    if exif := metadata.exif_bytes():
        yield b"eXIf", exif
    for kind, content, *_ in _png_texts(metadata).chunks:
        yield kind, content


def _png_texts(metadata: Metadata) -> PngInfo:
    info = PngInfo()
    for keyword, text in metadata.text.items():
        info.add_text(keyword, text)
    if metadata.xmp:
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    if metadata.iptc:  # as ImageMagick and ExifTool write it
        info.add_text("Raw profile type iptc", f"\niptc\n{len(metadata.iptc):8d}\n{metadata.iptc.hex()}\n", zip=True)
    return info


def _write_jpeg(scan: Scan, path: Path) -> None:
    metadata = scan.metadata
    options: dict[str, Any] = {}
    if metadata.dpi:
        options["dpi"] = tuple(round(dpi) for dpi in metadata.dpi)
    if comment := metadata.text.get("Comment"):
        options["comment"] = comment
    exif = metadata.exif_bytes()
    blocks = {"exif": b"Exif\0\0" + exif if exif else b"", "xmp": metadata.xmp, "extra": _photoshop(metadata.iptc)}
    for name, block in blocks.items():
        if len(block) > _LARGEST_SEGMENT:
            logger.warning(
                "%s of %d bytes is too long for a JPEG and is left out; PNG and TIFF hold it", name, len(block)
            )
        elif block:
            options[name] = block
    image = scan.to_image().convert("RGB")
    image.save(path, format="JPEG", quality=95, subsampling=0, icc_profile=_SRGB, **options)


def _photoshop(iptc: bytes) -> bytes:
    """Pack IPTC into a JPEG segment, as Photoshop does."""
    if not iptc:
        return b""
    content = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + struct.pack(">H", min(len(content) + 2, 65535)) + content


def _write_with_pil(scan: Scan, path: Path, ending: str) -> None:
    options = {"lossless": True} if ending == ".webp" else {"quality": 95, "subsampling": "4:4:4"}
    scan.to_image().save(path, format=ending[1:].upper(), icc_profile=_SRGB, **_blocks(scan.metadata), **options)


def _blocks(metadata: Metadata) -> dict[str, bytes]:
    exif = metadata.exif_bytes()
    return {name: block for name, block in (("exif", exif), ("xmp", metadata.xmp)) if block}


def _write_animation(scans: Iterable[Scan], metadata: Metadata, path: Path, ending: str) -> None:
    durations: list[int] = []

    def images() -> Iterator[Image.Image]:
        for scan in scans:
            durations.append(round(scan.duration_ms or 100))
            yield scan.to_image()

    first, *others = images()
    options: dict[str, Any] = {"save_all": True, "append_images": others, "duration": durations}
    if metadata.loop is not None or ending != ".gif":
        options["loop"] = 1 if metadata.loop is None else metadata.loop
    if ending in (".png", ".apng"):
        options |= {"pnginfo": _png_texts(metadata), **_blocks(metadata)}
        options.pop("xmp", None)
    elif ending == ".webp":
        options |= {"lossless": True, "icc_profile": _SRGB, **_blocks(metadata)}
    first.save(path, format={".webp": "WEBP", ".gif": "GIF"}.get(ending, "PNG"), **options)


def _write_tiff(scans: Iterable[Scan], path: Path) -> None:
    directories: list[dict[int, Any]] = []
    with tifffile.TiffWriter(path, byteorder="<") as writer:
        for scan in scans:
            directories.append(_write_page(scan, writer))
    _append_directories(path, directories)


def _write_page(scan: Scan, writer: tifffile.TiffWriter) -> dict[int, Any]:
    """Write a page; its EXIF and GPS directories, whose places are zero yet, are returned."""
    metadata, exif = scan.metadata, dict(scan.metadata.exif)
    directories = {tag: exif.pop(tag) for tag in _PLACES if tag in exif}
    for tag in (282, 283, 296):  # the resolution has arguments of its own
        exif.pop(tag, None)
    description, software, date = (exif.pop(tag, None) for tag in (270, 305, 306))
    tags: list[tuple[int, int, int, Any, bool]] = [_tag(tag, value) for tag, value in exif.items()]
    tags += [(_PLACES[tag], 4, 1, 0, True) for tag in directories]
    tags += [(700, 1, len(metadata.xmp), metadata.xmp, True)] if metadata.xmp else []
    tags += [(33723, 7, len(metadata.iptc), metadata.iptc, True)] if metadata.iptc else []
    tags += [_tag(tag, value) for tag, value in ((270, description), (305, software), (306, date)) if value is not None]
    pixels = scan.to_array()
    writer.write(
        pixels,
        photometric="rgb",
        extrasamples=None if scan.alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=True,
        rowsperstrip=max(1, (1 << 22) // (pixels[0].nbytes)),
        iccprofile=_SRGB,
        resolution=metadata.dpi,
        resolutionunit="inch" if metadata.dpi else None,
        software=False,
        metadata=None,
        extratags=tags,
    )
    return directories


def _tag(tag: int, value: Any) -> tuple[int, int, int, bytes, bool]:
    """Encode a tag as tifffile takes it; PIL knows the types."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    directory[tag] = encodable(value)
    encoded = directory.tobytes()
    kind, count = struct.unpack_from("<HI", encoded, 4)
    size = count * _TYPE_SIZES[kind]
    start = 10 if size <= 4 else 18  # behind count, tag, type and number; or behind the directory of one entry
    return tag, kind, count, encoded[start : start + size], True


def _append_directories(path: Path, directories: Sequence[Mapping[int, Any]]) -> None:
    """Put EXIF and GPS at the end of the file, and their places into the pages."""
    if not any(directories):
        return
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for page, own in zip(tiff.pages, directories, strict=True):
            for tag, values in own.items():
                directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=tag)
                for key, value in values.items():
                    directory[key] = encodable(value)
                place = tiff.filehandle.seek(0, 2)
                place += place % 2
                tiff.filehandle.seek(place)
                tiff.filehandle.write(directory.tobytes(place))
                tiff.filehandle.seek(page.aspage().tags[_PLACES[tag]].offset)
                tiff.filehandle.write(struct.pack("<HHII", tag, 4, 1, place))
