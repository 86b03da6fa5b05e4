"""The `colorgan` command, one file a command."""
