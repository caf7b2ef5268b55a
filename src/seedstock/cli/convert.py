"""`seedstock convert`."""

from __future__ import annotations

from typing import Any

import click

from seedstock.cli.hub_client import HubClient, hub_options, print_json, priority_option
from seedstock.cli.job_follower import follow, outcome_of
from seedstock.core.errors import Invalid


@click.command()
@click.argument("repo")
@click.option("--to", "target", metavar="TYPE", required=True, help="Such as Q4_K_M, Q8_0 or F16.")
@click.option("--file", metavar="PATH", help="Of a repo with several models: the file to start from.")
@click.option("--repo", "into", metavar="NAME", help="Where to publish. [default: yours, <model>-GGUF]")
@click.option("--revision", metavar="R", default="main", help="Branch, tag or commit to start from.")
@click.option("--private/--public", "private", default=None, help="Who may see a new repo.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@click.option(
    "--wait", is_flag=True, help="Return when it is done; exit code 1 if it failed, 5 if it was cancelled."
)
@priority_option
@hub_options
def convert(repo: str, endpoint: str | None, token: str | None, **options: Any) -> None:
    """Make a GGUF of a model that a hub holds, quantised or not, and publish it there.

    \b
    seedstock convert ada/my-model --to Q4_K_M --dry-run
    seedstock convert ada/my-model --to Q4_K_M --repo ada/my-model-GGUF --wait
    """  # noqa: D301 - \b is click's
    client = HubClient(endpoint, token, "Converting")
    if repo.count("/") != 1:
        raise Invalid(f"{repo!r} is no repo like ada/my-model")
    body = {"to": options["target"], "file": options["file"], "repo": options["into"]}
    body |= {"revision": options["revision"], "private": options["private"], "priority": options["priority"]}
    query = {"dry_run": "true"} if options["dry_run"] else {}
    answer = client.send("POST", f"/api/models/{repo}/convert", params=query, json=body)
    as_json = options["as_json"]
    if not as_json:
        _show(answer)
    failure = None
    if options["wait"] and "job" in answer:
        number = answer["job"]
        failure = outcome_of(number, follow(client, number, _no_one if as_json else _progress_on_stderr))
        answer["state"] = client.send("GET", f"/api/jobs/{number}")
    if as_json:
        print_json(answer)
    if failure:
        raise failure
    if "state" in answer and not as_json:
        result = answer["state"]["result"]
        click.echo(f"done: {result['repo']}, commit {result['commit'][:12]}")


def _show(answer: dict[str, Any]) -> None:
    target = answer["target"]
    click.echo(f"{target['repo']}: {target['path']}, {answer['size'] / 1e6:,.1f} MB")
    for note in answer["notes"]:
        click.echo(f"  {note}")
    if "job" in answer:
        click.echo(f"job {answer['job']}: {answer['status']}")


def _no_one(_name: str, _data: dict[str, Any]) -> None:
    """Hear nothing."""


def _progress_on_stderr(name: str, data: dict[str, Any]) -> None:
    if name == "progress":
        click.echo(f"{data['fraction']:.0%} {data['message']}".rstrip(), err=True)
    elif name == "state":
        click.echo(data["state"], err=True)
