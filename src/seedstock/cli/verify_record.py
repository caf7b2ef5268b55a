"""`seedstock verify-record`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from seedstock.core.errors import Unauthenticated


@click.command("verify-record")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (PEM) that you trust; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify_record(file: Path, keys: tuple[Path, ...], as_json: bool) -> None:
    """Check a signed record or bill of materials, offline.

    Exit code 0: intact and signed by one of the keys given. 4: intact, but by a key that you did not give, so
    anyone may have made it. 6: changed after it was signed. 1: no such record.

    \b
    seedstock verify-record evidence.json --key hub.pem
    """  # noqa: D301 - \b is click's
    from seedstock.openness.records import MAX_RECORD_BYTES, VerifiedRecord, inspect_record
    from seedstock.openness.signing_keys import MAX_KEY_BYTES, PublicKey

    trusted = []
    for path in keys:
        with path.open("rb") as source:
            trusted.append(PublicKey.from_pem(source.read(MAX_KEY_BYTES)))
    with click.open_file(str(file), "rb") as source:
        record: VerifiedRecord = inspect_record(source.read(MAX_RECORD_BYTES + 2), trusted)
    statement = record.statement
    if as_json:
        found = {
            "intact": True,
            "trusted": record.trusted,
            "key": record.key_id,
            "predicateType": statement.predicate_type,
            "subject": [{"name": item.name, "digest": item.digest} for item in statement.subject],
            "predicate": statement.predicate,
        }
        sys.stdout.write(json.dumps(found, ensure_ascii=True) + "\n")
    else:
        click.echo(f"attests: {_plain(statement.predicate_type)}")
        for item in statement.subject:
            digests = ", ".join(f"{name}:{value}" for name, value in sorted(item.digest.items()))
            click.echo(f"about:   {_plain(item.name)} {_plain(digests)}")
        for name in ("verdict", "kind", "method"):
            if isinstance(statement.predicate.get(name), str):
                click.echo(f"{name + ':':9}{_plain(statement.predicate[name])}")
        click.echo(f"key:     {record.key_id}")
    if not record.trusted:
        raise Unauthenticated(
            "the signature is intact, but its key is not known to you",
            hint="fetch the hub's public key over a channel that you trust and give it with --key",
        )
    if not as_json:
        click.echo("intact, signed by a key that you gave")


def _plain(text: str) -> str:
    """Text of a record as one line that cannot steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:500]
