"""`seedstock replicate`."""

from __future__ import annotations

from typing import Any

import click

from seedstock.cli.hub_client import HubClient, hub_options, print_json
from seedstock.cli.job_follower import follow, outcome_of
from seedstock.cli.jobs import EventScreen
from seedstock.core.errors import Invalid

_REPRODUCED = {"bit-exact", "numerically-close", "within-tolerance", "exceeds"}


@click.command()
@click.argument("repo", metavar="REPO[@REV]")
@click.option(
    "--stage", metavar="S", help="Of a recipe with several: which. [default: all that the repo holds]"
)
@click.option(
    "--seeds", type=click.IntRange(1, 16), default=1, show_default=True, help="Runs, each with its own seed."
)
@click.option("--seed", type=click.IntRange(0), help="Of the first run. [default: the recipe's]")
@click.option("--threads", type=click.IntRange(1), help="[default: the recipe's]")
@click.option("--smoke", is_flag=True, help="Two steps a stage, short answers: whether it runs at all.")
@click.option("--dry-run", is_flag=True, help="Say what would run and whether all inputs are as pinned.")
@hub_options
def replicate(repo: str, endpoint: str | None, token: str | None, as_json: bool, **options: Any) -> None:
    """Make a model of a hub again by its own recipe.toml, and let the hub judge the result.

    Exit code 0 when the model was reproduced; 1 when it was not, which the last line explains.

    \b
    seedstock replicate ada/my-model
    seedstock replicate ada/my-model@v1 --stage sft --seeds 3 --json
    seedstock replicate ada/my-model --dry-run
    """  # noqa: D301 - \b is click's
    name, _, revision = repo.partition("@")
    if name.count("/") != 1:
        raise Invalid(f"{repo!r} is no repo like ada/my-model")
    dry_run = options.pop("dry_run")
    body = {key: value for key, value in options.items() if value is not None}
    body |= {"revision": revision} if revision else {}
    client = HubClient(endpoint, token, "Replicating a model")
    query = {"dry_run": "true"} if dry_run else {}
    answer = client.send("POST", f"/api/models/{name}/replicate", json=body, params=query)
    if not as_json:
        _show(answer)
    if not dry_run:
        end = follow(client, answer["job"], (lambda _name, _data: None) if as_json else EventScreen().tell)
        answer["state"] = end
        if error := outcome_of(answer["job"], end):
            raise error
    if as_json:
        print_json(answer)
    if not dry_run:
        _judge(answer["state"]["result"], quiet=as_json)


def _show(answer: dict[str, Any]) -> None:
    stages = ", ".join(f"{name} ({op})" for name, op in answer["stages"].items())
    click.echo(f"{answer['repo']} at {answer['commit'][:12]}: {stages}")
    for change in answer["changes"]:
        click.echo(f"  {change}")
    for code in answer["foreign_code"]:
        click.echo(f"  code of its author: {code}")


def _judge(result: dict[str, Any], *, quiet: bool) -> None:
    for score in () if quiet else result.get("scores", ()):
        ends = f"95 % interval {score['low']:.4f} to {score['high']:.4f}, n = {score['items']}"
        click.echo(f"{score['metric']} of stage {score['stage']}: {score['value']:.4f} ({ends})")
    outcomes = result.get("outcomes", [])
    if len(outcomes) > 1 and not quiet:
        for each in outcomes:
            name = each["stage"] + (f" ({each['file']})" if each["file"] else "")
            click.echo(f"  {name}: {each['verdict']}: {each['reason']}")
    text = f"{result['verdict']}: {result['reason']}"
    if result["verdict"] not in _REPRODUCED:
        raise Invalid(f"Not reproduced. {text}")
    if not quiet:
        click.echo(text)
