"""Read a file's first bytes, and tell formats by them."""

from pathlib import Path

_RAW = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW")
_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def head_of(file: Path | bytes, length: int = 64) -> bytes:
    """Read the first bytes of a file."""
    if isinstance(file, bytes):
        return file[:length]
    with file.open("rb") as opened:
        return opened.read(length)


def content_of(file: Path | bytes) -> bytes:
    """Read a file."""
    return file if isinstance(file, bytes) else file.read_bytes()


def is_tiff(head: bytes) -> bool:
    """Tell TIFF, small or big."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_raw(head: bytes) -> bool:
    """Tell camera raw; most kinds of it are a TIFF, where only the pages tell."""
    return head.startswith(_RAW) or head[4:12] == b"ftypcrx " or (is_tiff(head) and head[8:10] == b"CR")


def is_heif(head: bytes) -> bool:
    """Tell HEIF; AVIF, a relative of it, is not meant."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF and b"avif" not in head


def is_avif(head: bytes) -> bool:
    """Tell AVIF, a picture or an animation."""
    return head[4:8] == b"ftyp" and (b"avif" in head[8:] or b"avis" in head[8:])


def is_webp(head: bytes) -> bool:
    """Tell WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def is_jxl(head: bytes) -> bool:
    """Tell JPEG XL, bare or in a container."""
    return head[:2] == b"\xff\x0a" or head[:8] == b"\0\0\0\x0cJXL "


def is_jpeg2000(head: bytes) -> bool:
    """Tell JPEG 2000, bare or in a container."""
    return head[4:8] == b"jP  " or head[:4] == b"\xff\x4f\xff\x51"


def is_deep_png(head: bytes) -> bool:
    """Tell PNG with 16 bits a sample."""
    return head.startswith(b"\x89PNG") and head[24:25] == b"\x10"
