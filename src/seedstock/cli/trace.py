"""`seedstock trace`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from seedstock.cli.hub_client import HubClient, hub_options, print_json
from seedstock.core.errors import Invalid, Unavailable

_PIECE_BYTES = 1 << 20
_SYMBOLS = {"identical": "=", "derived": "~", "partial": "?"}


@click.command()
@click.argument("file_or_repo")
@click.option("--revision", metavar="R", default="main", help="Of a repo: branch, tag or commit.")
@hub_options
def trace(file_or_repo: str, revision: str, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Say which models of a hub a weight file, or a repo, is related to.

    A file is compared and forgotten: nothing is published. Exit code 0 if something was found, 1 if not.

    \b
    seedstock trace ./model.safetensors
    seedstock trace ./model-q4.gguf --json | jq '.related[].repo'
    seedstock trace ada/my-model --revision v2
    """  # noqa: D301 - \b is click's
    answer = _ask(file_or_repo, revision, endpoint, token)
    if as_json:
        print_json(answer)
    else:
        _show(file_or_repo, answer)
    if not answer["related"]:
        raise SystemExit(1)


def _show(subject: str, answer: dict[str, Any]) -> None:
    if answer.get("problem"):
        click.echo(f"{subject}: {answer['problem']}", err=True)
    for item in answer["related"]:
        what = item["verdict"] + (f", {item['kind']}" if item["kind"] else "")
        role = {"child": " from it", "parent": "; it comes from this"}.get(item["role"] or "", "")
        click.echo(f"{_SYMBOLS.get(item['verdict'], ' ')} {item['repo']:<40} {what}{role}")
        click.echo(f"    {item['reason']}")
    if not answer["related"]:
        click.echo(f"{subject}: no model of this hub that you may see shows related weights")


def _ask(subject: str, revision: str, endpoint: str | None, token: str | None) -> dict[str, Any]:
    client, path = HubClient(endpoint, token, "Tracing"), Path(subject)
    try:
        if _is_file(path):
            request: dict[str, Any] = {"params": {"name": path.name}, "content": _pieces(path)}
        elif subject.count("/") == 1 and not path.is_dir():
            request = {"json": {"repo": subject, "revision": revision}}
        else:
            raise Invalid(f"{subject!r} is neither a file nor a repo like ada/my-model")
        # Comparing large models takes minutes; a hub that is gone is noticed by its connection.
        found = client.send("POST", "/api/trace", read_timeout_s=3600, **request)
    except OSError as error:
        raise Invalid(f"{subject!r} cannot be read: {error.strerror}") from None
    if not (isinstance(found, dict) and isinstance(found.get("related"), list)):
        raise Unavailable(f"What {client.url} sent is no answer of a hub", hint="check --endpoint")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _pieces(path: Path) -> Iterator[bytes]:
    progress: Any = click.progressbar(
        length=path.stat().st_size, label=f"sending {path.name}", file=sys.stderr
    )
    with path.open("rb") as file, progress as bar:
        while piece := file.read(_PIECE_BYTES):
            yield piece
            bar.update(len(piece))
