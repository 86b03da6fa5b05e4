"""Read what a photo says beside its pixels, and write it into the coloured one with a mark of how it was made."""

import logging
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from PIL import ExifTags, Image
from tifffile import TiffPage

logger = logging.getLogger(__name__)

_EXIF, _GPS, _INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 274, 282, 283, 296
_XMP, _IPTC, _PHOTOSHOP = 700, 33723, 34377
# How the pixels of the old file are laid out, which is not how those of the new one are; and what has its own place.
_LAYOUT = {
    *range(254, 260),
    *range(262, 267),
    *(273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293, 297, 301),
    *range(317, 326),
    *(330, 332, 333, 334, 336, *range(338, 344), 347),
    *range(512, 522),
    *(529, 530, 531, 532, 33421, 33422, *range(50706, 52600)),  # the last two: the sensor of a camera, DNG
    *(34675, _XMP, _IPTC, _PHOTOSHOP),
}
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)([1-8])")
_EXIF_SIZE = {0xA002: 0, 0xA003: 1}  # PixelXDimension, PixelYDimension
_COLOR_SPACE, _SRGB = 0xA001, 1
_ADOBE_RGB = 2  # not in the standard, but written by cameras
_DAMAGE = (
    ValueError,
    TypeError,
    OSError,
    KeyError,
    IndexError,
    AttributeError,
    SyntaxError,
    OverflowError,
    struct.error,
)


@dataclass(frozen=True)
class Metadata:
    """Hold what a photo says beside its pixels.

    Args:
        exif: values by tag; those of the sub-directories (EXIF, GPS) as dicts under their tags.
        xmp: an XMP packet.
        iptc: IPTC-IIM records.
        dpi: pixels an inch, across and down.
        text: PNG's texts and JPEG's and GIF's comment, by keyword.
        loop: how often an animation is repeated; 0 for ever, None for once.
    """

    exif: Mapping[int, Any] = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""
    dpi: tuple[float, float] | None = None
    text: Mapping[str, str] = field(default_factory=dict)
    loop: int | None = None

    @property
    def orientation(self) -> int:
        """How the stored picture is to be turned: EXIF's number, else XMP's; 1, as it is, where neither is sound."""
        stated = self.exif.get(_ORIENTATION)
        if stated is None and (found := _XMP_ORIENTATION.search(self.xmp)):
            stated = int(found[2])
        return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1

    @property
    def is_adobe_rgb(self) -> bool:
        """Whether EXIF says that the colours are Adobe RGB, as cameras do without a profile (DCF 2.0)."""
        details = self.exif.get(_EXIF, {})
        return bool(details.get(_COLOR_SPACE) == _ADOBE_RGB or details.get(_INTEROP, {}).get(1) == "R03")

    def upright(self) -> "Metadata":
        """Say that the pixels are upright sRGB, as they are once they were read."""
        exif, dpi, turned = dict(self.exif), self.dpi, self.orientation >= 5
        exif.pop(_ORIENTATION, None)
        if turned:
            dpi = dpi[::-1] if dpi else None
            across, down = exif.pop(_X_RESOLUTION, None), exif.pop(_Y_RESOLUTION, None)
            exif.update({tag: v for tag, v in ((_X_RESOLUTION, down), (_Y_RESOLUTION, across)) if v is not None})
        if _EXIF in exif:
            details = {tag: value for tag, value in exif[_EXIF].items() if tag not in _EXIF_SIZE}
            sizes = [exif[_EXIF].get(tag) for tag in _EXIF_SIZE]
            details.update(zip(_EXIF_SIZE, sizes[::-1] if turned else sizes, strict=True) if all(sizes) else ())
            if _COLOR_SPACE in details:
                details[_COLOR_SPACE] = _SRGB
            if details.get(_INTEROP, {}).get(1) == "R03":
                details[_INTEROP] = {**details[_INTEROP], 1: "R98"}
            exif[_EXIF] = details
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", self.xmp)
        return replace(self, exif=exif, dpi=dpi, xmp=xmp)

    def exif_bytes(self) -> bytes:
        """Encode EXIF, as it stands in PNG and, behind `Exif` and two zeros, in JPEG; empty if there is none."""
        exif = Image.Exif()
        for tag, value in self.exif.items():
            exif[tag] = encodable(value)
        return exif.tobytes()[6:] if self.exif else b""


def encodable(value: Any) -> Any:
    """Give text as the bytes that it was read from: PIL reads Latin-1, and would write ASCII and question marks."""
    if isinstance(value, Mapping):
        return {tag: encodable(part) for tag, part in value.items()}
    return value.encode("latin-1", "replace") if isinstance(value, str) and not value.isascii() else value


def metadata_of(image: Image.Image) -> Metadata:
    """Read the metadata of an image that PIL has opened."""
    info = image.info
    xmp = info.get("xmp", info.get("XML:com.adobe.xmp", b""))
    text = {key: str(value) for key, value in getattr(image, "text", {}).items() if _is_plain_text(key)}
    comment = info.get("comment", b"")
    if comment:
        text["Comment"] = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    exif, dpi = _sound(_exif_of(image)), info.get("dpi")
    return Metadata(
        exif=exif,
        xmp=_xmp_of(xmp),
        iptc=_iptc_of(info),
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else _resolution_in(exif),
        text=text,
        loop=info.get("loop"),
    )


