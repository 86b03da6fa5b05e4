"""The `colorgan` command: train, measure and use networks that colorize."""

import typer

from colorgan.cli import evaluate as evaluate_command
from colorgan.cli import train as train_command
from colorgan.cli.blend import average, blend
from colorgan.cli.colorize import colorize
from colorgan.cli.export import export
from colorgan.cli.import_deoldify import import_deoldify
from colorgan.cli.inspect import inspect
from colorgan.cli.push import push
from colorgan.cli.runs import runs
from colorgan.cli.serve import serve
from colorgan.cli.shots import shots
from colorgan.errors import one_line_errors

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
_LEFT_TO_HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_LEFT_TO_HYDRA, add_help_option=False)
def train(context: typer.Context) -> None:
    """Train a colorizer; overrides say what, how big and on what (colorgan train --help)."""
    train_command.main(context.args)


@app.command(context_settings=_LEFT_TO_HYDRA, add_help_option=False)
def evaluate(context: typer.Context) -> None:
    """Measure checkpoints beside the baselines; overrides say which (colorgan evaluate --help)."""
    evaluate_command.main(context.args)


for command in (colorize, shots, serve, export, inspect, blend, average, runs, push, import_deoldify):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    with one_line_errors():
        app()


if __name__ == "__main__":
    main()
