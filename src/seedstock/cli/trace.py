"""`seedstock trace`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from seedstock.core.errors import Forbidden, HubError, Invalid, NotFound, Unauthenticated, Unavailable

_PIECE_BYTES = 1 << 20
_SYMBOLS = {"identical": "=", "derived": "~", "partial": "?"}


@click.command()
@click.argument("file_or_repo")
@click.option("--revision", metavar="R", default="main", help="Of a repo: branch, tag or commit.")
@click.option(
    "--endpoint", metavar="URL", help="The hub. [default: $HF_ENDPOINT, else http://127.0.0.1:8300]"
)
@click.option("--token", metavar="T", help="A token of yours. [default: $HF_TOKEN]")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
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
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
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
    import httpx

    token = token or os.environ.get("HF_TOKEN")
    if not token:
        raise Unauthenticated("Tracing needs a token", hint="give --token or set HF_TOKEN")
    url = (endpoint or os.environ.get("HF_ENDPOINT") or "http://127.0.0.1:8300").rstrip("/")
    path, headers = Path(subject), {"Authorization": f"Bearer {token}"}
    try:
        # Comparing large models takes minutes; a hub that is gone is noticed by its connection.
        with httpx.Client(timeout=httpx.Timeout(30, read=3600, write=600)) as http:
            if _is_file(path):
                answer = http.post(
                    f"{url}/api/trace", params={"name": path.name}, content=_pieces(path), headers=headers
                )
            elif subject.count("/") == 1 and not path.is_dir():
                answer = http.post(
                    f"{url}/api/trace", json={"repo": subject, "revision": revision}, headers=headers
                )
            else:
                raise Invalid(f"{subject!r} is neither a file nor a repo like ada/my-model")
    except OSError as error:
        raise Invalid(f"{subject!r} cannot be read: {error.strerror}") from None
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Unavailable(f"The hub at {url} does not answer: {error}", hint="check --endpoint") from None
    if answer.status_code != 200:
        raise _refusal(answer.status_code)(_message(answer.text, answer.status_code))
    try:
        found: dict[str, Any] = msgspec.json.decode(answer.content, type=dict[str, Any])
        if isinstance(found["related"], list):
            return found
    except (msgspec.DecodeError, KeyError):
        pass
    raise Unavailable(f"What {url} sent is no answer of a hub", hint="check --endpoint")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _refusal(status: int) -> type[HubError]:
    if status >= 500:
        return Unavailable
    return {401: Unauthenticated, 403: Forbidden, 404: NotFound}.get(status, Invalid)


def _message(text: str, status: int) -> str:
    try:
        return str(msgspec.json.decode(text)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"The hub answered with status {status}"


def _pieces(path: Path) -> Iterator[bytes]:
    progress: Any = click.progressbar(
        length=path.stat().st_size, label=f"sending {path.name}", file=sys.stderr
    )
    with path.open("rb") as file, progress as bar:
        while piece := file.read(_PIECE_BYTES):
            yield piece
            bar.update(len(piece))