def metadata_of_page(page: TiffPage) -> Metadata:
    """Read the metadata of a page of a TIFF file."""
    found: dict[int, Any] = {}
    try:
        if page.parent.is_bigtiff and page.parent.byteorder == ">":  # PIL takes it for a small one
            found = _plain_tags(page)
        else:
            exif = Image.Exif()
            exif.endian, exif.bigtiff = page.parent.byteorder, page.parent.is_bigtiff
            exif.load_from_fp(cast(Any, page.parent.filehandle), page.offset)
            found = _directories(exif)
    except _DAMAGE as error:
        logger.warning("%s: its EXIF is damaged and left out: %s", page.parent.filename, error)
    iptc, packed = page.tags.get(_IPTC), page.tags.get(_PHOTOSHOP)
    records = iptc.value if iptc is not None else b""
    if not isinstance(records, bytes):  # some writers give it the type LONG
        records = struct.pack(f"{page.parent.byteorder}{len(records)}I", *records)
    if not records and packed is not None and isinstance(packed.value, bytes):
        records = _iptc_in(packed.value)
    exif_found, xmp = _sound(found), _xmp_of(page.tags.valueof(_XMP, b""))
    return Metadata(exif=exif_found, xmp=xmp, iptc=records, dpi=_resolution_in(exif_found))


def _plain_tags(page: TiffPage) -> dict[int, Any]:
    """Read the texts and whole numbers of a page, which orientation, description and copyright are."""
    left_out = {*_LAYOUT, int(_EXIF), int(_GPS)}
    if _EXIF in page.tags or _GPS in page.tags:
        logger.warning("%s: the EXIF of a big-endian BigTIFF is not read", page.parent.filename)
    values = {tag.code: tag.value for tag in page.tags if tag.code not in left_out}
    return {code: int(v) if isinstance(v, int) else v for code, v in values.items() if isinstance(v, int | str)}


def metadata_of_blobs(exif: bytes, xmp: bytes) -> Metadata:
    """Read metadata from an EXIF block, as a TIFF begins, and an XMP packet."""
    directory = Image.Exif()
    try:
        directory.load(exif)
        found = _directories(directory)
    except _DAMAGE:
        found = {}
    return Metadata(exif=_sound(found), xmp=_xmp_of(xmp))


def _xmp_of(packet: object) -> bytes:
    """Give an XMP packet in UTF-8, without the zeros behind it; damaged ones are left out, with a word."""
    if isinstance(packet, str):
        packet = packet.encode()
    if not isinstance(packet, bytes):
        return b""
    if packet[:2] in (b"\xff\xfe", b"\xfe\xff"):
        packet = packet.decode("utf-16", "replace").encode()
    packet = packet.rstrip(b"\0")
    if packet and b"rdf:RDF" not in packet:
        logger.warning("its XMP is damaged and left out")
        return b""
    return packet


def _resolution_in(exif: Mapping[int, Any]) -> tuple[float, float] | None:
    """Read pixels an inch; a unit of 1 means that only the ratio is known."""
    unit = {2: 1.0, 3: 2.54}.get(exif.get(_UNIT, 2))
    try:
        across, down = float(exif[_X_RESOLUTION]), float(exif[_Y_RESOLUTION])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (across * unit, down * unit) if unit and across > 0 and down > 0 else None


def _exif_of(image: Image.Image) -> dict[int, Any]:
    try:
        return _directories(image.getexif())
    except _DAMAGE as error:
        logger.warning("%s: its EXIF is damaged and left out: %s", getattr(image, "filename", "image"), error)
        return {}


def _directories(exif: Image.Exif) -> dict[int, Any]:
    """Read all directories, without the thumbnail, which would stay gray, and the layout of the old pixels."""
    found: dict[int, Any] = {tag: value for tag, value in exif.items() if tag not in _LAYOUT}
    for tag in (_EXIF, _GPS):
        found.pop(tag, None)
        if directory := dict(exif.get_ifd(tag)):
            found[int(tag)] = directory
    if _INTEROP in found.get(_EXIF, {}):
        found[_EXIF][int(_INTEROP)] = dict(exif.get_ifd(_INTEROP))
    return found


def _sound(exif: dict[int, Any]) -> dict[int, Any]:
    """Leave out, by name, what cannot be written again because it is damaged."""

    def writable(tag: int, value: Any) -> bool:
        try:
            Metadata({tag: value}).exif_bytes()
        except _DAMAGE:
            logger.warning("the EXIF entry %s is damaged and left out", ExifTags.TAGS.get(tag, tag))
            return False
        return True

    try:
        Metadata(exif).exif_bytes()
    except _DAMAGE:
        pass
    else:
        return exif
    result = {}
    for tag, value in exif.items():
        if isinstance(value, dict):
            value = {key: part for key, part in value.items() if writable(tag, {key: part})}
        if writable(tag, value):
            result[tag] = value
    return result


def _is_plain_text(key: str) -> bool:
    return not key.startswith(("Raw profile type", "XML:com.adobe.xmp"))


def _iptc_of(info: Mapping[Any, Any]) -> bytes:
    resources = info.get("photoshop")
    if isinstance(resources, Mapping) and isinstance(resources.get(0x0404), bytes):
        return bytes(resources[0x0404])
    raw = info.get("Raw profile type iptc", "")  # PNG, as ImageMagick began it: length and hexadecimal digits
    try:
        content = bytes.fromhex("".join(str(raw).split()[2:]))
    except ValueError:
        return b""
    return _iptc_in(content) if content.startswith(b"8BIM") else content


def _iptc_in(resources: bytes) -> bytes:
    """Find IPTC among Photoshop's image resources."""
    place = resources.find(b"8BIM\x04\x04")
    if place < 0:
        return b""
    name_length = resources[place + 6 : place + 7]
    start = place + 6 + ((name_length[0] if name_length else 0) + 2) // 2 * 2
    length = int.from_bytes(resources[start : start + 4], "big")
    return resources[start + 4 : start + 4 + length]
