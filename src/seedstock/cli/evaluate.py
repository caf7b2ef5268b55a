"""`seedstock eval`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from seedstock.cli.hub_client import HubClient, hub_options, print_json, priority_option
from seedstock.cli.job_follower import follow, outcome_of
from seedstock.core.errors import HubError, Invalid
from seedstock.run.remote.upstream import find_remote_name

_INTERRUPTED = 130


@click.command("eval")
@click.argument("words", metavar="REPO[@REV][:FILE] | remote/NAME/MODEL | compare A B", nargs=-1)
@click.option(
    "--suite", metavar="NAME", help="A suite of the hub, or a dataset as datasets/ada/questions[@REV]."
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), metavar="N", help="Questions. [default: the suite's]"
)
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 31) - 1),
    metavar="S",
    default=0,
    show_default=True,
    help="Of the questions.",
)
@click.option(
    "--max-tokens", type=click.IntRange(1, 1 << 17), metavar="N", help="Of an answer. [default: the suite's]"
)
@click.option(
    "--sampling",
    type=click.Choice(["greedy", "own"]),
    default="greedy",
    show_default=True,
    help="Own: the model's, for those that take no temperature; ranked apart.",
)
@click.option("--write-card", is_flag=True, help="Write the result into the model's card, as one commit.")
@click.option("--list", "listed", is_flag=True, help="List the suites.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked, and ask nothing.")
@priority_option
@hub_options
def evaluate(
    words: tuple[str, ...], endpoint: str | None, token: str | None, as_json: bool, **options: Any
) -> None:
    """Ask a model of a hub the questions of a suite, and file what it scored.

    Ctrl-C cancels. One that failed midway goes on with the questions that are left: `seedstock jobs retry`.

    \b
    seedstock eval --list
    seedstock eval ada/my-model --suite arithmetic
    seedstock eval ada/my-model@v1:Q4_K_M --suite instructions --limit 60 --json
    seedstock eval ada/my-model --suite datasets/ada/questions --write-card
    seedstock eval remote/openai/gpt-5 --suite arithmetic --sampling own --max-tokens 4000
    seedstock eval compare 3 5
    """  # noqa: D301 - \b is click's
    client = HubClient(endpoint, token, "Evaluating a model")
    if options["listed"]:
        _list(client, as_json=as_json)
    elif words and words[0] == "compare":
        _compare(client, words[1:], as_json=as_json)
    elif len(words) != 1:
        raise click.UsageError("name one model, such as ada/my-model")
    elif not options["suite"]:
        raise click.UsageError("name a suite with --suite; --list says which there are")
    else:
        _evaluate(client, words[0], options, as_json=as_json)


def _evaluate(client: HubClient, model: str, options: dict[str, Any], *, as_json: bool) -> None:
    address, body = _request(model, options)
    address = f"/api/models/{address}"
    answer = client.send("POST", f"{address}/evaluate", json=body, params={"dry_run": "true"})
    if not as_json:
        click.echo(f"{answer['model']} on {answer['suite']}", err=True)
        click.echo(answer["estimate"]["text"], err=True)
    if not options["dry_run"]:
        answer = client.send("POST", f"{address}/evaluate", json=body)
        number = answer["job"]
        try:
            end = follow(client, number, _silence if as_json else _Progress().tell)
        except KeyboardInterrupt:
            _cancel(client, number)
            raise SystemExit(_INTERRUPTED) from None
        answer["state"] = end
        if error := outcome_of(number, end):
            raise error
        number = end["result"]["evaluation"]
        answer["result"] = client.send("GET", f"{address}/evaluations/{number}")
        if not as_json:
            _show(answer["result"], end["result"])
    if as_json:
        print_json(answer)


def _request(model: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Address of the model and body of the request. Raises Invalid for what names no model."""
    names = ("suite", "limit", "seed", "sampling", "max_tokens", "write_card", "priority")
    body = {name: options[name] for name in names}
    if find_remote_name(model) is not None:
        return quote(model), body
    cut = min((at for at in (model.find("@"), model.find(":")) if at >= 0), default=len(model))
    repo, rest = model[:cut], model[cut:]
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise Invalid(f"{model[:100]!r} is no model like ada/my-model")
    while rest:
        mark, rest = rest[0], rest[1:]
        end = min((at for at in (rest.find("@"), rest.find(":")) if at >= 0), default=len(rest))
        if not rest[:end]:
            raise Invalid(f"Nothing follows {mark!r} in {model[:100]!r}")
        body["revision" if mark == "@" else "file"], rest = rest[:end], rest[end:]
    return repo, body


def _cancel(client: HubClient, number: int) -> None:
    try:
        client.send("POST", f"/api/jobs/{number}/cancel")
    except HubError as error:
        click.echo(f"job {number} goes on: {error.message}", err=True)
    else:
        click.echo(f"job {number} is cancelled", err=True)


def _list(client: HubClient, *, as_json: bool) -> None:
    found = client.send("GET", "/api/evaluations/suites")
    if as_json:
        print_json(found)
        return
    for suite in found:
        items = (
            f"{suite['items']:>4}  {suite['about']}" if "items" in suite else "      a dataset of this hub"
        )
        click.echo(f"{suite['name']:<14} {items}")


def _compare(client: HubClient, numbers: tuple[str, ...], *, as_json: bool) -> None:
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise click.UsageError("compare takes the numbers of two evaluations")
    found = client.send("GET", "/api/evaluations/compare", params={"a": numbers[0], "b": numbers[1]})
    if as_json:
        print_json(found)
        return
    for name in ("a", "b"):
        click.echo(_line(found[name]))
    word = "they differ" if found["distinguishable"] else "they cannot be told apart"
    click.echo(
        f"difference {100 * found['difference']:+.1f} points ({100 * found['low']:+.1f} to {100 * found['high']:+.1f},"
        f" 95 %, paired bootstrap): {word}"
    )
    click.echo(f"only the first right: {found['only_first']}, only the second: {found['only_second']}")


def _line(result: dict[str, Any]) -> str:
    interval = result["interval"]
    edition = " (closed)" if result["closed"] else f"@{result['commit'][:12]}"
    return (
        f"{result['id']}: {result['model']}{edition} on {result['suite']}:"
        f" {100 * result['score']:.1f} % ({100 * interval['low']:.1f} to {100 * interval['high']:.1f}) of {result['n']}"
    )


def _show(result: dict[str, Any], filed: dict[str, Any]) -> None:
    click.echo(_line(result))
    for name, figure in result["groups"].items():
        click.echo(
            f"  {name:<12} {100 * figure['score']:5.1f} % ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"
            f" of {figure['n']}"
        )
    if "card" in filed:
        click.echo(f"written into the card by commit {filed['card'][:12]}")


def _silence(_name: str, _data: dict[str, Any]) -> None:
    """Hear nothing."""


class _Progress:
    """How far it is, on standard error; the answers are in the log of the job."""

    def __init__(self) -> None:
        self._said = ""

    def tell(self, name: str, data: dict[str, Any]) -> None:
        """Say what is new."""
        text = ""
        if name == "progress":
            text = f"{data['fraction']:.0%} {data['message']}".rstrip()
        elif name == "state" and data["state"] != "done":
            text = data["state"] + (f": {data['error']}" if data["error"] else "")
        if text and text != self._said:
            self._said = text
            click.echo(text, err=True)
