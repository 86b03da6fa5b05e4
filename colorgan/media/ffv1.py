"""Check the checksums of FFV1, whose decoder hides damage: it repeats what the picture before had in that place."""

import zlib

import numpy as np

# Behind each slice: its size (3 bytes), a status and the checksum (RFC 9043, section 4.9)
_FOOTER_BYTES = 8
# FFV1 sends the highest bit first, zlib the lowest
_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1)[:, 0]


class SliceChecker:
    """Find packets whose slices do not have the checksums that they state; a film without checksums has none."""

    def __init__(self) -> None:
        self._has_checksums = False

    def is_damaged(self, packet: bytes) -> bool:
        """Look at the next packet; until one is whole, nobody knows whether the film has checksums."""
        whole = _is_whole(packet)
        self._has_checksums |= whole
        return self._has_checksums and not whole


def _is_whole(packet: bytes) -> bool:
    """Walk through the slices from the last to the first."""
    data, end = _REVERSED[np.frombuffer(packet, np.uint8)].tobytes(), len(packet)
    while end >= _FOOTER_BYTES:
        start = end - _FOOTER_BYTES - int.from_bytes(packet[end - _FOOTER_BYTES : end - _FOOTER_BYTES + 3], "big")
        if (
            start < 0 or zlib.crc32(data[start:end], 0xFFFFFFFF) != 0xFFFFFFFF
        ):  # the remainder, without zlib's inversions
            return False
        end = start
    return end == 0
