"""`seedstock admin`: accounts, tokens and jobs, with the server up or down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from seedstock import settings as config
from seedstock.accounts.service import Accounts
from seedstock.core.clock import iso, now_ms
from seedstock.core.errors import Invalid
from seedstock.core.limits import UNLIMITED, LimitKind
from seedstock.core.viewer import OrgRole, TokenRole
from seedstock.jobs.queue import Queue
from seedstock.lineage.publishers import Publishers
from seedstock.places import open_database
from seedstock.usage.settings import LimitSettings


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name the hub."""
    command = click.option(
        "--database-url", metavar="URL", help="Database of the hub, if not in the folder."
    )(command)
    return click.option("--data", metavar="DIR", help="Folder of the hub. [default: ./seedstock-data]")(
        command
    )


def _accounts(data: str | None, database_url: str | None) -> Accounts:
    return Accounts(open_database(config.load(data=data, database_url=database_url)), now_ms)


@click.group()
def admin() -> None:
    """Accounts, tokens and jobs of a hub on this machine; works with the server up or down."""


@admin.command()
@click.argument("name")
@click.option("--full-name", metavar="F", default="", help="Shown beside the name.")
@click.option("--email", metavar="E", help="Used as the author address of commits.")
@click.option("--admin", "is_admin", is_flag=True, help="May do everything on this hub.")
@click.option("--password-stdin", is_flag=True, help="Read a password for the web pages from standard input.")
@_where
def user(
    name: str, full_name: str, email: str | None, is_admin: bool, password_stdin: bool, **where: Any
) -> None:
    """Add a user.

    \b
    seedstock admin user ada --full-name "Ada L." --admin
    echo "$PASSWORD" | seedstock admin user ada --password-stdin
    """  # noqa: D301 - \b is click's
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    account = _accounts(**where).create_user(
        name, full_name=full_name, email=email, admin=is_admin, password=password
    )
    click.echo(f"user {account.name} created", err=True)


@admin.command()
@click.argument("name")
@click.option("--full-name", metavar="F", default="", help="Shown beside the name.")
@click.option(
    "--member", "members", metavar="USER:ROLE", multiple=True, help="read, contributor, write or admin."
)
@click.option("--private-by-default", is_flag=True, help="New repos are private unless they say otherwise.")
@_where
def org(name: str, full_name: str, members: tuple[str, ...], private_by_default: bool, **where: Any) -> None:
    """Add an organisation.

    \b
    seedstock admin org lab --full-name "The Lab" --member ada:admin --member tim:write
    """  # noqa: D301 - \b is click's
    account = _accounts(**where).create_org(
        name,
        full_name=full_name,
        private_by_default=private_by_default,
        members=tuple(_member(text) for text in members),
    )
    click.echo(f"organisation {account.name} created", err=True)


def _member(text: str) -> tuple[str, OrgRole]:
    name, _, role = text.partition(":")
    if role not in set(OrgRole):
        raise Invalid(f"A member is USER:ROLE with a role of {', '.join(OrgRole)}, not {text!r}")
    return name, OrgRole(role)


@admin.command()
@click.argument("user")
@click.option(
    "--role", type=click.Choice([role.value for role in TokenRole]), default="read", show_default=True
)
@click.option("--name", metavar="N", default="token", help="What the token is for.")
@_where
def token(user: str, role: str, name: str, **where: Any) -> None:
    """Make a token for a user and print it; it is not kept and cannot be shown again.

    A fine-grained token can do nothing until it is given scopes on the tokens page.

    \b
    export HF_TOKEN=$(seedstock admin token ada --role write --name laptop)
    """  # noqa: D301 - \b is click's
    click.echo(_accounts(**where).create_token(user, role=TokenRole(role), name=name))


