"""`seedstock verify-record`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seedstock.core.errors import DigestMismatch, Unauthenticated

if TYPE_CHECKING:
    from seedstock.openness.records import Statement, VerifiedRecord
    from seedstock.recipes.record_check import OutputCheck


@click.command("verify-record")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (PEM) that you trust; may be repeated.",
)
@click.option(
    "--outputs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of a run record: check this folder against what the run made.",
)
@click.option(
    "--stage", metavar="S", help="With --outputs: of which stage. [default: the last that makes a model]"
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify_record(
    file: Path, keys: tuple[Path, ...], outputs: Path | None, stage: str | None, as_json: bool
) -> None:
    """Check a signed record or bill of materials, offline; of the run of a recipe, its outputs too.

    Exit code 0: intact and signed by one of the keys given. 4: intact, but by a key that you did not give, so
    anyone may have made it. 6: changed after it was signed, or outputs that are not those of the run. 1: no such
    record.

    \b
    seedstock verify-record evidence.json --key hub.pem
    seedstock verify-record run.json --key hub.pem --outputs ./my-model --stage sft
    """  # noqa: D301 - \b is click's
    from seedstock.openness.records import MAX_RECORD_BYTES, inspect_record
    from seedstock.openness.signing_keys import MAX_KEY_BYTES, PublicKey

    trusted = []
    for path in keys:
        with path.open("rb") as source:
            trusted.append(PublicKey.from_pem(source.read(MAX_KEY_BYTES)))
    with click.open_file(str(file), "rb") as source:
        record = inspect_record(source.read(MAX_RECORD_BYTES + 2), trusted)
    lines, check = _run(record, outputs, stage)
    if as_json:
        sys.stdout.write(json.dumps(_found(record, check), ensure_ascii=True) + "\n")
    else:
        for line in [*_headline(record.statement, is_run=bool(lines)), *lines, f"key:     {record.key_id}"]:
            click.echo(_plain(line))
    if check is not None and check.problems:
        shown = "; ".join(check.problems[:5])
        more = f" and {len(check.problems) - 5} more" if len(check.problems) > 5 else ""
        raise DigestMismatch(_plain(f"{outputs} is not what stage {check.stage} made: {shown}{more}"))
    if not record.trusted:
        raise Unauthenticated(
            "the signature is intact, but its key is not known to you",
            hint="fetch the hub's public key over a channel that you trust and give it with --key",
        )
    if not as_json:
        if check is not None:
            click.echo(f"outputs: all {check.files} files of stage {_plain(check.stage)} are as recorded")
        click.echo("intact, signed by a key that you gave")


def _run(
    record: VerifiedRecord, outputs: Path | None, stage: str | None
) -> tuple[list[str], OutputCheck | None]:
    """What a run record says, and the outputs against it; nothing for other records."""
    from seedstock.recipes.record import is_run, read_run
    from seedstock.recipes.record_check import check_output, explain

    if outputs is None and not is_run(record.statement):
        return [], None
    run = read_run(record)
    return explain(run), None if outputs is None else check_output(run, outputs, stage)


def _found(record: VerifiedRecord, check: OutputCheck | None) -> dict[str, object]:
    statement = record.statement
    found: dict[str, object] = {
        "intact": True,
        "trusted": record.trusted,
        "key": record.key_id,
        "predicateType": statement.predicate_type,
        "subject": [{"name": item.name, "digest": item.digest} for item in statement.subject],
        "predicate": statement.predicate,
    }
    if check is not None:
        found["outputs"] = {
            "stage": check.stage,
            "match": not check.problems,
            "problems": list(check.problems),
        }
    return found


def _headline(statement: Statement, *, is_run: bool) -> list[str]:
    """What is attested of what. A run's files are many and its verdict is explained."""
    lines = [f"attests: {statement.predicate_type}"]
    if is_run:
        return lines
    for item in statement.subject:
        digests = ", ".join(f"{name}:{value}" for name, value in sorted(item.digest.items()))
        lines.append(f"about:   {item.name} {digests}")
    return lines + [
        f"{name + ':':9}{statement.predicate[name]}"
        for name in ("verdict", "kind", "method")
        if isinstance(statement.predicate.get(name), str)
    ]


def _plain(text: str) -> str:
    """Text of a record as one line that cannot steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:1000]
