"""`seedstock remote`: models that run elsewhere, beside the hub's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click

from seedstock.cli.hub_client import HubClient, hub_options, print_json
from seedstock.core.errors import Invalid

_WHAT = "Managing remotes"
KEY_VARIABLE = "SEEDSTOCK_REMOTE_KEY"


def _key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--no-key", is_flag=True, help="The upstream asks for none."),
        click.option("--key-stdin", is_flag=True, help="Read the key from standard input."),
    ):
        command = option(command)
    return command


@click.group()
def remote() -> None:
    """Models that run elsewhere, behind any API of OpenAI's or Anthropic's shape; for administrators.

    They are called remote/NAME/MODEL at /v1 and marked closed. Keys are encrypted by the hub and never shown.

    \b
    seedstock remote add openai --url https://api.openai.com/v1 --model gpt-5 --model gpt-5-mini
    seedstock remote add claude --kind anthropic --url https://api.anthropic.com --for lab
    seedstock remote add rack --url http://10.0.0.5:8000/v1 --no-key
    seedstock remote test rack
    """  # noqa: D301 - \b is click's


@remote.command()
@click.argument("name")
@click.option("--url", required=True, metavar="URL", help="What a client would be given as base URL.")
@click.option(
    "--kind", type=click.Choice(["openai", "anthropic"]), default="openai", show_default=True, help="Its API."
)
@click.option("--model", "models", multiple=True, metavar="M", help="Offer this one. [default: all it lists]")
@click.option(
    "--for", "accounts", multiple=True, metavar="A", help="A user or organisation. [default: everyone]"
)
@_key_options
@hub_options
def add(
    name: str,
    endpoint: str | None,
    token: str | None,
    as_json: bool,
    no_key: bool,
    key_stdin: bool,
    **said: Any,
) -> None:
    """Register a remote, and ask it for its models.

    The key is read from standard input with --key-stdin, else from $SEEDSTOCK_REMOTE_KEY, else it is asked for.

    \b
    seedstock remote add openai --url https://api.openai.com/v1 --key-stdin < key.txt
    seedstock remote add claude --kind anthropic --url https://api.anthropic.com --model claude-sonnet-4-5 --for lab
    """  # noqa: D301 - \b is click's
    client = HubClient(endpoint, token, _WHAT)
    new = {"name": name, "url": said["url"], "kind": said["kind"]}
    new |= {field: list(said[field]) for field in ("models", "accounts") if said[field]}
    if not no_key:
        new["key"] = _read_key(key_stdin)
    added = client.send("POST", "/api/remotes", json=new)
    if as_json:
        print_json(added)
        return
    click.echo(f"remote {name} added", err=True)
    _print_test(name, added["test"])


@remote.command("list")
@hub_options
def list_(endpoint: str | None, token: str | None, as_json: bool) -> None:
    """List the remotes.

    \b
    seedstock remote list
    seedstock remote list --json | jq '.[].listed'
    """  # noqa: D301 - \b is click's
    found = HubClient(endpoint, token, _WHAT).send("GET", "/api/remotes")
    if as_json:
        print_json(found)
        return
    for one in found:
        models = f"{len(one['models'])} models" if one["models"] else f"all {len(one['listed'])} models"
        who = ", ".join(one["accounts"]) or "nobody" if one["accounts"] is not None else "everyone"
        click.echo(f"{one['name']:<16} {one['kind']:<10} {one['url']}  {models}, for {who}, key {one['key']}")
    if not found:
        click.echo("no remotes", err=True)


@remote.command()
@click.argument("name")
@hub_options
def test(name: str, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Ask a remote for its models, which shows whether its address and key are right; exit code 1 if not.

    \b
    seedstock remote test openai
    """  # noqa: D301 - \b is click's
    told = HubClient(endpoint, token, _WHAT).send("POST", f"{_path(name)}/test")
    if as_json:
        print_json(told)
    else:
        _print_test(name, told)
    if not told["ok"]:
        sys.exit(1)


@remote.command()
@click.argument("name")
@click.option("--url", metavar="URL", help="Another address; it needs the key again.")
@click.option("--model", "models", multiple=True, metavar="M", help="Offer these from now on.")
@click.option("--all-models", is_flag=True, help="Offer all that it lists.")
@click.option("--for", "accounts", multiple=True, metavar="A", help="Only these users and organisations.")
@click.option("--for-everyone", is_flag=True, help="Everyone who is signed in.")
@click.option("--key", "new_key", is_flag=True, help=f"Another key, from ${KEY_VARIABLE} or asked for.")
@_key_options
@hub_options
def change(
    name: str,
    endpoint: str | None,
    token: str | None,
    as_json: bool,
    new_key: bool,
    no_key: bool,
    key_stdin: bool,
    **said: Any,
) -> None:
    """Change a remote: what is not named stays.

    \b
    seedstock remote change openai --key-stdin < new-key.txt
    seedstock remote change openai --model gpt-5 --for lab --for ada
    """  # noqa: D301 - \b is click's
    wanted: dict[str, Any] = {"url": said["url"]} if said["url"] else {}
    for field, flag in (("models", "all_models"), ("accounts", "for_everyone")):
        if said[field] and said[flag]:
            raise Invalid(f"--{flag.replace('_', '-')} contradicts a list")
        if said[field] or said[flag]:
            wanted[field] = list(said[field]) or None
    if no_key:
        wanted["key"] = None
    elif new_key or key_stdin:
        wanted["key"] = _read_key(key_stdin)
    if not wanted:
        raise Invalid("Nothing is to be changed", hint="see --help")
    changed = HubClient(endpoint, token, _WHAT).send("PATCH", _path(name), json=wanted)
    if as_json:
        print_json(changed)
    else:
        click.echo(f"remote {name} changed", err=True)


@remote.command()
@click.argument("name")
@hub_options
def remove(name: str, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Forget a remote, with its key.

    \b
    seedstock remote remove openai
    """  # noqa: D301 - \b is click's
    HubClient(endpoint, token, _WHAT).ask("DELETE", _path(name))
    if as_json:
        print_json({"removed": name})
    else:
        click.echo(f"remote {name} removed", err=True)


def _path(name: str) -> str:
    return f"/api/remotes/{quote(name, safe='')}"


def _read_key(key_stdin: bool) -> str:
    """The key, never from an argument, which others could see in the list of processes."""
    if key_stdin:
        key = sys.stdin.readline().strip()
    else:
        key = os.environ.get(KEY_VARIABLE) or ""
        if not key and not sys.stdin.isatty():
            raise Invalid("No key was given", hint=f"--key-stdin, ${KEY_VARIABLE}, or --no-key")
        key = key or str(click.prompt("Key", hide_input=True, err=True))
    if not key:
        raise Invalid("The key is empty", hint="--no-key, if the upstream asks for none")
    return key


def _print_test(name: str, told: dict[str, Any]) -> None:
    if not told["ok"]:
        click.echo(f"{name}: {told['error']}", err=True)
        return
    click.echo(f"{name}: lists {told['models']} models, in {told['latency_ms']} ms")
    if told["missing"]:
        click.echo(f"{name}: does not list {', '.join(told['missing'])}, which this hub offers", err=True)
