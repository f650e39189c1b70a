"""Names, groups and ranges: renames of groups, what spells a username, and ranges for robots and pools.

A group's path may change from now on, since the row, not the spelling, is the group; its id and issuer stay as they
were. Ranges of before serve people or groups, as their purpose says.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns, `former_paths`, and the triggers that fit them."""
    op.add_column("ranges", sa.Column("serves", sa.Text(), nullable=True))
    op.add_column("groups", sa.Column("external_id", sa.Text(), nullable=True))
    op.add_column("identities", sa.Column("spelling", sa.Text(), nullable=True))
    op.create_index(
        "uq_groups_issuer_external_id", "groups", ["issuer", "external_id"], unique=True
    )
    op.create_table(
        "former_paths",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rules_version", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.group_id"], name=op.f("fk_former_paths_group_id")
        ),
        sa.PrimaryKeyConstraint("issuer", "path", name=op.f("pk_former_paths")),
    )
    postgresql = op.get_context().dialect.name == "postgresql"
    op.execute("DROP TRIGGER groups_never_changed" + (" ON groups" if postgresql else ""))
    for table, rule, columns in (
        ("groups", "never_changed", "group_id, issuer"),
        ("ranges", "serves_never_changed", "serves"),
    ):
        op.execute(_never_changed(table, rule, columns, postgresql=postgresql))


def _never_changed(table: str, rule: str, columns: str, *, postgresql: bool) -> str:
    head = f"CREATE TRIGGER {table}_{rule} BEFORE UPDATE OF {columns} ON {table}"
    if postgresql:
        return f"{head} FOR EACH ROW WHEN (true) EXECUTE FUNCTION idmap_refuse()"
    return f"{head} WHEN 1 BEGIN SELECT RAISE(ABORT, '{table}: {rule}'); END"
