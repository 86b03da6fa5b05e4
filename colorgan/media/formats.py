"""Find out by looking inside whether a file is a photo, a film, or neither."""

import mimetypes
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import av
from PIL import Image

from colorgan.media.photo import PHOTO_ENDINGS
from colorgan.media.pillow import EXTRA, SEQUENCES, open_image
from colorgan.media.samples import MissingReaderError
from colorgan.media.signatures import head_of, is_heif, is_jxl, is_raw, is_tiff
from colorgan.media.tiff import is_camera_raw, open_tiff

RAW_ENDINGS = frozenset({".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"})

_ATTACHED_PICTURE = 1 << 10  # disposition of cover art
# FFmpeg also takes pictures and text (`tty`) for films.
_NO_FILM = ("tty", "image2", "_pipe", "gif", "apng", "webp", "srt", "ass", "webvtt")


class Inside(NamedTuple):
    """What a file is; where it is neither photo nor film, why.

    Args:
        kind: `photo`, `film` or None.
        reason: empty, or one clause.
        pages: pictures in a photo's file.
        animated: whether these are the frames of an animation.
    """

    kind: Literal["photo", "film"] | None
    reason: str = ""
    pages: int = 1
    animated: bool = False


def look_inside(path: Path) -> Inside:
    """Tell photo from film by the content of a file; its name says nothing, except that only `.tga` is tried as TGA.

    Raises:
        OSError: the file cannot be read.
    """
    if not path.stat().st_size:
        return Inside(None, "it is empty")
    try:
        if (photo := _photo(path)) is not None:
            return photo
    except MissingReaderError as error:
        return Inside(None, str(error))
    return _film(path)


def has_photo_or_film_name(path: Path) -> bool:
    """Tell whether the name says photo or film, whatever is inside."""
    named = mimetypes.guess_type(path.name)[0] or ""
    return named.startswith(("image/", "video/")) or path.suffix.lower() in PHOTO_ENDINGS | RAW_ENDINGS


def _photo(path: Path) -> Inside | None:
    head = head_of(path)
    if is_jxl(head):
        return Inside("photo")
    try:
        raw = is_raw(head) or (is_tiff(head) and is_camera_raw(path))
    except (ValueError, OSError, LookupError):  # a damaged TIFF, which reading will name
        return Inside("photo")
    if raw:
        _check_rawpy()
        return Inside("photo")
    if is_tiff(head):
        with open_tiff(path) as pages:
            return Inside("photo", pages=len(pages))
    try:
        with open_image(path) as image:
            return _inside_image(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError, LookupError, TypeError) as error:
        if isinstance(error, MissingReaderError):
            raise
        return Inside("photo") if head.startswith(_SIGNATURES) or is_heif(head) else None


# Photos whose header is damaged: they are still photos, and reading says what is wrong.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"\0\0\0\x0cjP  ")


def _inside_image(image: Image.Image) -> Inside:
    try:
        pages = getattr(image, "n_frames", 1) if image.format in SEQUENCES else 1
    except (OSError, ValueError, SyntaxError, EOFError):
        pages = 1
    return Inside("photo", pages=pages, animated=pages > 1 and image.format != "DCX")


def _check_rawpy() -> None:
    try:
        import rawpy  # noqa: F401
    except ImportError:
        raise MissingReaderError(f"camera raw needs {EXTRA}") from None


class _Nameless:
    """A file whose name FFmpeg does not see, as it would go by the ending."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _film(path: Path) -> Inside:
    try:
        with path.open("rb") as file, av.open(_Nameless(file)) as container:
            names = container.format.name
            if any(name in names for name in _NO_FILM):
                return Inside(None, "it is neither photo nor film")
            if any(not stream.disposition & _ATTACHED_PICTURE for stream in container.streams.video):
                return Inside("film")
            return Inside(None, "it holds no pictures" + (", only sound" if container.streams.audio else ""))
    except (av.FFmpegError, ValueError, UnicodeDecodeError):
        return Inside(None, "it is neither photo nor film")
