"""Say why a request is not done; each has the HTTP status that fits."""


class RefusedError(ValueError):
    """A request that cannot be done as it is: its sentence is for whoever sent it."""

    status = 400


class NoKeyError(RefusedError):
    """A key is missing or wrong."""

    status = 401


class TooLongError(RefusedError):
    """What was sent is larger or slower than is allowed."""

    status = 413


class UnknownResultError(RefusedError):
    """There is no such result, or no longer."""

    status = 404


class BusyError(RefusedError):
    """As many requests wait as are allowed to.

    Args:
        retry_after: seconds after which there may be room.
    """

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the server is busy; try again in {retry_after} s")
        self.retry_after = retry_after
