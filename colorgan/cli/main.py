"""The `colorgan` command: use what was trained."""

import typer

from colorgan.cli.colorize import colorize
from colorgan.cli.import_deoldify import import_deoldify
from colorgan.cli.inspect import inspect
from colorgan.cli.runs import runs
from colorgan.errors import one_line_errors

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for command in (colorize, inspect, runs, import_deoldify):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    with one_line_errors():
        app()


if __name__ == "__main__":
    main()
