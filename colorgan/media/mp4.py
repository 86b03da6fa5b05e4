"""Open films; of an MP4 that lacks bytes before its index, which states places from the start, fill the hole.

MP4 and QuickTime have their index at the end, and a reader gets there by the size of what lies before. Where bytes were
cut out, it misses the index, and what lies behind the hole is not where the index says. With zeros in the hole both
are right again.
"""

import io
import mmap
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer

_LONG = 16  # bytes of a box's head whose size takes 64 bits
_MOST_CHECKED = 100_000  # pictures


def open_film(path: Path) -> InputContainer:
    """Open a film; what cannot be read fails as with `av.open`."""
    try:
        return av.open(str(path), "r")
    except av.error.InvalidDataError:
        status = path.stat()
        hole = _find_hole(path, status.st_size, status.st_mtime_ns)
        if hole is None:
            raise
        return av.open(_Filled(path, *hole), "r", format="mov")


class _Filled:
    """A file with zeros put into one place; only read, by FFmpeg."""

    def __init__(self, path: Path, place: int, zeros: int) -> None:
        self._file, self._place, self._zeros, self._position = path.open("rb"), place, zeros, 0
        self._size = path.stat().st_size + zeros
        self.name = str(path)

    def read(self, size: int = -1) -> bytes:
        """Read some bytes, fewer than `size` where the zeros begin or end."""
        start = self._position
        end = min(self._size, start + size)
        if start < self._place:
            data = self._read_at(start, min(end, self._place) - start)
        elif start < self._place + self._zeros:
            data = bytes(min(end, self._place + self._zeros) - start)
        else:
            data = self._read_at(start - self._zeros, end - start)
        self._position += len(data)
        return data

    def _read_at(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(max(0, size))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        """Say where it is."""
        return self._position

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@lru_cache(maxsize=8)  # a film is opened several times
def _find_hole(path: Path, size: int, _modified_ns: int) -> tuple[int, int] | None:
    """Find where bytes were cut out, and how many; None where that cannot be told."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        index = data.rfind(b"moov") - 4
        media_end = _end_of_media(data)
        if not 0 < index < media_end or index + int.from_bytes(data[index : index + 4], "big") > size:
            return None
        zeros = media_end - index
        with av.open(_Filled(path, index, zeros), format="mov") as container:
            film = next(iter(container.streams.video), None)
            is_picture = _CHECKS.get(film.codec_context.name if film is not None else "")
            if film is None or is_picture is None:
                return None
            whole = None
            for entry in islice(sorted(film.index_entries, key=lambda entry: entry.pos), _MOST_CHECKED):
                here, moved = (data[p : p + entry.size] for p in (entry.pos, max(0, entry.pos - zeros)))
                if is_picture(here):
                    whole = entry.pos + entry.size
                elif is_picture(moved):
                    return entry.pos - zeros, zeros
    return None if whole is None else (whole, zeros)  # behind all pictures that are left


def _end_of_media(data: mmap.mmap) -> int:
    """Say where the box of pictures and sound claims to end; 0 if there is none."""
    position = 0
    while 0 <= position < len(data) - _LONG:
        size = int.from_bytes(data[position : position + 4], "big")
        size = int.from_bytes(data[position + 8 : position + _LONG], "big") if size == 1 else size
        if size < 8:
            return 0
        if data[position + 4 : position + 8] == b"mdat":
            return position + size
        position += size
    return 0


def _has_whole_units(sample: bytes) -> bool:
    """Whether a sample is made of H.264's or HEVC's units, each behind its length."""
    position = 0
    while position + 4 < len(sample):
        position += 4 + int.from_bytes(sample[position : position + 4], "big")
    return position == len(sample) > 0


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "h264": _has_whole_units,
    "hevc": _has_whole_units,
    "mpeg4": lambda sample: sample.startswith(b"\0\0\1"),
    "dvvideo": lambda sample: sample.startswith(b"\x1f\x07\0"),
    "mjpeg": lambda sample: sample.startswith(b"\xff\xd8\xff"),
    "prores": lambda sample: sample[4:8] == b"icpf",
}
