"""`seedstock usage`: what you asked of a hub's models."""

from __future__ import annotations

from typing import Any

import click

from seedstock.cli.hub_client import HubClient, hub_options, print_json

_COLUMNS = ("requests", "failures", "prompt_tokens", "cached_tokens", "completion_tokens")
_HEADS = ("requests", "failed", "prompt", "cached", "answer")


@click.command()
@click.option("--from", "first", metavar="DAY", help="Such as 2026-01-31. [default: 29 days before the last]")
@click.option("--to", "last", metavar="DAY", help="The last day, in UTC. [default: today]")
@click.option("--account", metavar="NAME", help="Of somebody else; for admins.")
@click.option("--all", "everyone", is_flag=True, help="Of all accounts; for admins.")
@click.option("--by", type=click.Choice(["day", "model", "token"]), default="day", show_default=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print a row for each day, account, token and model.")
@hub_options
def usage(
    endpoint: str | None, token: str | None, as_json: bool, as_csv: bool, by: str, **wanted: Any
) -> None:
    """Show what you asked of a hub's models, in tokens, and what your limits leave.

    \b
    seedstock usage
    seedstock usage --by model --from 2026-01-01
    seedstock usage --all --csv > usage.csv
    seedstock usage --json | jq .totals
    """  # noqa: D301 - \b is click's
    query = {"from": wanted["first"], "to": wanted["last"], "account": wanted["account"]}
    query = {name: value for name, value in query.items() if value} | (
        {"all": "1"} if wanted["everyone"] else {}
    )
    client = HubClient(endpoint, token, "Looking at usage")
    if as_csv:
        click.echo(client.ask("GET", "/api/usage", params=query | {"format": "csv"}).text, nl=False)
        return
    found = client.send("GET", "/api/usage", params=query)
    if as_json:
        print_json(found)
        return
    by = "account" if wanted["everyone"] and by == "token" else by
    _table(by, found.get(f"{by}s", []), found["totals"])
    for one in found.get("limits", []):
        kind = one["kind"].replace("_", " ")
        click.echo(
            f"{one['remaining']:,} of {one['limit']:,} {kind} left; all again at {one['resetAt'][:19]}Z"
        )


def _table(by: str, lines: list[dict[str, Any]], totals: dict[str, int]) -> None:
    key = "name" if by == "token" else by
    rows = [[str(line[key]), *(f"{line[name]:,}" for name in _COLUMNS)] for line in lines]
    rows = [[by, *_HEADS], *rows, ["in all", *(f"{totals[name]:,}" for name in _COLUMNS)]]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        first, *numbers = row
        cells = [f"{text:>{width}}" for text, width in zip(numbers, widths[1:], strict=True)]
        click.echo("  ".join([f"{first:<{widths[0]}}", *cells]))
