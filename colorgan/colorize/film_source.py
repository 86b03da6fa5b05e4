"""Open what is to be colorized as a film."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from colorgan.media.film_reader import FilmReader
from colorgan.media.frame_folder import FolderReader

_DEFAULT_RATE = 24


def open_source(
    source: Path,
    *,
    keep_color: bool | Callable[[int], bool],
    fps: float | None = None,
    deinterlace: bool = False,
) -> FilmReader | FolderReader:
    """Open a film, or a folder of frames with its frames a second.

    Raises:
        ValueError: an option does not go with the source.
    """
    if source.is_dir():
        if deinterlace:
            raise ValueError("--deinterlace is for a film; frames in a folder do not say which field comes first")
        rate = Fraction(fps or _DEFAULT_RATE).limit_denominator(1001)
        return FolderReader(source, rate, keep_color=keep_color)
    if fps is not None:
        raise ValueError("--fps is for a folder of frames; a film has its own time stamps, which are kept")
    return FilmReader(source, deinterlace=deinterlace, keep_color=keep_color)
