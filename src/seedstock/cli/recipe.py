"""`seedstock recipe`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seedstock.core.errors import Invalid

if TYPE_CHECKING:
    from seedstock.recipes.recipe import Recipe

MAX_FILE_BYTES = 1 << 20
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def recipe() -> None:
    """Recipes: how a model is made, with every input pinned (docs/formats/recipe.md).

    \b
    seedstock recipe pin recipe.toml      branches become commits, digests and defaults are written in
    seedstock recipe check recipe.toml
    seedstock recipe run recipe.toml      all its stages on this machine, and its claims measured
    """  # noqa: D301 - \b is click's


@recipe.command("check")
@click.argument("file", type=_FILE)
def check(file: Path) -> None:
    """Read a recipe; the first fault is told as file:line:column, with exit code 1."""
    from seedstock.recipes.reading import recipe_digest

    found = _read(file)
    stages, inputs = len(found.stage), len(found.inputs)
    click.echo(f"{file}: {found.name}, {stages} stages, {inputs} inputs, {len(found.claim)} claims")
    click.echo(recipe_digest(found))
    for part in found.foreign_code:
        click.echo(f"note: {part} runs code of the recipe's author, so a run of it is trusted less")


@recipe.command("digest")
@click.argument("file", type=_FILE)
@click.option("--stages", is_flag=True, help="Print the identity of every stage too.")
def digest(file: Path, stages: bool) -> None:
    """Print a recipe's digest, which does not depend on how it is written."""
    from seedstock.recipes.graph import stage_digests
    from seedstock.recipes.reading import recipe_digest

    found = _read(file)
    click.echo(recipe_digest(found))
    if stages:
        for name, identity in stage_digests(found).items():
            click.echo(f"{identity}  {name}")


@recipe.command("pin")
@click.argument("file", type=_FILE)
@click.option("--dry-run", is_flag=True, help="Print the lines that would change, and change nothing.")
@click.option(
    "--endpoint", metavar="URL", help="The hub. [default: $HF_ENDPOINT, else http://127.0.0.1:8300]"
)
@click.option("--token", metavar="T", help="A token of yours, for what is not public. [default: $HF_TOKEN]")
def pin(file: Path, dry_run: bool, endpoint: str | None, token: str | None) -> None:
    """Pin a recipe, in place: branches and tags become commits, digests and omitted arguments are written in.

    What is pinned already is left alone, and so are comments. Files that the recipe names are looked for beside it.
    """
    import difflib

    from seedstock.cli.pin_resolver import PinResolver
    from seedstock.recipes.pinning import pin as pin_text
    from seedstock.recipes.reading import read_recipe, recipe_digest

    url = (endpoint or os.environ.get("HF_ENDPOINT") or "http://127.0.0.1:8300").rstrip("/")
    text = _text(file)
    with PinResolver(url, token or os.environ.get("HF_TOKEN"), file.parent) as resolver:
        result = pin_text(text, resolver, str(file))
    for line in difflib.unified_diff(text.splitlines(), result.splitlines(), lineterm="", n=0):
        if line[:1] in "+-" and line[:3] not in {"+++", "---"}:
            click.echo(line)
    if not dry_run and result != text:
        partial = file.with_name(f".{file.name}.partial")
        partial.write_bytes(result.encode())
        partial.replace(file)
    click.echo(recipe_digest(read_recipe(result, str(file))))


@recipe.command("run")
@click.argument("file", type=_FILE)
@click.option("--stage", metavar="S", help="Only this one and what it needs. [default: all]")
@click.option(
    "--seeds", type=click.IntRange(1, 16), default=1, show_default=True, help="Runs, from seed 0 on."
)
@click.option(
    "--at-once", type=click.IntRange(1), default=1, show_default=True, help="Seeds that run side by side."
)
@click.option("--threads", type=click.IntRange(1), help="[default: the recipe's]")
@click.option("--smoke", is_flag=True, help="Two steps a stage, short answers: whether it runs at all.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keeps what stages make. [default: .cache/NAME, by the recipe's name]",
)
def run(file: Path, seeds: int, smoke: bool, folder: Path | None, **options: Any) -> None:
    """Run all stages of a recipe on this machine, without a hub, and measure what it claims.

    Its files and generators are looked for beside it and run as they are: read code of others first. Started again, it
    goes on where it was. A verdict is a hub's to give: seedstock replicate.

    \b
    seedstock recipe run recipes/r1-tiny/recipe.toml --seeds 3 --at-once 2
    seedstock recipe run recipe.toml --smoke
    """  # noqa: D301 - \b is click's
    from seedstock.replications.local import run_local

    folder = folder or Path(".cache", _read(file).name)
    found = run_local(file, folder, range(seeds), tell=click.echo, smoke=smoke, **options)
    for number, runs in enumerate(found.runs):
        for one in runs:
            spent, memory = (one.result.get(key, 0) for key in ("process_cpu_seconds", "peak_memory_bytes"))
            said = f", {memory / 2**20:,.0f} MiB" if memory else ""
            click.echo(
                f"{'smoke' if smoke else 'seed'} {number}: {one.name} took {spent:,.0f} CPU s{said}: {one.output}"
            )
    for claim in found.recipe.claim:
        each = found.scores[claim.stage].mean(axis=1)
        seen = ", ".join(f"{score:.3f}" for score in each)
        click.echo(f"{claim.stage}, {claim.metric}: {seen}; claimed {claim.value:.3f}")


@recipe.command("import")
@click.argument("file", type=_FILE)
@click.option(
    "--form",
    type=click.Choice(["trl", "axolotl", "mergekit"]),
    help="Which tool's it is. [default: seen from its keys]",
)
@click.option("--op", help="Of trl's: sft, dpo or grpo. [default: seen from its keys]")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write the recipe there."
)
def import_recipe(file: Path, form: str | None, op: str | None, output: Path | None) -> None:
    """Make a recipe of another tool's YAML, and say what could not be taken over.

    The recipe is not pinned yet. What it had to assume and what did not map is listed on standard error.
    """
    from seedstock.recipes.foreign import import_yaml

    found = import_yaml(_text(file), str(file), form=form, op=op)
    if output is None:
        click.echo(found.text, nl=False)
    else:
        if output.exists():
            raise Invalid(f"{output} exists already", hint="give another --output")
        output.write_text(found.text, encoding="utf-8")
    click.echo(f"{file}: read as {found.form}", err=True)
    for note in found.notes:
        click.echo(str(note), err=True)


def _text(file: Path) -> str:
    with file.open("rb") as source:
        raw = source.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise Invalid(f"{file} has more than {MAX_FILE_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Invalid(f"{file}:{line}:1: not UTF-8") from None


def _read(file: Path) -> Recipe:
    from seedstock.recipes.reading import read_recipe

    return read_recipe(_text(file), str(file))
