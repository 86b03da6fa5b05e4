"""Turn a user's mistake into one clear line and exit code 2; leave our own mistakes their traceback."""

import difflib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report errors that a user can mend as `error: ...` and exit with 2.

    These are what Hydra and OmegaConf say of a config, what constructors say of their arguments, `ValueError` raised
    by this package and files that cannot be used. Anything else is a bug and keeps its traceback, as does everything
    with COLORGAN_TRACEBACK=1.
    """
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last saved step", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = _message(error)
        if message is None or os.environ.get("COLORGAN_TRACEBACK"):
            raise
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)


def one_line(error: Exception) -> str:
    """What an error says, in one line, with its type where it is a bug."""
    message = _message(error)
    return " ".join((f"{type(error).__name__}: {error}" if message is None else message).split())


def _message(error: Exception) -> str | None:
    from hydra.errors import HydraException, InstantiationException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, InstantiationException):
        cause = error.__cause__
        where = str(error).rpartition("full_key: ")[2] if "full_key: " in str(error) else ""
        return f"{cause or error}" + (f" (config key {where})" if where and cause else "")
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _config_message(error)
    if isinstance(error, OSError) and (error.filename is not None or _raised_here(error)):
        return f"{error.filename}: {error.strerror}" if error.strerror else str(error)
    if isinstance(error, ValueError) and _raised_here(error):
        return str(error)
    return None


def _raised_here(error: Exception) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_PACKAGE)


def _config_message(error: Exception) -> str:
    """Hydra's first line, and its cause; a mistyped choice gets the nearest one that exists."""
    lines = str(error).splitlines()
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ is not None else ""
    if "Could not find" in lines[0]:  # the choices follow, a line each
        choices = [line.strip() for line in lines[1:] if line.startswith("\t") and "=" not in line]
        wanted = lines[0].rstrip("'").rsplit("/", 1)[-1]
        near = difflib.get_close_matches(wanted, choices, n=1)
        hint = f" did you mean {near[0]}?" if near else ""
        if "'hydra/" in lines[0]:  # a plugin: its choices exist once it is installed
            hint += " it may need pip install -e .[sweep];"
        return f"{lines[0]};{hint} available: {', '.join(choices)}"
    if lines[0].startswith("Could not override"):
        return f"{lines[0].rstrip('.')}: {cause or 'there is no such key'} (`--cfg job` shows all keys)"
    return " ".join([lines[0], cause])
