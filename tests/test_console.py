"""Names are printed as they are."""

import re
from pathlib import Path

from rich.table import Table

from colorgan.console import make_console

PACKAGE = Path(__file__).parents[1] / "colorgan"


def test_brackets_in_names_are_printed(capsys):
    table = Table(title="[run]")
    table.add_column("a[b]")
    table.add_row("x[red]y :smile:")
    make_console(width=60).print(table)
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("[run]", "a[b]", "x[red]y :smile:"))


def test_no_other_console_is_made():
    makers = [p.name for p in PACKAGE.rglob("*.py") if re.search(r"(?<!_)\bConsole\(", p.read_text())]
    assert makers == ["console.py"]
