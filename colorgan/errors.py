"""Turn a user's mistake into one clear line and exit code 2; leave our own mistakes their traceback."""

import difflib
import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)
_GOES_ON = "the same command goes on from the last saved step"


class StoppedError(BaseException):
    """A signal has stopped the program; as with KeyboardInterrupt, nothing but `one_line_errors` catches it.

    Args:
        signum: the signal.
        message: what was saved.
    """

    def __init__(self, signum: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.signum = signum


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report errors that a user can mend as `error: ...` and exit with 2.

    These are what Hydra and OmegaConf say of a config, what constructors say of their arguments, `ValueError` raised
    by this package and files that cannot be used. Anything else is a bug and keeps its traceback, as does everything
    with COLORGAN_TRACEBACK=1. After SIGINT and SIGTERM the exit code is the shell's for them: 130 and 143.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    rank = os.environ.get("LOCAL_RANK", "0")
    try:
        yield
    except (KeyboardInterrupt, StoppedError) as stop:
        if rank == "0":
            print(f"{str(stop) or 'stopped'}; {_GOES_ON}", file=sys.stderr)
        sys.exit(128 + getattr(stop, "signum", signal.SIGINT))
    except Exception as error:
        message = _message(error)
        if message is None or os.environ.get("COLORGAN_TRACEBACK"):
            raise
        which = "error" if rank == "0" else f"error in process {rank}"
        print(f"{which}: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(signum: int, frame: object) -> None:
    raise StoppedError(signum)


def one_line(error: Exception) -> str:
    """Word an error in one line, with its type where it is a bug."""
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
    if full := _no_room(error):
        return f"{full}; make room, then {_GOES_ON}"
    if isinstance(error, OSError) and (error.filename is not None or _raised_here(error)):
        return f"{error.filename}: {error.strerror}" if error.strerror else str(error)
    if isinstance(error, ValueError) and _raised_here(error):
        return str(error)
    if str(error).startswith("Config group override must be"):  # a bare ValueError of Hydra, of GROUP=null
        return "a group is left out by ~GROUP, such as ~motion, and not by GROUP=null"
    return None


def _no_room(error: BaseException | None) -> str | None:
    """Find what says that a disk is full, in this error or one behind it; writers of tensors have their own words."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return f"{error.filename or 'the disk of the run folder'}: {error.strerror}"
        if "No space left" in str(error) or "PytorchStreamWriter failed" in str(error):
            return f"the disk of the run folder is full ({str(error).splitlines()[0]})"
        error = error.__cause__ or error.__context__
    return None


def _raised_here(error: Exception) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_PACKAGE)


def _config_message(error: Exception) -> str:
    """Word Hydra's first line and its cause; a mistyped choice gets the nearest one that exists."""
    from hydra.errors import OverrideParseException

    lines = str(error).splitlines()
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        quoted = value.strip("\"'").replace("'", "\\'")
        hint = f"quote a value with special characters: \"{key}='{quoted}'\"" if equals else "give KEY=VALUE"
        return f"{error.override} cannot be read as KEY=VALUE; {hint}"
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ is not None else ""
    if "Could not find" in lines[0]:  # the choices follow, a line each
        choices = [line.strip() for line in lines[1:] if line.startswith("\t") and "=" not in line]
        wanted = lines[0].rstrip("'").rsplit("/", 1)[-1]
        near = difflib.get_close_matches(wanted, choices, n=1)
        hint = f" did you mean {near[0]}?" if near else ""
        if "'hydra/" in lines[0]:  # a plugin: its choices exist once it is installed
            hint += " it may need pip install -e .[sweep];"
        return f"{lines[0]};{hint} available: {', '.join(choices)}"
    if stage := re.match(r"(?:Multiple values for )?stage@schedule\.stages\.(\w+)", lines[0]):
        return (
            f"experiment and scale both have a stage {stage[1]}: the experiment brings its own sizes; leave scale= out"
        )
    if lines[0].startswith("Could not override"):
        return f"{lines[0].rstrip('.')}: {cause or 'there is no such key'} (`--cfg job` shows all keys)"
    return " ".join([lines[0], cause])
