"""`python -m colorgan`: the `colorgan` command."""

from colorgan.cli.main import main

main()
