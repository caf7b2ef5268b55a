"""`seedstock`: the commands and how they report errors.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not found, 4 not allowed, 5 conflict, 6 damaged
data, 7 try again later.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from seedstock import __version__
from seedstock.core import errors

_COMMANDS = {
    "serve": ("seedstock.cli.serve", "Run the hub."),
    "admin": ("seedstock.cli.admin", "Accounts, tokens and jobs of a hub on this machine."),
    "worker": ("seedstock.cli.worker", "Run background jobs of a hub."),
    "trace": ("seedstock.cli.trace", "Say which models of a hub a weight file is related to."),
    "adapt": ("seedstock.cli.adapt", "Make a variant of a model of a hub, and publish it."),
    "convert": ("seedstock.cli.convert", "Make a GGUF of a model of a hub, quantised or not."),
    "jobs": ("seedstock.cli.jobs", "List, follow, stop and retry what a hub does for you in the background."),
    "remote": ("seedstock.cli.remote", "Register models that run elsewhere, beside the hub's own."),
    "usage": ("seedstock.cli.usage", "Show what you asked of a hub's models, and your limits."),
    "replicate": ("seedstock.cli.replicate", "Make a model again by its recipe, and judge the result."),
    "eval": ("seedstock.cli.evaluate", "Ask a model the questions of a suite, and file what it scored."),
    "recipe": ("seedstock.cli.recipe", "Check, pin and import recipes: how a model is made."),
    "spot-check": ("seedstock.cli.spot_check", "Run one segment of a training run again, and compare."),
    "verify-record": ("seedstock.cli.verify_record", "Check a signed record or bill of materials, offline."),
    "tour": ("seedstock.cli.tour", "Publish, download and run a real model, end to end."),
}
_EXIT_CODES: list[tuple[type[errors.HubError], int]] = [
    (errors.NotFound, 3),
    (errors.Unauthenticated, 4),
    (errors.Forbidden, 4),
    (errors.Conflict, 5),
    (errors.Integrity, 6),
    (errors.Unavailable, 7),
]


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        name = _COMMANDS[cmd_name][0]
        command: click.Command = getattr(importlib.import_module(name), name.rpartition(".")[2])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours is one line and an exit code."""
        try:
            return super().invoke(ctx)
        except errors.HubError as error:
            hint = f" ({error.hint})" if error.hint else ""
            click.echo(f"seedstock: {error.message}{hint}", err=True)
            sys.exit(next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seedstock")
def cli() -> None:
    """Seedstock: a self-hosted home for open models.

    \b
    seedstock serve                          start a hub in ./seedstock-data
    seedstock admin user ada --admin         add a user
    seedstock admin token ada --role write   print a token for ada
    HF_ENDPOINT=http://127.0.0.1:8300 hf upload ada/my-model .
    """  # noqa: D301 - \b is click's
