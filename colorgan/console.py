"""Print to the terminal with rich, and take names as they are: brackets in them are no markup."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def make_console(**options: Any) -> "Console":
    """Make a console that prints all text as it is.

    Args:
        options: of rich's `Console`.
    """
    from rich.console import Console  # here, as it takes a while to import

    return Console(markup=False, emoji=False, **options)