@admin.command()
@click.argument("namespace")
@click.option("--organisation", metavar="O", help="Who publishes under that name.")
@click.option("--country", metavar="CC", help="ISO 3166 code of two letters, as they state it.")
@click.option("--source", metavar="URL", help="Where they state it.")
@click.option(
    "--signing-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="PEM of the EC public key that they sign models with (OpenSSF model-signing).",
)
@click.option("--remove", is_flag=True, help="Forget the profile.")
@_where
def publisher(
    namespace: str,
    organisation: str | None,
    country: str | None,
    source: str | None,
    signing_key: Path | None,
    remove: bool,
    **where: Any,
) -> None:
    """State who publishes under a name, here or on another hub, for the foundations report.

    \b
    seedstock admin publisher HuggingFaceTB --organisation "Hugging Face" --country FR --source https://example.org/about
    """  # noqa: D301 - \b is click's
    profiles = Publishers(open_database(config.load(**where)), now_ms)
    if remove:
        profiles.remove(namespace)
        return
    if not organisation or not source:
        raise Invalid("A publisher profile needs --organisation and --source")
    profiles.state(
        namespace,
        organisation=organisation,
        country=country,
        source=source,
        stated_by="administrator",
        signing_key=signing_key.read_text(errors="replace") if signing_key else None,
    )


@admin.command()
@click.option("--wait", is_flag=True, help="Return when no job is queued or running.")
@click.option("--json", "as_json", is_flag=True, help="Print jobs as JSON.")
@_where
def jobs(wait: bool, as_json: bool, **where: Any) -> None:
    """Show the background jobs.

    \b
    seedstock admin jobs
    seedstock admin jobs --wait && echo "all quiet"
    seedstock admin jobs --json | jq '.jobs[] | select(.state == "dead")'
    """  # noqa: D301 - \b is click's
    queue = Queue(open_database(config.load(**where)), now_ms)
    if wait:
        queue.wait(
            lambda left: click.echo(f"{left} jobs left", err=True),
            lambda _: click.echo(
                "no worker runs them: start `seedstock serve` or `seedstock worker`; still waiting", err=True
            ),
        )
    found = queue.page(limit=100)
    if as_json:
        answer = {"counts": queue.counts(), "jobs": found}
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
        return
    for job in found:
        error = f"  {job.error.splitlines()[0]}" if job.error else ""
        click.echo(
            f"{job.id:>6}  {job.state:<9} {job.kind:<16} {iso(job.created_at)}  {job.attempts}x{error}"
        )


_LIMIT = "A number; none: no limit; default: what else would hold."


@admin.command()
@click.argument("user")
@click.option("--access-token", metavar="NAME", help="Limit this token of theirs, by name or id.")
@click.option("--requests-per-minute", metavar="N", help=_LIMIT)
@click.option("--tokens-per-minute", metavar="N", help="Of prompts and answers.")
@click.option("--tokens-per-day", metavar="N", help="Days begin at midnight UTC.")
@_where
def limit(
    user: str, access_token: str | None, data: str | None, database_url: str | None, **given: str | None
) -> None:
    """Say how much a user may ask of the models, or one of their access tokens; without options, show it.

    A limit holds in place of the hub's default (SEEDSTOCK_REQUESTS_PER_MINUTE and so on), one of an access token in
    place of its user's.

    \b
    seedstock admin limit ada --requests-per-minute 60 --tokens-per-day 2000000
    seedstock admin limit ada --access-token ci --tokens-per-day none
    seedstock admin limit ada --requests-per-minute default
    """  # noqa: D301 - \b is click's
    database = open_database(config.load(data=data, database_url=database_url))
    settings = LimitSettings(database, Accounts(database, now_ms), now_ms)
    found = settings.limits_of(user, access_token)
    changes = {name: _limit(name, text) for name, text in given.items() if text is not None}
    if changes:
        found = msgspec.structs.replace(found, **changes)
        settings.set_limits(user, found, access_token, actor="admin")
    for kind in LimitKind:
        value = found.of(kind)
        click.echo(f"{kind.words}: {'default' if value is None else value or 'none'}")


def _limit(name: str, text: str) -> int | None:
    if text in {"default", "none"}:
        return None if text == "default" else UNLIMITED
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) == 0:
        raise Invalid(f"{name.replace('_', ' ')} is a number from 1, none or default, not {text[:40]!r}")
    return int(text)
