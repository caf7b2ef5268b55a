"""`seedstock adapt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from seedstock.cli.hub_client import HubClient, hub_options, print_json
from seedstock.cli.job_follower import follow, outcome_of
from seedstock.cli.jobs import EventScreen
from seedstock.core.errors import HubError, Invalid

_SHOWN_SAMPLES = 2
_SHOWN_TEXT = 300


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--method", metavar="M", help="sft, pretrain, dpo, grpo, distil, distil_traces or merge.")
@click.option("--base", metavar="REPO[@REV]", help="The model to start from.")
@click.option("--data", metavar="REPO[@REV]", multiple=True, help="A dataset of the hub; may be repeated.")
@click.option(
    "--model", "models", metavar="REPO[@REV]", multiple=True, help="For merge: a model; may be repeated."
)
@click.option("--teacher", metavar="REPO[@REV]", help="For distil and distil_traces.")
@click.option("--tokenizer", metavar="REPO[@REV]", help="For pretrain from scratch.")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="A setting, such as lora.r=8 or epochs=2."
)
@click.option(
    "--publish", metavar="REPO", help="Where to publish. [default: yours, named after base and method]"
)
@click.option(
    "--publish-as", type=click.Choice(["auto", "adapter", "merged"]), help="Adapter or whole model."
)
@click.option("--gguf", metavar="TYPE", help="Also make a GGUF of this type, such as Q8_0.")
@click.option("--private/--public", "private", default=None, help="Who may see a new repo.")
@click.option("--note", metavar="TEXT", help="A paragraph for the card.")
@click.option("--seed", type=int, help="Of all that is random. [default: 0]")
@click.option(
    "--threads", type=click.IntRange(0), help="Of the training process. [default: all cores but one]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it runs.")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), help="Beside other jobs.")
@click.option(
    "--keep-checkpoints/--drop-checkpoints",
    "keep_checkpoints",
    default=None,
    help="Keep them for a while after the end, for spot checks. [default: drop]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@click.option("--follow", "stay", is_flag=True, help="Show the job until it ends; exit code 1 if it failed.")
@hub_options
def adapt(file: Path | None, endpoint: str | None, token: str | None, as_json: bool, **options: Any) -> None:
    """Make a variant of a model that a hub holds, and publish it there with its pedigree.

    What is wanted stands in a YAML FILE, in flags, or in both: flags win.

    \b
    seedstock adapt poet.yaml --dry-run
    seedstock adapt poet.yaml --follow
    seedstock adapt --method sft --base ada/smollm2 --data ada/poems --set epochs=2 --set lora.r=8
    seedstock adapt --method merge --model ada/a --model ada/b --set method=slerp --set weights=[0.3]
    """  # noqa: D301 - \b is click's
    dry_run, stay = options.pop("dry_run"), options.pop("stay")
    document = _document(file, options)
    client = HubClient(endpoint, token, "Making a variant")
    query = {"dry_run": "true"} if dry_run else {}
    answer = client.send("POST", "/api/adapt", json=document, params=query)
    if as_json and not stay:
        print_json(answer)
        return
    if not as_json:
        _show(answer)
    if stay and "job" in answer:
        _follow(client, answer, as_json=as_json)


def _document(file: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """The file's document with the flags laid over it, checked here so that a fault names the file's line."""
    from seedstock.adapt.spec import read_spec, read_spec_file
    from seedstock.adapt.yaml_lines import read_yaml

    document: dict[str, Any] = {}
    if file is not None:
        text = file.read_bytes()
        if not any(options[name] for name in ("method", "base", "data", "models", "settings")):
            read_spec_file(text, str(file))
        document = dict(read_yaml(text, str(file)).value or {})
    given = {name: value for name, value in options.items() if value not in (None, ())}
    settings = given.pop("settings", ())
    document |= {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    for text in settings:
        _set(document.setdefault("settings", {}), text)
    read_spec(document)
    return document


def _set(settings: dict[str, Any], text: str) -> None:
    """Put `a.b=value` where it belongs; the value is YAML."""
    from seedstock.adapt.yaml_lines import read_yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Invalid(f"--set takes KEY=VALUE, not {text!r}")
    *path, last = key.split(".")
    for step in path:
        below = settings.setdefault(step, {})
        if not isinstance(below, dict):
            raise Invalid(f"--set {key}: {step} is a value already")
        settings = below
    settings[last] = read_yaml(value, f"--set {key}").value


def _show(answer: dict[str, Any]) -> None:
    target = answer["target"]
    what = "an adapter" if answer["adapter"] else "a whole model"
    click.echo(f"{target['repo']}: {what} by {answer['method']}, seed {answer['seed']}, {answer['device']}")
    for role, found in answer["inputs"].items():
        click.echo(f"  {role:<10} {found['repo']} at {found['commit'][:12]}")
    for key, value in answer["licence"].items():
        click.echo(f"  {key:<10} {value}")
    for warning in answer["warnings"]:
        click.echo(f"  to check: {warning}")
    if estimate := answer.get("estimate"):
        _show_estimate(estimate)
    if preview := answer.get("preview"):
        _show_preview(preview)
    if "job" in answer:
        click.echo(f"job {answer['job']}: seedstock jobs follow {answer['job']}")


def _show_estimate(estimate: dict[str, Any]) -> None:
    verdict = "fits" if estimate["fits"] else "DOES NOT FIT"
    needed, there = estimate["memory_bytes"] / 1e9, estimate["memory_available_bytes"] / 1e9
    low, high = estimate["seconds_low"] / 60, estimate["seconds_high"] / 60
    click.echo(f"  memory     about {needed:.1f} GB of {there:.1f} GB: {verdict}")
    click.echo(f"  time       {low:,.0f} to {high:,.0f} minutes, {estimate['steps']:,} steps")


def _show_preview(preview: dict[str, Any]) -> None:
    more = " or more" if preview["more"] else ""
    click.echo(
        f"  rows       {preview['rows']:,}{more}, {preview['median_tokens']:,} tokens in the middle one,"
        f" {preview['longest_tokens']:,} in the longest"
    )
    for warning in preview["warnings"]:
        click.echo(f"  to check: {warning}")
    for sample in preview["samples"][:_SHOWN_SAMPLES]:
        text = "".join(part["text"] for part in sample["segments"])[:_SHOWN_TEXT]
        click.echo(click.style(f"  row {sample['row']}: ", dim=True) + msgspec.json.encode(text).decode())


def _follow(client: HubClient, answer: dict[str, Any], *, as_json: bool) -> None:
    job = answer["job"]
    end = follow(client, job, EventScreen().tell if not as_json else lambda _kind, _data: None)
    answer["state"] = end
    if as_json:
        print_json(answer)
    error: HubError | None = outcome_of(job, end)
    if error:
        raise error
    if not as_json:
        result = end["result"]
        click.echo(f"done: {result['repo']}, commit {result['commit'][:12]}")
