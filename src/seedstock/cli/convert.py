"""`seedstock convert`."""

from __future__ import annotations

import os
import time
from typing import Any

import click
import msgspec

from seedstock.core.errors import (
    Conflict,
    Forbidden,
    HubError,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)

_POLL_S = 1.0
_ERRORS: dict[int, type[HubError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict}


@click.command()
@click.argument("repo")
@click.option("--to", "target", metavar="TYPE", required=True, help="Such as Q4_K_M, Q8_0 or F16.")
@click.option("--file", metavar="PATH", help="Of a repo with several models: the file to start from.")
@click.option("--repo", "into", metavar="NAME", help="Where to publish. [default: yours, <model>-GGUF]")
@click.option("--revision", metavar="R", default="main", help="Branch, tag or commit to start from.")
@click.option("--private/--public", "private", default=None, help="Who may see a new repo.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@click.option("--wait", is_flag=True, help="Return when it is done; exit code 1 if it failed.")
@click.option(
    "--endpoint", metavar="URL", help="The hub. [default: $HF_ENDPOINT, else http://127.0.0.1:8300]"
)
@click.option("--token", metavar="T", help="A token of yours. [default: $HF_TOKEN]")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
def convert(repo: str, endpoint: str | None, token: str | None, **options: Any) -> None:
    """Make a GGUF of a model that a hub holds, quantised or not, and publish it there.

    \b
    seedstock convert ada/my-model --to Q4_K_M --dry-run
    seedstock convert ada/my-model --to Q4_K_M --repo ada/my-model-GGUF --wait
    """  # noqa: D301 - \b is click's
    token = token or os.environ.get("HF_TOKEN")
    if not token:
        raise Unauthenticated("Converting needs a token", hint="give --token or set HF_TOKEN")
    url = (endpoint or os.environ.get("HF_ENDPOINT") or "http://127.0.0.1:8300").rstrip("/")
    if repo.count("/") != 1:
        raise Invalid(f"{repo!r} is no repo like ada/my-model")
    body = {"to": options["target"], "file": options["file"], "repo": options["into"]}
    body |= {"revision": options["revision"], "private": options["private"]}
    query = "?dry_run=true" if options["dry_run"] else ""
    answer = _send("POST", f"{url}/api/models/{repo}/convert{query}", token, body)
    as_json = options["as_json"]
    if not as_json:
        _show(answer)
    if options["wait"] and "job" in answer:
        answer["state"] = _wait(f"{url}/api/jobs/{answer['job']}", token, quiet=as_json)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
    state = answer.get("state")
    if state and state["state"] != "done":
        raise Invalid(f"The job failed: {state['error'] or state['state']}")
    if state and not as_json:
        click.echo(f"done: {state['result']['repo']}, commit {state['result']['commit'][:12]}")


def _show(answer: dict[str, Any]) -> None:
    target = answer["target"]
    click.echo(f"{target['repo']}: {target['path']}, {answer['size'] / 1e6:,.1f} MB")
    for note in answer["notes"]:
        click.echo(f"  {note}")
    if "job" in answer:
        click.echo(f"job {answer['job']}: {answer['status']}")


def _wait(url: str, token: str, *, quiet: bool) -> dict[str, Any]:
    said = ""
    while True:
        job = _send("GET", url, token)
        progress = job["progress"] or {}
        text = f"{job['state']} {progress.get('fraction', 0):.0%} {progress.get('message', '')}".rstrip()
        if text != said and not quiet:
            click.echo(text, err=True)
            said = text
        if job["state"] not in {"queued", "running"}:
            return job
        time.sleep(_POLL_S)


def _send(method: str, url: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    import httpx

    try:
        answer = httpx.request(
            method, url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=300
        )
    except httpx.TransportError as error:
        raise Unavailable(f"The hub at {url} does not answer: {error}", hint="check --endpoint") from None
    if answer.status_code not in {200, 202}:
        raise _ERRORS.get(answer.status_code, Invalid)(_message(answer.text, answer.status_code))
    found: dict[str, Any] = answer.json()
    return found


def _message(text: str, status: int) -> str:
    try:
        return str(msgspec.json.decode(text)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"The hub answered with status {status}"
