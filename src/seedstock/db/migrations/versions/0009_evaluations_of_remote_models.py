"""Evaluations of remote models: such a result is of a remote and a name there, in place of a repo and a commit."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    connection = op.get_bind()
    last = _last_number(connection)
    # On SQLite the table is made anew, which forgets that its numbers are never given twice.
    kept = {"sqlite_autoincrement": True}
    with op.batch_alter_table("evaluations", schema=None, table_kwargs=kept) as batch_op:
        batch_op.add_column(sa.Column("remote_id", _BIG_ID, nullable=True))
        batch_op.add_column(sa.Column("remote_model", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("closed", sa.JSON(), nullable=True))
        batch_op.alter_column("repo_id", existing_type=_BIG_ID, nullable=True)
        batch_op.alter_column("commit", existing_type=sa.String(length=40), nullable=True)
        batch_op.create_index(
            batch_op.f("ix_evaluations_remote_id_remote_model_id"),
            ["remote_id", "remote_model", "id"],
            unique=False,
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_evaluations_remote_id"), "remotes", ["remote_id"], ["id"], ondelete="CASCADE"
        )
    if last is not None:
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'evaluations'"))
        given = {"last": last}
        connection.execute(sa.text("INSERT INTO sqlite_sequence VALUES ('evaluations', :last)"), given)


def _last_number(connection: sa.Connection) -> int | None:
    """The highest number that was given, of results since deleted too; None on PostgreSQL, which keeps it."""
    if connection.dialect.name != "sqlite":
        return None
    query = "SELECT seq FROM sqlite_sequence WHERE name = 'evaluations'"
    return connection.execute(sa.text(query)).scalar()
