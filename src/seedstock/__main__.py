"""`python -m seedstock`."""

from seedstock.cli.main import cli

cli()
