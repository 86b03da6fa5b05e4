"""Let in who has a key."""

import hmac
import os
from pathlib import Path

VARIABLE = "COLORGAN_API_KEYS"
_SHORTEST = 16


class Keys:
    """The keys of a server; without any, everybody who reaches it is let in.

    Args:
        keys: each at least 16 characters.
    """

    def __init__(self, keys: list[str]) -> None:
        self._keys = [key.encode() for key in keys]

    @classmethod
    def load(cls, file: Path | None) -> "Keys":
        """Read keys from a file, one a line, and from the environment's `COLORGAN_API_KEYS`, parted by commas.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds none, or one is short.
        """
        if file is not None and not file.is_file():
            raise FileNotFoundError(f"no file of keys {file} (--keys)")
        lines = file.read_text().splitlines() if file is not None else []
        keys = [key.strip() for key in [*lines, *os.environ.get(VARIABLE, "").split(",")] if key.strip()]
        if file is not None and not keys:
            raise ValueError(f"{file} holds no keys; one a line is expected (--keys)")
        if any(len(key) < _SHORTEST for key in keys):
            raise ValueError(
                f"a key has fewer than {_SHORTEST} characters (--keys, {VARIABLE}); "
                "`python -c 'import secrets; print(secrets.token_urlsafe())'` makes a good one"
            )
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def accept(self, key: str | None) -> bool:
        """Compare with all keys, in a time that does not tell how much of one is right."""
        given = (key or "").encode()
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        return not self._keys or any(matches)
