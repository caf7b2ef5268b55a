"""Queries about OpenSSF signatures of models."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import model_signatures


class SignatureRow(msgspec.Struct, frozen=True):
    """What checking a commit's signature gave."""

    state: str
    text: str
    signer: str | None
    checked_at: int


def find_signature(connection: sa.Connection, repo_id: int, commit: str) -> SignatureRow | None:
    """The result of the check, if it was made."""
    columns = model_signatures.c
    row = connection.execute(
        sa.select(columns.state, columns.text, columns.signer, columns.checked_at).where(
            columns.repo_id == repo_id, columns.commit_oid == commit
        )
    ).first()
    return None if row is None else SignatureRow(*row)


def put_signature(connection: sa.Connection, repo_id: int, commit: str, row: SignatureRow) -> None:
    """Record the result of a check in place of an older one."""
    columns = model_signatures.c
    connection.execute(
        sa.delete(model_signatures).where(columns.repo_id == repo_id, columns.commit_oid == commit)
    )
    connection.execute(
        sa.insert(model_signatures).values(repo_id=repo_id, commit_oid=commit, **msgspec.structs.asdict(row))
    )
