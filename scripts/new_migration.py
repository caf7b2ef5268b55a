"""Write the migration that takes the newest recorded schema to `db/tables/`.

python scripts/new_migration.py "add webhooks"

The file is a draft: read it, run `tests/migrations`, then raise `HEAD` in `db/migrate.py`.
"""

from __future__ import annotations

import sys

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from seedstock.db import migrate, schema
from seedstock.db.engine import Database


def main(message: str) -> None:
    """Compare a database made by the present migrations with the schema and write the difference."""
    script = ScriptDirectory(str(migrate.MIGRATIONS))
    database = Database("sqlite://")
    head = script.get_current_head()
    if head:
        migrate.HEAD = head
        migrate.upgrade(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True})
        steps = produce_migrations(context, schema.metadata).upgrade_ops
    if steps is None or steps.is_empty():
        sys.exit("the migrations already produce the tables of db/tables/")
    body = render_python_code(steps, render_as_batch=True)
    revision = f"{int(head or '0') + 1:04d}"
    path = migrate.MIGRATIONS / "versions" / f"{revision}_{message.replace(' ', '_')}.py"
    path.write_text(
        f'"""{message.capitalize()}."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f'revision = "{revision}"\ndown_revision = {head!r}\nbranch_labels = None\ndepends_on = None\n\n\n'
        f"def upgrade() -> None:\n    {body}\n"
    )
    print(path)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or sys.exit(__doc__))
