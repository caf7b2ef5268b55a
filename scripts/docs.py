"""Write docs/cli.md and docs/api.md from the code; with --check, fail when they lag behind it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from seedstock.cli.main import cli
from seedstock.http.app import route_groups

DOCS = Path(__file__).parent.parent / "docs"


def command_help(command: click.Command, name: str, parent: click.Context | None) -> str:
    """A command's help and that of all below it."""
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    text = f"\n## `{context.command_path}`\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            text += command_help(found, child, context)
    return text


def cli_page() -> str:
    """docs/cli.md."""
    return "# Command line\n\nWritten by `make docs`; do not edit.\n" + command_help(cli, "seedstock", None)


def api_page() -> str:
    """docs/api.md: every route with the first line of its handler's docstring."""
    page = (
        "# HTTP API\n\nWritten by `make docs`; do not edit. `{type}` is `models`, `datasets` or `spaces`.\n"
    )
    for group in route_groups():
        page += (
            f"\n## {(group.__doc__ or '').strip().splitlines()[0]}\n\n| method | path | |\n|---|---|---|\n"
        )
        for declared in group.routes.declared:
            text = (declared.handler.__doc__ or "").strip().splitlines()[0]
            for path in declared.paths:
                shown = re.sub(r":(repotype|account|path|int)", "", path)
                page += f"| {declared.method} | `{shown}` | {text} |\n"
    return page


def main() -> None:
    """Write or check the pages."""
    pages = {DOCS / "cli.md": cli_page(), DOCS / "api.md": api_page()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        if stale:
            sys.exit(f"{', '.join(path.name for path in stale)} lag behind the code: run `make docs`")
        return
    for path in stale:
        path.write_text(pages[path])
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
