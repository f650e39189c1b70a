"""What administrators ask by is found by index, and answers are kept to be repeated.

`change_bodies` gets the columns that say whom an entry speaks of; they are filled from the bodies there are and never
change again. `kept_answers` holds answers to requests that carried a key.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None

_INDEXES = (
    ("accounts", ("state", "account_id")),
    ("accounts", ("rule_id", "account_id")),
    ("accounts", ("primary_group_id", "account_id")),
    ("memberships", ("group_id", "account_id")),
    ("observations", ("group_id", "identity_id")),
    ("bans", ("account_id",)),
    ("bans", ("identity_id",)),
    ("changes", ("at",)),
    ("changes", ("author", "sequence")),
    ("changes", ("action", "sequence")),
    ("change_bodies", ("account_id", "sequence")),
    ("change_bodies", ("subject", "sequence")),
    ("kept_answers", ("expires",)),
    ("kept_answers", ("caller", "at")),
)
_BATCH = 2000


def upgrade() -> None:
    """Columns first, then what they hold, then the indexes and the trigger."""
    op.add_column("change_bodies", sa.Column("account_id", sa.Integer(), nullable=True))
    op.add_column("change_bodies", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("change_bodies", sa.Column("subject", sa.Text(), nullable=True))
    _fill()
    op.create_table(
        "kept_answers",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("request_key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("caller", "request_key", name=op.f("pk_kept_answers")),
    )
    for table, columns in _INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))
    op.execute(_TRIGGERS[op.get_bind().dialect.name])


def _fill() -> None:
    connection = op.get_bind()
    bodies = sa.table(
        "change_bodies",
        *(sa.column(name) for name in ("sequence", "body", "account_id", "issuer", "subject")),
    )
    fill = (
        sa.update(bodies)
        .where(bodies.c.sequence == sa.bindparam("wanted"))
        .values({name: sa.bindparam(f"its_{name}") for name in _CONCERNED})
    )
    after = 0
    while rows := connection.execute(
        sa.select(bodies.c.sequence, bodies.c.body)
        .where(bodies.c.sequence > after)
        .order_by(bodies.c.sequence)
        .limit(_BATCH)
    ).all():
        known = [(row.sequence, json.loads(row.body)) for row in rows]
        values = [
            {"wanted": sequence} | {f"its_{name}": body.get(name) for name in _CONCERNED}
            for sequence, body in known
            if any(body.get(name) is not None for name in _CONCERNED)
        ]
        if values:
            connection.execute(fill, values)
        after = rows[-1].sequence


_CONCERNED = ("account_id", "issuer", "subject")
_COLUMNS = ", ".join(_CONCERNED)
_TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER change_bodies_concerned_never_changed BEFORE UPDATE OF {_COLUMNS} "
        "ON change_bodies BEGIN SELECT RAISE(ABORT, 'change_bodies: never_changed'); END"
    ),
    "postgresql": (
        f"CREATE TRIGGER change_bodies_concerned_never_changed BEFORE UPDATE OF {_COLUMNS} "
        "ON change_bodies FOR EACH ROW EXECUTE FUNCTION idmap_refuse()"
    ),
}
